"""EfficientNet-Lite0: EfficientNet without squeeze-and-excitation and with ReLU6, for processors."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from multimodal.encoders.feature_extractor import StageBackbone, Stages

STEM, TOP = 32, 1280
# Kernel, stride, expansion, channels, repeats of each group of blocks.
GROUPS = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
# TensorFlow's epsilon, which the published weights were trained with.
EPSILON = 1e-3
# Names of the published file -> ours, in the order in which they are replaced.
RENAMED = (
    ("_conv_stem.", "stem.1."),
    ("_bn0.", "stem.2."),
    ("_conv_head.", "top.0."),
    ("_bn1.", "top.1."),
)
RENAMED_IN_BLOCKS = (
    ("_expand_conv.", "expand.0."),
    ("_bn0.", "expand.1."),
    ("_depthwise_conv.", "depthwise.1."),
    ("_bn1.", "depthwise.2."),
    ("_project_conv.", "project.0."),
    ("_bn2.", "project.1."),
)


class LiteNormalise(nn.Module):
    """RGB values in [0, 1] to what EfficientNet-Lite was trained on: (value in 0..255 - 127) / 128."""

    def forward(self, pictures: Tensor) -> Tensor:
        """(..., 3, height, width) -> same shape."""
        return (pictures * 255 - 127) / 128


def _convolution(in_channels: int, out_channels: int, kernel: int, stride: int, groups: int) -> nn.Sequential:
    """Padded as TensorFlow's "same" pads even sides: a stride of 2 gets a row and column more at the end."""
    over = kernel - stride
    before, after = over // 2, over - over // 2
    return nn.Sequential(
        nn.ZeroPad2d((before, after, before, after)),
        nn.Conv2d(in_channels, out_channels, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels, eps=EPSILON),
        nn.ReLU6(),
    )


def _pointwise(in_channels: int, out_channels: int, *after: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels, eps=EPSILON), *after
    )


class InvertedResidual(nn.Module):
    """Widen, convolve each channel alone, narrow; added to its input where shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand = _pointwise(in_channels, inner, nn.ReLU6()) if expansion > 1 else nn.Identity()
        self.depthwise = _convolution(inner, inner, kernel, stride, groups=inner)
        self.project = _pointwise(inner, out_channels)
        self.adds = stride == 1 and in_channels == out_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, out_channels, height / stride, width / stride)."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


class EfficientNetLiteBackbone(StageBackbone):
    """EfficientNet-Lite0 without its classifier: 3,371,008 parameters; sides must be multiples of 32 px.

    top: False leaves out the last 1x1 convolution, which the four stage maps do not pass through: 2,958,848
    Source: Tan and Le, EfficientNet (arXiv 1905.11946), and the Lite variants published with its code.
    """

    def __init__(self, top: bool = True) -> None:
        blocks: list[InvertedResidual] = []
        widths, ends, channels = [], [], STEM
        for kernel, stride, expansion, width, repeats in GROUPS:
            if stride == 2 and blocks:
                ends.append(len(blocks) - 1)
                widths.append(channels)
            for index in range(repeats):
                blocks.append(InvertedResidual(channels, width, kernel, 1 if index else stride, expansion))
                channels = width
        # The first end is that of the map at stride 2, which no pyramid uses.
        super().__init__(TOP if top else channels, (*widths[1:], channels), in_channels=3, native_px=224)
        self.ends = frozenset((*ends[1:], len(blocks) - 1))
        self.stem = _convolution(3, STEM, 3, 2, groups=1)
        self.blocks = nn.ModuleList(blocks)
        self.top = _pointwise(channels, TOP, nn.ReLU6()) if top else nn.Identity()

    @classmethod
    def from_file(cls, path: Path, top: bool = True) -> EfficientNetLiteBackbone:
        """Published weights in the layout of efficientnet_pytorch, classifier included or not.

        FileNotFoundError without the file, RuntimeError when its tensors are others.
        """
        model = cls(top)
        state = _renamed(torch.load(path, map_location="cpu", weights_only=True))
        model.load_state_dict(
            {name: tensor for name, tensor in state.items() if top or not name.startswith("top.")}
        )
        return model.eval()

    def run(self, x: Tensor) -> Stages:
        """(batch, 3, height, width) -> stages."""
        # Channels last: point-wise convolutions read a pixel's channels from one place.
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.ends:
                maps.append(x)
        last = self.top(x)
        return Stages(tuple(maps), last, last.mean(dim=(2, 3)))

    def stage_sides(self, size_px: int) -> tuple[int, ...]:
        """Sides of the four maps of a square picture of size_px."""
        return tuple(size_px // stride for stride in (4, 8, 16, 32))


def imagenet_classifier(path: Path) -> nn.Linear:
    """The classifier (1280 -> 1000) that lies beside the trunk in the published file."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    head = nn.Linear(TOP, state["_fc.bias"].numel())
    head.load_state_dict({"weight": state["_fc.weight"], "bias": state["_fc.bias"]})
    return head.eval()


def _renamed(published: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {}
    for name, tensor in published.items():
        if name.startswith("_fc."):
            continue
        inside = name.startswith("_blocks.")
        for theirs, ours in RENAMED_IN_BLOCKS if inside else RENAMED:
            name = name.replace(theirs, ours)
        state[name.removeprefix("_")] = tensor
    return state
