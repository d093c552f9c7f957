"""Every engine of video quality, and every fusion: what ONNX Runtime says is what PyTorch says."""

import functools

import numpy as np
import onnx
import pytest
import torch

from export import contract, engines, parity
from export.example_inputs import draw
from export.pipelines import model_names
from multimodal.fusions import QUALITY_FUSIONS

from .conftest import Exported, write_repository

pytestmark = pytest.mark.slow

TINY = "video_quality_tiny"
ENCODERS = [name for name in model_names(TINY) if not name.endswith("_fusion")]
FUSION = f"{TINY}_fusion"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(model, fusion) -> Exported; each graph is made when the first test asks for it."""
    root = tmp_path_factory.mktemp("quality")
    configurations = write_repository(root / "models")

    @functools.cache
    def export(model: str, fusion: str = "") -> Exported:
        module = engines.served_module(TINY, model, None, fusion)
        promised = contract.load(configurations, model)
        if model == FUSION:
            spread_scores(module, promised)
        folder = root / f"{model}-{fusion}"
        folder.mkdir()
        engines.write_graphs(module, promised, folder)
        return Exported(module, promised, folder)

    return export


def spread_scores(module, promised):
    """Let random weights use the scale of labels, mean 50 and deviation 20: fresh heads say almost the same
    to every clip, and a comparison of that would prove little."""
    raw = parity.pytorch(module, promised)(draw(promised, 8, seed=9))["quality_score"]
    assert raw.std() > 1e-4, "a head that does not react cannot be compared"
    module.judge.scale.std.fill_(20 / raw.std())
    module.judge.scale.mean.fill_(50 - 20 / raw.std() * raw.mean())


@pytest.mark.parametrize("name", ENCODERS)
def test_both_graphs_of_an_encoder_answer_as_pytorch_does(exported, name):
    model = exported(name)
    rows = engines.compare_files(model.module, model.contract, model.folder)
    assert [row.remark for row in rows] == [""] * 2 * len(model.contract.outputs)
    assert all(row.cosine > 0.999999 for row in rows)


@pytest.mark.parametrize("fusion", QUALITY_FUSIONS)
def test_every_fusion_is_exported_and_answers_as_pytorch_does_at_every_batch(exported, fusion):
    model = exported(FUSION, fusion)
    rows = engines.compare_files(model.module, model.contract, model.folder)
    assert [row.remark for row in rows] == [""] * 2 * len(model.contract.outputs)
    weights = next(row for row in rows if row.output == "fusion_weights")
    assert (weights.reference_abs_max > 0) == bool(QUALITY_FUSIONS[fusion].evidence.key)


@pytest.mark.parametrize("fusion", QUALITY_FUSIONS)
def test_an_answer_names_its_fusion_and_the_size_of_its_evidence(exported, fusion):
    model = exported(FUSION, fusion)
    answer = parity.onnx_runtime(model.folder / "model.onnx")(draw(model.contract, 2, seed=3))
    assert answer["fusion_index"].tolist() == [[list(QUALITY_FUSIONS).index(fusion)]] * 2
    rows, columns = answer["fusion_shape"][0]
    evidence = QUALITY_FUSIONS[fusion].evidence
    assert rows == len(evidence.rows)
    assert not evidence.columns or columns == len(evidence.columns)
    beyond = answer["fusion_weights"].copy()
    beyond[:, :rows, :columns] = 0
    assert not beyond.any()
    np.testing.assert_allclose(answer["frame_weights"].sum(axis=1), 1, atol=1e-6)


def test_a_clip_that_is_not_valid_is_answered_with_zeros_and_its_neighbours_do_not_notice(exported):
    model = exported(FUSION, "gated")
    run = parity.onnx_runtime(model.folder / "model.onnx")
    inputs = draw(model.contract, 3, seed=5)
    whole = run(inputs)
    inputs["video_valid"][1] = False
    inputs["spatial_tokens"][1] = np.nan
    answer = run(inputs)
    for name, rows in answer.items():
        assert not rows[1].any(), name
        np.testing.assert_allclose(rows[[0, 2]], whole[name][[0, 2]], atol=1e-5)


def test_no_encoder_carries_weights_of_the_fusion(exported):
    counts = {name: _weights(exported(name).folder / "dense.onnx") for name in ENCODERS}
    whole = sum(_parameters(exported(name).module) for name in ENCODERS)
    assert sum(counts.values()) <= whole * 1.02  # constants of the graph: sizes and axes


def test_an_unknown_fusion_of_a_preset_is_refused():
    with pytest.raises(ValueError, match=r"fusion: expected one of .*, got 'gatet'; did you mean 'gated'"):
        engines.served_module(TINY, FUSION, None, "gatet")


def _weights(path) -> int:
    graph = onnx.load(path).graph
    return sum(int(np.prod(weight.dims)) for weight in graph.initializer if weight.data_type == 1)


def _parameters(module: torch.nn.Module) -> int:
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point())
