"""Every graph of every small preset is parsed and built by a real TensorRT, in fp32 and in a lower type."""

import functools

import onnx
import pytest
import torch

from export import contract, engines, generator_graphs, manifest, onnx_files, onnx_graphs
from export.artefacts import LENGTHS
from export.example_inputs import draw
from export.pipelines import PRESETS, model_names
from export.precision import conversion
from export.precision.quantisation import FEWEST, products, quantised
from export.tensorrt import build
from model_repository.configuration import MAX_BATCH

pytestmark = pytest.mark.slow

REPOSITORY = manifest.ROOT / "model_repository"
QUESTIONS = "visual_question_answering_small"
# preset -> the fixture whose repository has its graphs already; others are made here, of random weights
EXPORTED = {
    "weld_small": "exported_welds",
    "video_quality_small": "exported_quality",
    "vision_language_small": "exported_pairs",
}
SERVED = [
    (preset, model)
    for preset in (*EXPORTED, QUESTIONS)
    for model in model_names(preset)
    if contract.load(REPOSITORY, model, "gpu").engine == "tensorrt_plan"
]
FUSIONS = [(preset, fusion) for preset in EXPORTED for fusion in PRESETS[preset].fusions(preset)]
GENERATING = (
    generator_graphs.ANSWER,
    generator_graphs.CAPTION,
    generator_graphs.READER_ENCODER,
    generator_graphs.READER_DECODER,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(preset, model, fusion) -> path of a dense graph of random weights."""
    folder = tmp_path_factory.mktemp("dense")

    @functools.cache
    def export(preset: str, model: str, fusion: str = ""):
        path = folder / f"{model}{fusion}.onnx"
        module = engines.served_module(preset, model, None, fusion)
        onnx_graphs.export_dense(module, contract.load(REPOSITORY, model), path)
        return path

    return export


@pytest.fixture(scope="module")
def generation(tmp_path_factory):
    """File -> path and contract of a graph that writes words, of random weights."""
    folder = tmp_path_factory.mktemp("generation")
    pipeline = PRESETS[QUESTIONS]
    torch.manual_seed(0)
    modules = pipeline.generation(QUESTIONS, None)
    promised = contract.load(REPOSITORY, f"{QUESTIONS}_answers")
    graphs = generator_graphs.graph_contracts(promised, pipeline.sizes(QUESTIONS))

    def export(file: str):
        lengths = generator_graphs.input_lengths(graphs[file], *LENGTHS[0])
        onnx_graphs.export_dense(modules[file].eval(), graphs[file], folder / file, lengths)
        return folder / file, graphs[file]

    return export


def built_twice(path, promised, folder, precision):
    """Summaries of the plan as exported and of the one in a lower precision."""
    low = folder / f"{precision}.onnx"
    onnx_files.save(conversion.lowered(onnx.load(path), precision), low)
    return (
        build(path, promised).summary["network"],
        build(low, promised, precision=precision).summary["network"],
    )


def assert_lowered(whole, low, type_):
    """Most of what is computed with weights is in the low type, and borders are as they were."""
    assert type_ not in whole["types"]
    assert low["types"][type_] > low["types"].get("FLOAT", 0)
    assert [one["type"] for one in low["inputs"]] == [one["type"] for one in whole["inputs"]]
    assert [one["shape"][0] for one in low["inputs"]] == [-1] * len(low["inputs"])


@pytest.mark.parametrize(("preset", "model"), SERVED)
def test_every_served_graph_is_built_in_fp32_and_bf16(request, made, tmp_path, preset, model):
    promised = contract.load(REPOSITORY, model, "gpu")
    if preset in EXPORTED:
        path = request.getfixturevalue(EXPORTED[preset]) / model / "1" / "dense.onnx"
    else:
        path = made(preset, model)
    assert_lowered(*built_twice(path, promised, tmp_path, "bf16"), "BF16")


@pytest.mark.parametrize(("preset", "model"), SERVED)
def test_every_served_graph_is_built_in_int8(request, made, tmp_path, preset, model):
    promised = contract.load(REPOSITORY, model, "gpu")
    if preset in EXPORTED:
        path = request.getfixturevalue(EXPORTED[preset]) / model / "1" / "dense.onnx"
    else:
        path = made(preset, model)
    # drawn, as most of the weights are: what is asked is whether TensorRT takes the pairs, not what they cost
    graph = onnx.load(path)
    low = quantised(graph, [draw(promised, FEWEST, seed=1)], symmetric=True)
    onnx_files.save(low, tmp_path / "int8.onnx")
    types = build(tmp_path / "int8.onnx", promised, precision="int8").summary["network"]["types"]
    assert types["INT8"] > len(products(graph)) > 1, "weights and what they are multiplied with"


@pytest.mark.parametrize(("preset", "fusion"), FUSIONS)
def test_every_fusion_that_may_be_served_is_built_in_fp32_and_fp16(made, tmp_path, preset, fusion):
    model = f"{preset}_fusion"
    promised = contract.load(REPOSITORY, model, "gpu")
    whole, low = built_twice(made(preset, model, fusion), promised, tmp_path, "fp16")
    assert low["types"]["HALF"] > 0
    assert "HALF" not in whole["types"]


@pytest.mark.parametrize("file", GENERATING)
def test_graphs_that_write_words_are_built_for_free_lengths(generation, tmp_path, file):
    path, promised = generation(file)
    whole, low = built_twice(path, promised, tmp_path, "bf16")
    assert_lowered(whole, low, "BF16")
    assert all(one["shape"][1] == -1 for one in whole["inputs"])
    assert promised.max_batch >= MAX_BATCH
