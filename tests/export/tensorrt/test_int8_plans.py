"""A plan in int8: calibrated on real inputs, judged on others of them, and another one for other ranges.

What stands for real inputs is drawn here, as the weights of the tiny preset are.
"""

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export import engines, manifest, parity, plans
from export.example_inputs import draw
from export.precision import calibration, inside
from export.precision.candidates import Bench, Candidate
from export.precision.chain import Chain
from export.precision.quantisation import products
from export.precision.tasks import Task
from export.targets import Order

MODEL = "tiny_sensor_encoder"
PHOTOS = "tiny_image_encoder"  # several rows per request, so that its dense graph is not the one inside


@pytest.fixture
def order(exported, tmp_path):
    """Model -> its order in int8, calibrated on 32 drawn items with absent rows."""

    def order(model, seed=1):
        made = exported(model)
        task = Task(draw(made.contract, 32, seed, absent=True), draw(made.contract, 8, 99), lambda said: {})
        runs = {model: parity.onnx_runtime(made.folder / "model.onnx")}
        calibration.write(Chain([made.contract]), runs, task, tmp_path, [model])
        return Order("rtx", "int8", calibration=calibration.file_of(tmp_path, model))

    return order


@pytest.fixture
def folder(exported, tmp_path):
    """Model -> a folder with its fp32 graphs."""
    return lambda model: shutil.copytree(exported(model).folder, tmp_path / "staged" / model)


def scales(graph):
    """Product, by its modules -> step of the numbers that go into it."""
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    made_by = {name: node for node in graph.graph.node for name in node.output}
    found = []
    for node in graph.graph.node:
        before = made_by.get(node.input[0]) if node.op_type in ("MatMul", "Gemm", "Conv") else None
        if before is not None and before.op_type == "DequantizeLinear":
            found.append(float(held[before.input[1]]))
    return found


@pytest.mark.slow
def test_it_is_calibrated_compared_on_real_items_and_built(exported, order, folder, tmp_path):
    made, asked, staged = exported(MODEL), order(MODEL), folder(MODEL)
    real = engines.real_references(made.module, made.contract, asked.calibration)
    assert sum(len(case["sensor_valid"]) for case, _ in real) == 8
    rows = plans.write_graph(staged, made.contract, asked, real)
    assert [row.remark for row in rows] == [""]
    assert all(1e-4 < row.apart < 0.1 for row in rows)
    plan = plans.write_plan(staged, made.contract, asked, None)
    assert json.loads(plans.description_of(plan).read_text())["network"]["types"]["INT8"] > 4


def test_what_the_search_judged_is_what_the_plan_is_made_of(exported, order, folder):
    """The search sees single rows, a plan whole requests: their ranges are the same, absent rows or not."""
    made, asked, staged = exported(PHOTOS), order(PHOTOS), folder(PHOTOS)
    ranges = calibration.read(asked.calibration)
    assert not ranges["image_valid"].all()
    bench = Bench(made.contract, onnx.load(staged / "model.onnx"), ranges, staged)
    judged = inside.network(bench.graph(Candidate("int8", "tensorrt")), made.contract)
    plans.write_graph(staged, made.contract, asked, real_of(made, asked))
    built = scales(onnx.load(staged / "dense_int8.onnx"))
    assert len(built) > 4
    assert built == pytest.approx(scales(judged), rel=1e-5)


def real_of(made, asked):
    return engines.real_references(made.module, made.contract, asked.calibration)


def test_a_part_that_the_search_keeps_is_kept_though_the_exporter_numbers_it_otherwise(
    exported, order, folder
):
    made, asked, staged = exported(PHOTOS), order(PHOTOS), folder(PHOTOS)
    network = inside.network(onnx.load(staged / "model.onnx"), made.contract)
    dense = onnx.load(staged / "dense.onnx")
    for number, node in enumerate(dense.graph.node):
        node.name = f"node_{number}"
    onnx.save(dense, staged / "dense.onnx")
    place = 3
    name, wanted = products(network)[place], products(dense)[place]
    assert inside.renamed([name, "encoder"], network, dense) == ("encoder", wanted)
    rows = plans.write_graph(staged, made.contract, replace(asked, keep=(name,)), real_of(made, asked))
    assert all(row.ok for row in rows)
    left = {node.name: node for node in onnx.load(staged / "dense_int8.onnx").graph.node}
    low = [name for name in products(dense) if "DequantizeLinear" in left[name].input[1]]
    assert low == [name for name in products(dense) if name != wanted]


def test_a_node_without_a_counterpart_is_refused(exported):
    dense = onnx.load(exported(MODEL).folder / "dense.onnx")
    fewer = onnx.ModelProto()
    fewer.CopyFrom(dense)
    del fewer.graph.node[-1]
    name = dense.graph.node[-1].name
    with pytest.raises(ValueError, match=f"keep: expected {name}, a .* found none; keep its module"):
        inside.renamed([name], dense, fewer)


def test_other_items_are_another_recipe_and_the_same_are_not(exported, order):
    made = exported(MODEL)
    graphs = manifest.recipe(made.contract, "tiny", "0" * 64)
    first = plans.with_plan(graphs, made.contract, order(MODEL))
    assert plans.with_plan(graphs, made.contract, order(MODEL)).digest == first.digest
    assert plans.with_plan(graphs, made.contract, order(MODEL, seed=2)).digest != first.digest
    assert json.loads(first.build)["calibration"]["items"] == 32


def test_without_real_inputs_there_is_no_plan_in_int8(exported, folder, tmp_path):
    made = exported(MODEL)
    graphs = manifest.recipe(made.contract, "tiny", "0" * 64)
    with pytest.raises(FileNotFoundError, match="expected a file of real inputs to calibrate int8 on"):
        plans.with_plan(graphs, made.contract, Order("rtx", "int8"))
    with pytest.raises(FileNotFoundError, match="expected a file of real inputs to calibrate int8 on"):
        plans.write_graph(folder(MODEL), made.contract, Order("rtx", "int8"), [])
    with pytest.raises(FileNotFoundError, match="expected real inputs of the task to calibrate int8 on"):
        calibration.read(tmp_path / "none.npz")


def test_requests_are_filled_with_rows_that_are_there(exported):
    promised = exported(PHOTOS).contract
    drawn = draw(promised, 3, seed=1, absent=True)
    whole = inside.whole_requests(drawn, promised)
    mask, rows = drawn["image_valid"], drawn["image_pixels"]
    assert whole["image_valid"].all()
    assert len(whole["image_valid"]) == -(-mask.sum() // mask.shape[1])
    flat = whole["image_pixels"].reshape(-1, *rows.shape[2:])
    assert np.array_equal(flat[: mask.sum()], rows[mask])
    again = len(flat) - mask.sum()
    assert np.array_equal(flat[mask.sum() :], rows[mask][:again])
    full = draw(promised, 2, seed=1)
    assert inside.whole_requests(full, promised)["image_pixels"] is full["image_pixels"]
