"""Every quality fusion as an ONNX graph, compared with PyTorch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from export.contract import Contract, Tensor
from export.onnx_graphs import EXAMPLE_BATCH, export_dense
from export.parity import onnx_runtime
from multimodal.clip_features import EVIDENCE_COLUMNS, EVIDENCE_ROWS, evidence_of, pack_levels, unpack_levels
from multimodal.fusions import QUALITY_FUSIONS

from .clip_inputs import SIDES, SIZES, STEPS, WIDTHS, assemble, random_clip

MAP_SHAPES = [(channels, side, side) for channels, side in zip(WIDTHS.spatial_levels, SIDES, strict=True)]


class ServedFusion(nn.Module):
    """Tensors in, tensors out: what a graph is made of."""

    def __init__(self, fusion: nn.Module) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(
        self,
        spatial_tokens: torch.Tensor,
        temporal_tokens: torch.Tensor,
        scores: torch.Tensor,
        spatial_maps: torch.Tensor,
        temporal_levels: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        clip = assemble(
            spatial_tokens,
            temporal_tokens,
            scores.softmax(dim=-1),
            unpack_levels(spatial_maps, MAP_SHAPES),
            unpack_levels(temporal_levels, [(channels,) for channels in WIDTHS.temporal_levels]),
        )
        fused, info = self.fusion.fuse_clip(clip)
        return fused, evidence_of(self.fusion, info, fused)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", QUALITY_FUSIONS)
def test_the_onnx_graph_agrees_with_pytorch_at_other_batches_than_it_was_made_with(name, tmp_path):
    torch.manual_seed(0)
    fusion = ServedFusion(QUALITY_FUSIONS[name].from_sizes(WIDTHS, SIZES)).eval()
    pixels = sum(channels * height * width for channels, height, width in MAP_SHAPES)
    contract = Contract(
        name,
        (
            Tensor("spatial_tokens", "FP32", (STEPS, WIDTHS.spatial)),
            Tensor("temporal_tokens", "FP32", (STEPS, WIDTHS.temporal)),
            Tensor("scores", "FP32", (STEPS,)),
            Tensor("spatial_maps", "FP32", (pixels,)),
            Tensor("temporal_levels", "FP32", (sum(WIDTHS.temporal_levels),)),
        ),
        (
            Tensor("fused", "FP32", (fusion.fusion.out_width,)),
            Tensor("fusion_weights", "FP32", (EVIDENCE_ROWS, EVIDENCE_COLUMNS)),
        ),
        8,
        "onnxruntime",
    )
    export_dense(fusion, contract, tmp_path / "dense.onnx")
    run = onnx_runtime(tmp_path / "dense.onnx")
    for batch in (1, 5):
        assert batch != EXAMPLE_BATCH
        clip = random_clip(batch)
        inputs = (
            clip.spatial,
            clip.temporal,
            clip.frame_weights.log(),
            pack_levels(clip.spatial_maps),
            pack_levels(clip.temporal_levels),
        )
        named = {tensor.name: value.numpy() for tensor, value in zip(contract.inputs, inputs, strict=True)}
        answers = run(named)
        with torch.no_grad():
            expected = fusion(*inputs)
        for tensor, value in zip(contract.outputs, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(answers[tensor.name]), value, atol=1e-4, rtol=0)
        assert abs(answers["fused"]).max() > 1e-3
