"""Before a container's first start: configurations on the volume, a plan per engine, nothing built twice.

TensorRT for RTX builds here, as it needs no GPU: the same builder and parser as TensorRT's, real plans.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.precision import conversion
from export.precision.quantisation import quantised
from export.tensorrt import Device, build, import_tensorrt
from serving import control, first_start
from serving.first_start import Builder
from tests.serving.small_models import doubling_graph, multiplying_graph, without_rows

ADA = Device("NVIDIA L4", "610.10", "8.9", 23034)
CONFIG = """\
name: "doubler"
platform: "tensorrt_plan"
max_batch_size: 8
input [ { name: "x"  data_type: TYPE_FP32  dims: [ 3 ] } ]
output [ { name: "answer"  data_type: TYPE_FP32  dims: [ 3 ] } ]
instance_group [ { count: 1  kind: KIND_GPU  profile: [ "0", "1" ] } ]
dynamic_batching { preferred_batch_size: [ 8 ] }
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One engine with its graph, as an export leaves it."""
    folder = tmp_path / "models" / "doubler"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    onnx.save(without_rows(doubling_graph()), folder / "1" / "dense.onnx")
    return tmp_path / "models"


@pytest.fixture
def builder() -> Builder:
    trt = import_tensorrt("rtx")

    def made(graph, promised, precision):
        return build(graph, promised, precision=precision, target="rtx", device=ADA).plan

    return Builder("tensorrt_rtx", trt.__version__, ADA, made)


@pytest.fixture
def bring(repository, tmp_path):
    """Prepares `doubler` with a builder; how many plans were built, and what was said."""

    def run(builder: Builder) -> tuple[int, list[str]]:
        said: list[str] = []
        wanted = first_start.needed(repository, ["doubler"], builder)
        return first_start.bring(wanted, tmp_path / "engines", builder, repository, said.append), said

    return run


def test_the_first_start_builds_a_plan_and_the_second_finds_it(repository, builder, bring):
    built, said = bring(builder)
    assert built == 1
    assert said[0] == "building doubler for NVIDIA L4, driver 610.10, 1 of 1"
    plan = repository / "doubler/1/model.plan"
    first = plan.stat()
    assert first.st_size > 1000
    assert bring(builder) == (0, [])
    assert plan.stat().st_mtime_ns == first.st_mtime_ns


@pytest.mark.parametrize(
    "change",
    [
        {"device": replace(ADA, name="NVIDIA L40S")},
        {"device": replace(ADA, driver="620.1")},
        {"version": "0.0"},
    ],
    ids=["gpu", "driver", "version"],
)
def test_another_machine_builds_its_own_plan_and_the_first_one_keeps_its(builder, bring, change):
    bring(builder)
    assert bring(replace(builder, **change))[0] == 1
    assert bring(builder) == (0, [])  # from the cache


def test_a_changed_graph_is_built_again(repository, builder, bring):
    bring(builder)
    onnx.save(without_rows(multiplying_graph(3)), repository / "doubler/1/dense.onnx")
    assert bring(builder)[0] == 1


def test_a_changed_profile_is_built_again(repository, builder, bring):
    bring(builder)
    config = repository / "doubler/config.pbtxt"
    config.write_text(CONFIG.replace('"0", "1"', '"0"'))
    assert bring(builder)[0] == 1


def test_a_plan_that_was_cut_short_comes_again_from_the_cache(repository, builder, bring):
    bring(builder)
    plan = repository / "doubler/1/model.plan"
    whole = plan.read_bytes()
    plan.write_bytes(whole[:100])
    assert bring(builder) == (0, [])
    assert plan.read_bytes() == whole


def test_a_graph_that_tensorrt_cannot_take_leaves_nothing_behind(repository, builder, bring, tmp_path):
    odd = without_rows(doubling_graph())
    odd.graph.node[0].CopyFrom(onnx.helper.make_node("NonZero", ["x"], ["answer"]))
    answer = onnx.helper.make_tensor_value_info("answer", onnx.TensorProto.INT64, [2, "m"])
    odd.graph.output[0].CopyFrom(answer)
    onnx.save(odd, repository / "doubler/1/dense.onnx")
    with pytest.raises((RuntimeError, ValueError), match="NonZero"):
        bring(builder)
    assert not (repository / "doubler/1/model.plan").exists()
    assert not list((tmp_path / "engines").glob("*"))


def test_a_plan_that_an_export_built_on_this_machine_is_served_as_it_is(repository, builder, bring):
    folder = repository / "doubler" / "1"
    (folder / "model.plan").write_bytes(b"of an export")
    said = {
        "engine": f"{builder.package} {builder.version}",
        "device": str(ADA),
        "files": {"model.plan": {"bytes": 12, "sha256": ""}},
    }
    (folder / "manifest.json").write_text(json.dumps(said))
    assert bring(builder) == (0, [])
    assert (folder / "model.plan").read_bytes() == b"of an export"
    assert bring(replace(builder, device=replace(ADA, name="NVIDIA L40S")))[0] == 1


def test_the_graph_is_the_one_of_the_precision_that_was_exported(repository, builder, bring):
    folder = repository / "doubler" / "1"
    model = onnx.load(folder / "dense.onnx")
    model.graph.node[0].op_type = "MatMul"
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(2 * np.eye(3, dtype="f4"), "table"))
    low = conversion.lowered(model, "fp16")
    onnx.save(low, folder / "dense_fp16.onnx")
    (folder / "manifest.json").write_text(json.dumps({"precision": "fp16"}))
    (plan,) = first_start.needed(repository, ["doubler"], builder)
    assert (plan.graph.name, plan.precision) == ("dense_fp16.onnx", "fp16")
    assert bring(builder)[0] == 1  # the builder refuses a graph without a layer of the precision


def test_an_int8_graph_is_all_that_a_machine_needs_for_its_plan(repository, builder, bring):
    folder = repository / "doubler" / "1"
    graph = onnx.load(folder / "dense.onnx")
    graph.graph.node[0].op_type = "MatMul"
    graph.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(2 * np.eye(3, dtype="f4"), "table"))
    real = [{"x": np.linspace(-1, size, 24, dtype="f4").reshape(8, 3)} for size in (1, 4)]
    (folder / "manifest.json").write_text(json.dumps({"precision": "int8"}))
    plans = []
    for ranges in (real[:1], real):
        onnx.save(quantised(graph, ranges, symmetric=True), folder / "dense_int8.onnx")
        assert bring(builder)[0] == 1, "other ranges are another plan"
        plans.append((folder / "model.plan").read_bytes())
    assert plans[0] != plans[1]
    assert bring(builder) == (0, [])


def test_the_images_configurations_come_to_the_volume_and_what_is_there_stays(tmp_path):
    volume = tmp_path / "models"
    changed = first_start.seed(control.REPOSITORY, volume)
    assert "weld_inspection/config.pbtxt" in changed
    assert "weld_base_preprocess/1/dali.py" in changed
    assert (volume / "weld_base_fusion/1").is_dir()
    (volume / "weld_base_fusion/1/dense.onnx").write_bytes(b"graph")
    (volume / "weld_inspection/config.pbtxt").write_text("of an older image")
    assert first_start.seed(control.REPOSITORY, volume) == ["weld_inspection/config.pbtxt"]
    assert (volume / "weld_base_fusion/1/dense.onnx").read_bytes() == b"graph"
    assert first_start.seed(volume, volume) == []
