"""Modules over time export with a free batch and answer as PyTorch does."""

from __future__ import annotations

import pytest
import torch

from export.contract import Contract, Tensor
from export.onnx_graphs import export_dense
from export.parity import onnx_runtime
from multimodal.samplers import ContentAwareSampler
from multimodal.temporal import TEMPORAL, NonLocalTemporal, TemporalAttention

pytestmark = pytest.mark.slow


class OnMaps(torch.nn.Module):
    """Hands clips on as a backbone would: (batch * frames, channels, height, width)."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.module(clips.flatten(0, 1)).reshape(clips.shape)


def on_maps(name: str) -> tuple[torch.nn.Module, Contract]:
    shape = (4, 16, 3, 5)
    return OnMaps(TEMPORAL[name](16, 4)), contract({"clips": shape}, {"after": shape})


def on_sequence(name: str) -> tuple[torch.nn.Module, Contract]:
    return TEMPORAL[name](16, 4), contract({"sequence": (4, 16)}, {"after": (4, 16)})


def attention() -> tuple[torch.nn.Module, Contract]:
    outside = contract({"sequence": (4, 16), "valid": (4,)}, {"vector": (16,), "weights": (4, 1)})
    return TemporalAttention(16), outside


def non_local() -> tuple[torch.nn.Module, Contract]:
    return NonLocalTemporal(16), contract({"sequence": (16, 4)}, {"after": (16, 4)})


def content_aware() -> tuple[torch.nn.Module, Contract]:
    extractor = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4, 8))
    outside = contract({"frames": (7, 3, 4, 4)}, {"chosen": (3, 3, 4, 4), "indices": (3,), "scores": (7,)})
    return ContentAwareSampler(extractor, 8, hidden=8, target_frames=3), outside


def contract(inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]]) -> Contract:
    dtypes = {"valid": "BOOL", "indices": "INT64"}
    sides = (
        tuple(Tensor(name, dtypes.get(name, "FP32"), dims) for name, dims in side.items())
        for side in (inputs, outputs)
    )
    return Contract("over_time", *sides, 8, "onnxruntime")


CASES = {
    **{f"{name} on maps": (lambda name=name: on_maps(name)) for name in TEMPORAL if name != "none"},
    **{f"{name} on a sequence": (lambda name=name: on_sequence(name)) for name in TEMPORAL if name != "none"},
    "temporal attention": attention,
    "non-local block": non_local,
    "content-aware sampler": content_aware,
}


def drawn(tensor: Tensor, batch: int) -> torch.Tensor:
    numbers = torch.randn((batch, *tensor.dims), generator=torch.Generator().manual_seed(batch))
    return numbers > 0 if tensor.dtype == "BOOL" else numbers


@pytest.mark.parametrize("case", CASES)
def test_the_exported_graph_answers_as_pytorch_for_any_batch(case, tmp_path):
    torch.manual_seed(0)
    module, outside = CASES[case]()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    export_dense(module.eval(), outside, tmp_path / "dense.onnx")
    run = onnx_runtime(tmp_path / "dense.onnx")
    for batch in (1, 3, 5):
        inputs = {tensor.name: drawn(tensor, batch) for tensor in outside.inputs}
        with torch.no_grad():
            expected = module(*inputs.values())
        expected = expected if isinstance(expected, tuple) else (expected,)
        answers = run({name: values.numpy() for name, values in inputs.items()})
        for tensor, values in zip(outside.outputs, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(answers[tensor.name]), values, atol=1e-5, rtol=1e-4)
