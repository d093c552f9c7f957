"""The exported graphs: what ONNX Runtime says is what PyTorch says, at batches that were not exported."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from model_repository.weld_models import answer_tensors, raw_tensors, token_tensors, valid_tensors
from multimodal.build import build
from multimodal.fusions import FUSIONS
from multimodal.served import ServedEncoder, ServedFusion
from multimodal.weld_classes import MODALITIES

from .conftest import TINY, weld_inputs

pytestmark = pytest.mark.slow

ATTENTION_QUERIES = ("query.weight", "q_proj.weight", "key.weight", "k_proj.weight")


@pytest.fixture(scope="module")
def model():
    """A model whose attention is peaky: with fresh weights it is uniform, and parity would prove little."""
    torch.manual_seed(0)
    model = build(TINY)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(ATTENTION_QUERIES):
                parameter.mul_(6.0)
    model.front_ends["sensor"].fit(torch.randn(40, 6) * 5 + 3)
    return model


def arguments(name: str, batch: int, model, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Positional tensors of one served graph, with some rows not valid."""
    raw, valid = weld_inputs(batch, seed=seed)
    numbers = torch.Generator().manual_seed(seed)
    valid = {key: torch.rand(rows.shape, generator=numbers) > 0.3 for key, rows in valid.items()}
    if name == "fusion":
        with torch.no_grad():
            tokens = model.encode(raw, valid)
        return tuple(tokens[key] for key in MODALITIES) + tuple(valid[key] for key in MODALITIES)
    inputs = (raw["audio"], raw["audio_samples"]) if name == "audio" else (raw[name],)
    return (*inputs, valid[name])


def served(name: str, model) -> torch.nn.Module:
    return (ServedFusion(model) if name == "fusion" else ServedEncoder(model, name)).eval()


def session(name: str, model, folder: Path) -> onnxruntime.InferenceSession:
    example = arguments(name, 2, model)
    batch = torch.export.Dim("batch", min=1, max=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own dependencies
        program = torch.onnx.export(
            served(name, model),
            example,
            dynamo=True,
            opset_version=20,
            input_names=[f"in_{index}" for index in range(len(example))],
            dynamic_shapes=tuple({0: batch} for _ in example),
            verbose=False,
        )
    program.save(folder / f"{name}.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"])


def run(graph: onnxruntime.InferenceSession, tensors: tuple[torch.Tensor, ...]) -> list[np.ndarray]:
    return graph.run(None, {f"in_{index}": tensor.numpy() for index, tensor in enumerate(tensors)})


@pytest.fixture(scope="module", params=[*MODALITIES, "fusion"])
def exported(request, model, tmp_path_factory):
    return request.param, session(request.param, model, tmp_path_factory.mktemp("onnx"))


@pytest.mark.parametrize("batch", [1, 3])
def test_onnx_runtime_agrees_with_pytorch(exported, model, batch):
    name, graph = exported
    tensors = arguments(name, batch, model, seed=batch)
    with torch.no_grad():
        expected = served(name, model)(*tensors)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for ours, theirs in zip(run(graph, tensors), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)


def test_a_batch_of_no_rows_gives_no_rows(exported, model):
    name, graph = exported
    empty = tuple(tensor[:0] for tensor in arguments(name, 2, model))
    shapes = [rows.shape[1:] for rows in run(graph, arguments(name, 2, model))]
    assert [rows.shape for rows in run(graph, empty)] == [(0, *shape) for shape in shapes]


def test_rows_without_anything_valid_are_numbers(exported, model):
    name, graph = exported
    tensors = tuple(
        torch.zeros_like(tensor) if tensor.dtype == torch.bool else tensor
        for tensor in arguments(name, 2, model)
    )
    for rows in run(graph, tensors):
        assert np.isfinite(rows).all()
        if name != "fusion":
            assert (rows == 0).all()


def test_the_graph_holds_no_random_numbers(exported, model):
    name, graph = exported
    tensors = arguments(name, 2, model)
    for first, second in zip(run(graph, tensors), run(graph, tensors), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", MODALITIES)
def test_encoder_tensors_are_those_of_the_configuration(name, model):
    tensors = arguments(name, 2, model)
    described = (*raw_tensors(TINY)[name], valid_tensors(TINY)[name])
    assert [tuple(tensor.shape[1:]) for tensor in tensors] == [tensor.dims for tensor in described]
    with torch.no_grad():
        assert tuple(served(name, model)(*tensors).shape[1:]) == token_tensors(TINY)[name].dims


def test_fusion_tensors_are_those_of_the_configuration(model):
    with torch.no_grad():
        answers = served("fusion", model)(*arguments("fusion", 2, model))
    assert [tuple(rows.shape[1:]) for rows in answers] == [tensor.dims for tensor in answer_tensors(TINY)]


def test_served_graphs_carry_only_their_own_weights(model):
    assert not any("encoders" in name for name in ServedFusion(model).state_dict())
    assert {name.split(".")[0] for name in ServedEncoder(model, "video").state_dict()} == {"encoder"}


def test_an_unknown_modality_names_the_known_ones(model):
    with pytest.raises(ValueError, match="expected one of video, image, audio, sensor, got 'smell'"):
        ServedEncoder(model, "smell")


def test_the_served_embedding_has_unit_length(model):
    for fusion in FUSIONS:
        torch.manual_seed(0)
        other = build(TINY, fusion=fusion)
        embedding = served("fusion", other)(*arguments("fusion", 2, other))[2]
        torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(2))
