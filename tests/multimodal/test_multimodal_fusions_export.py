"""Every fusion of any number of modalities as an ONNX graph, compared with PyTorch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from export.contract import Contract, Tensor
from export.onnx_graphs import EXAMPLE_BATCH, export_dense
from export.parity import onnx_runtime
from multimodal.fusions import MULTIMODAL_FUSIONS

from .test_every_multimodal_fusion import WIDTH, build, vectors, widths_of

OUTPUTS = {
    "attention": {"attention": (4, 3, 3)},
    "additive_attention": {"weights": (3,)},
    "gated_vectors": {"gates": (3,)},
    "normalised_gated_vectors": {"gates": (3,), "weights": (3,)},
    "late": {"weights": (3,)},
    "selected": {"early_fused": (WIDTH,), "late_fused": (WIDTH,), "fusion_weights": (4,)},
}


class Positional(nn.Module):
    """Tensors in, tensors out: what a graph is made of."""

    def __init__(self, fusion: nn.Module, evidence: tuple[str, ...]) -> None:
        super().__init__()
        self.fusion = fusion
        self.evidence = evidence

    def forward(
        self, first: torch.Tensor, second: torch.Tensor, third: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        fused, info = self.fusion((first, second, third))
        return fused, *(info[name] for name in self.evidence)


@pytest.mark.slow
@pytest.mark.parametrize("name", MULTIMODAL_FUSIONS)
def test_the_onnx_graph_agrees_with_pytorch_at_other_batches_than_it_was_made_with(name, tmp_path):
    evidence = OUTPUTS.get(name, {})
    fusion = Positional(build(name), tuple(evidence))
    contract = Contract(
        name,
        tuple(
            Tensor(place, "FP32", (width,))
            for place, width in zip(("first", "second", "third"), widths_of(name), strict=True)
        ),
        (
            Tensor("fused", "FP32", (WIDTH,)),
            *(Tensor(output, "FP32", shape) for output, shape in evidence.items()),
        ),
        8,
        "onnxruntime",
    )
    export_dense(fusion, contract, tmp_path / "dense.onnx")
    run = onnx_runtime(tmp_path / "dense.onnx")
    for batch in (1, 5):
        assert batch != EXAMPLE_BATCH
        given = vectors(widths_of(name), batch)
        answers = run(
            {tensor.name: value.numpy() for tensor, value in zip(contract.inputs, given, strict=True)}
        )
        with torch.no_grad():
            expected = fusion(*given)
        for tensor, value in zip(contract.outputs, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(answers[tensor.name]), value, atol=1e-5, rtol=0)
