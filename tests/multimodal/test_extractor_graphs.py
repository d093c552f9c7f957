"""Extractors and feature maps as ONNX graphs: the same figures at batches that were not the exported one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from export.contract import Contract, Tensor
from export.onnx_graphs import EXAMPLE_BATCH, export_dense
from export.parity import onnx_runtime
from multimodal.encoders import BACKBONES
from multimodal.encoders.multi_resolution import MultiResolutionProcessor
from multimodal.feature_maps import POOLS, FeaturePyramidNetwork, SpatialAttention

from .pictures import pictures, small_extractor

pytestmark = pytest.mark.slow
OTHER_BATCHES = (1, 5)


class FlatOutputs(nn.Module):
    """One pass as the flat tuple that a graph has: vector and maps."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        vector, maps = self.extractor.extract(x)
        return vector, *maps


class MapChain(nn.Module):
    """Backbone, pyramid, spatial attention and every pool."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.backbone = BACKBONES[name](top=False)
        self.pyramid = FeaturePyramidNetwork(self.backbone.stage_dims, 8, smooth=True)
        self.attention = SpatialAttention(8)
        self.pools = nn.ModuleList(pool(8) for pool in POOLS.values())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        levels = self.pyramid(self.backbone.extract_features(x))
        weighted, weights = self.attention(levels[1])
        return (*levels, weights, *(pool(weighted) for pool in self.pools))


def outputs_of(module: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        outputs = module(x)
    return outputs if isinstance(outputs, tuple) else (outputs,)


def assert_the_graph_agrees(module: nn.Module, folder: Path, *shape: int) -> None:
    """Export it for pictures (channels, height, width), run other batches, compare with PyTorch."""
    assert EXAMPLE_BATCH not in OTHER_BATCHES
    shapes = [tuple(output.shape[1:]) for output in outputs_of(module.eval(), pictures(1, *shape))]
    outputs = tuple(Tensor(f"output_{place}", "FP32", dims) for place, dims in enumerate(shapes))
    contract = Contract("pictures", (Tensor("x", "FP32", shape),), outputs, 8, "onnxruntime")
    export_dense(module, contract, folder / "graph.onnx")
    run = onnx_runtime(folder / "graph.onnx")
    for batch in OTHER_BATCHES:
        x = pictures(batch, *shape, seed=batch)
        for made, expected in zip(run({"x": x.numpy()}).values(), outputs_of(module, x), strict=True):
            torch.testing.assert_close(torch.from_numpy(made), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "size_px"),
    [
        ("efficientnet-tiny", 32),
        ("efficientnet-small", 96),
        ("convnext_tiny_32", 32),
        ("convnext_small_64", 64),
        ("vit_tiny_patch16_32", 48),  # positions interpolated
        ("multi_scale_convnext", 96),
    ],
)
def test_graphs_of_extractors_agree_at_other_batches(name, size_px, tmp_path):
    extractor = small_extractor(name)
    assert_the_graph_agrees(FlatOutputs(extractor), tmp_path, extractor.in_channels, size_px, size_px)


def test_graphs_of_pyramids_attention_and_pools_agree_at_odd_sizes(tmp_path):
    torch.manual_seed(0)
    assert_the_graph_agrees(MapChain("convnext_tiny_32"), tmp_path, 3, 75, 93)


def test_the_graph_of_several_resolutions_agrees(tmp_path):
    torch.manual_seed(0)
    processor = MultiResolutionProcessor(BACKBONES["convnext_tiny_32"](), (32, 48, 64), out_dim=8)
    assert_the_graph_agrees(processor, tmp_path, 3, 48, 48)
