"""`--precision auto` for a processor, by the command a user types: a tiny preset, judged on easy-VQA."""

import json

import onnx
import pytest
import torch

from export import manifest
from export.__main__ import main
from export.pipelines import model_names
from export.precision import records
from export.precision.tasks import task_of
from multimodal.vision_language.build import build_vision_language, save_vision_language_weights
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS

from .conftest import write_repository

pytestmark = pytest.mark.slow

TINY = "vision_language_tiny"
FUSION = f"{TINY}_fusion"
NETWORKS = [name for name in model_names(TINY) if not name.endswith("_tokenizer")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A repository, weights, and what one search left beside them."""
    root = tmp_path_factory.mktemp("auto")
    write_repository(root / "models")
    torch.manual_seed(3)
    model = build_vision_language(VISION_LANGUAGE_PRESETS[TINY])
    save_vision_language_weights({model.fusion_name: model}, root / "tiny.safetensors")
    assert export(root) == 0
    return root


def export(root, *extra, precision="auto"):
    typed = [TINY, "--weights", str(root / "tiny.safetensors"), "--repository", str(root / "models")]
    return main([*typed, "--out", str(root / "out"), "--precision", precision, *extra])


@pytest.fixture
def kept(place):
    """The record of the search; what a test writes into it is taken back."""
    (file,) = place.glob("build/precision/*/precision_cpu_auto.json")
    before = file.read_text()
    yield file
    file.write_text(before)


def tell(file, change):
    """Let the record say something else; `change` is given the part of the fusion."""
    said = json.loads(file.read_text())
    change(said["models"][FUSION])
    file.write_text(json.dumps(said))


def tried(record, precision, engine="onnxruntime"):
    wanted = {"precision": precision, "engine": engine, "keep": []}
    return next(one for one in record["tried"] if one["candidate"] == wanted)


def products(folder):
    """Kinds of the operators in a graph and in the branches of it."""
    graph = onnx.load(folder / "model.onnx").graph
    branches = [one.g for node in graph.node for one in node.attribute if one.g.node]
    return {node.op_type for part in (graph, *branches) for node in part.node}


def test_every_model_is_judged_told_and_described(place, kept, capsys):
    before = kept.stat().st_mtime_ns
    assert export(place) == 0
    said = capsys.readouterr().err
    for name in NETWORKS:
        search = manifest.read(place / "out" / name)["precision_search"]
        assert f"{name}: runs " in said and f"{name}: nothing changed" in said
        assert {"tried", "chosen", "configured", "written", "as_configured"} <= set(search)
        assert {one["candidate"]["engine"] for one in search["tried"]} == {"onnxruntime", "openvino"}
        assert search["as_configured"]["ok"]
    assert "precision_search" not in manifest.read(place / "out" / f"{TINY}_tokenizer")
    assert kept.stat().st_mtime_ns == before, "the same engines are not searched again"


def test_a_graph_goes_into_int8_where_that_is_best_and_comes_back(place, kept, capsys):
    graphs, repository = kept.parent, place / "models"
    real = records._calibrate(TINY, graphs, repository, task_of(TINY, items=40), [FUSION])

    def int8_is_best(record):
        record |= {"chosen": tried(record, "int8")["candidate"]} | real[FUSION]
        tried(record, "int8").update(speed=9.0, faults=[], ok=True)

    tell(kept, int8_is_best)
    assert export(place) == 0
    assert (
        f"{FUSION}: runs int8 onnxruntime (9.00x) as configured, its graph in int8" in capsys.readouterr().err
    )
    read = manifest.read(place / "out" / FUSION)
    assert read["precision"] == "int8"
    assert {row["engine"] for row in read["parity"]} == {
        "dense.onnx",
        "model.onnx before int8",
        "model.onnx int8 onnxruntime",
    }
    assert "QuantizeLinear" in products(place / "out" / FUSION)
    assert export(place) == 0
    assert f"{FUSION}: nothing changed" in capsys.readouterr().err

    assert export(place, precision="fp32") == 0
    assert f"{FUSION}: nothing changed" not in capsys.readouterr().err
    assert "QuantizeLinear" not in products(place / "out" / FUSION)


def test_a_configuration_beyond_the_budget_publishes_nothing(place, kept, capsys):
    def fp32_is_beyond(record):
        record["chosen"] = tried(record, "fp32", "openvino")["candidate"]
        tried(record, "fp32").update(faults=["accuracy +0.5000 of 0.002"], ok=False)

    tell(kept, fp32_is_beyond)
    written = (place / "out" / FUSION / "manifest.json").read_text()
    assert export(place, "--force") == 1
    said = capsys.readouterr().err
    assert f"export: {FUSION}: expected a configuration within budget, got fp32 onnxruntime" in said
    assert f'set "{FUSION}": "openvino fp32" in FASTER_ON_CPU' in said
    assert (place / "out" / FUSION / "manifest.json").read_text() == written


def test_another_precision_than_the_best_is_refused_for_a_processor(place, capsys):
    assert export(place, precision="int8") == 1
    assert "--precision: expected fp32 or auto for --target cpu, got int8" in capsys.readouterr().err


def test_random_weights_are_refused(place, capsys):
    typed = [TINY, "--weights", "random", "--repository", str(place / "models"), "--precision", "auto"]
    assert main(typed) == 1
    assert "expected trained weights, got random ones" in capsys.readouterr().err
