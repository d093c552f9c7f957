"""EfficientNet: inverted bottlenecks with squeeze and excitation, mean and maximum of its last map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import EfficientNetConfig, EfficientNetModel

from multimodal.encoders.backbone import load_backbone
from multimodal.encoders.feature_extractor import BackboneExtractor, StageBackbone, Stages, unknown_name

# transformers hands 0.99 to torch, whose momentum is the weight of the NEW batch: running statistics would be
# those of the last batch alone.
BATCH_NORM_MOMENTUM = 0.1
NORMS: dict[str, type[nn.Module]] = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d}
SQUEEZE, NARROWEST = 16, 4  # of one or two rectified units, all may be silent from the start

EFFICIENTNETS: dict[str, dict[str, Any]] = {
    "efficientnet-b0": {
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "image_size": 224,
        "hidden_dim": 1280,
    },
    "efficientnet-b3": {
        "width_coefficient": 1.2,
        "depth_coefficient": 1.4,
        "image_size": 300,
        "hidden_dim": 1536,
        "depthwise_padding": [5, 18],
    },
    "efficientnet-b4": {
        "width_coefficient": 1.4,
        "depth_coefficient": 1.8,
        "image_size": 380,
        "hidden_dim": 1792,
        "depthwise_padding": [6],
    },
    "efficientnet-b7": {
        "width_coefficient": 2.0,
        "depth_coefficient": 3.1,
        "image_size": 600,
        "hidden_dim": 2560,
        "depthwise_padding": [18],
    },
    # Half of b0's width and depth; a top of 256 keeps the head at a fifth of the parameters.
    "efficientnet-small": {
        "width_coefficient": 0.5,
        "depth_coefficient": 0.5,
        "image_size": 96,
        "hidden_dim": 256,
        "drop_connect_rate": 0.0,
    },
    # One block a stage.
    "efficientnet-tiny": {
        "width_coefficient": 0.25,
        "depth_coefficient": 1.0,
        "image_size": 32,
        "hidden_dim": 32,
        "in_channels": [32, 32, 32, 64],
        "out_channels": [32, 32, 64, 96],
        "kernel_sizes": [3, 3, 3, 3],
        "strides": [2, 2, 2, 2],
        "num_block_repeats": [1, 1, 1, 1],
        "expand_ratios": [2, 2, 2, 2],
        "drop_connect_rate": 0.0,
    },
}


class EfficientNetBackbone(StageBackbone):
    """EfficientNet without its classifier.

    top: False leaves out the last 1x1 convolution, which the four stage maps do not pass through; the last
         map is then the one at stride 32.
    In training, batch norms need two values a channel: a lone picture must have sides of 64 px or more.
    Source: Tan and Le, EfficientNet (arXiv 1905.11946): depth, width and resolution grow by alpha^phi,
    beta^phi and gamma^phi.
    """

    def __init__(self, model: EfficientNetModel, top: bool = True) -> None:
        blocks: Any = model.encoder.blocks
        halves = [index for index, block in enumerate(blocks) if block.depthwise_conv.stride == 2]
        ends = [*(index - 1 for index in halves[1:]), len(blocks) - 1]  # the stem has halved once
        widths = tuple(blocks[end].projection.project_conv.out_channels for end in ends)
        if len(widths) != 4:
            raise ValueError(f"efficientnet: expected strides of 2 in four blocks, got {len(widths)}")
        config: Any = model.config
        feature_dim = config.hidden_dim if top else widths[-1]
        super().__init__(feature_dim, widths, config.num_channels, config.image_size)
        self.stem, self.blocks, self.ends = model.embeddings, blocks, frozenset(ends)
        encoder = model.encoder
        self.top = (
            nn.Sequential(encoder.top_conv, encoder.top_bn, encoder.top_activation) if top else nn.Identity()
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = BATCH_NORM_MOMENTUM

    @classmethod
    def from_name(
        cls, name: str = "efficientnet-b3", in_channels: int = 3, top: bool = True
    ) -> EfficientNetBackbone:
        """Random weights at the sizes of `EFFICIENTNETS`, else ValueError."""
        if name not in EFFICIENTNETS:
            raise unknown_name("efficientnet", name, EFFICIENTNETS)
        config = EfficientNetConfig(num_channels=in_channels, **EFFICIENTNETS[name])
        model = EfficientNetModel(config)
        before = model.encoder.top_conv
        if before.out_channels != config.hidden_dim:  # transformers derives it from the width alone
            model.encoder.top_conv = nn.Conv2d(before.in_channels, config.hidden_dim, 1, bias=False)
        initialise(model)
        return cls(model, top)

    @classmethod
    def from_pretrained(cls, source: str | Path, top: bool = True) -> EfficientNetBackbone:
        """Weights from a hub id (`google/efficientnet-b3`) or a folder, else OSError."""
        return cls(load_backbone(EfficientNetModel, source), top)

    def run(self, x: Tensor) -> Stages:
        """(batch, in_channels, height, width) -> stages."""
        # Channels last: forward and backward take a quarter less time on a CPU.
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
        side, sides = size_px // 2, []
        for index, block in enumerate(self.blocks):
            layer = block.depthwise_conv
            if layer.stride == 2:
                left, right = layer.depthwise_conv_pad.padding[:2]
                side = (side + left + right - layer.depthwise_conv.kernel_size[0]) // 2 + 1
            if index in self.ends:
                sides.append(side)
        return tuple(sides)


class EfficientNetExtractor(BackboneExtractor):
    """Mean and maximum of EfficientNet's last map, three linear layers, optionally channels excited.

    use_se:    weigh the channels of the vector by a bottleneck of a sixteenth of its width, at least 4
    drop_rate: dropout between the linear layers
    norm:      "layer", or "batch", which cannot be trained on one picture at a time
    """

    def __init__(
        self,
        backbone: EfficientNetBackbone | None = None,
        out_dim: int = 512,
        use_se: bool = True,
        drop_rate: float = 0.2,
        norm: str = "layer",
    ) -> None:
        if norm not in NORMS:
            raise unknown_name("efficientnet norm", norm, NORMS)
        super().__init__(backbone or EfficientNetBackbone.from_name(), out_dim)
        width = self.backbone.feature_dim
        self.head = nn.Sequential(
            nn.Linear(2 * width, width),
            nn.Linear(width, width // 2),
            NORMS[norm](width // 2),
            nn.ReLU(),
            nn.Dropout(drop_rate),
            nn.Linear(width // 2, out_dim),
            NORMS[norm](out_dim),
        )
        narrow = max(NARROWEST, out_dim // SQUEEZE)
        self.excitation = (
            nn.Sequential(nn.Linear(out_dim, narrow), nn.ReLU(), nn.Linear(narrow, out_dim), nn.Sigmoid())
            if use_se
            else None
        )

    @classmethod
    def from_name(
        cls, name: str = "efficientnet-b3", out_dim: int = 512, in_channels: int = 3, **head: Any
    ) -> EfficientNetExtractor:
        """Random weights at the sizes of `EFFICIENTNETS`; head: use_se, drop_rate, norm."""
        return cls(EfficientNetBackbone.from_name(name, in_channels), out_dim, **head)

    @classmethod
    def from_pretrained(cls, source: str | Path, out_dim: int = 512, **head: Any) -> EfficientNetExtractor:
        """Backbone weights from a hub id or a folder, else OSError; the head is random."""
        return cls(EfficientNetBackbone.from_pretrained(source), out_dim, **head)

    def vector(self, stages: Stages) -> Tensor:
        """(batch, out_dim)."""
        return self._excite(torch.cat([stages.last.mean(dim=(2, 3)), stages.last.amax(dim=(2, 3))], dim=1))

    def tokens(self, stages: Stages) -> Tensor:
        """(batch, positions, out_dim): what the vector would be if the picture were that position alone."""
        positions = stages.last.flatten(2).transpose(1, 2)  # (batch, positions, feature_dim)
        alone = torch.cat([positions, positions], dim=-1).flatten(0, 1)  # mean and maximum of one are itself
        return self._excite(alone).unflatten(0, (-1, positions.shape[1]))

    def _excite(self, pooled: Tensor) -> Tensor:
        """(rows, 2 feature_dim) -> (rows, out_dim)."""
        vector = self.head(pooled)
        return vector if self.excitation is None else vector * self.excitation(vector)


def initialise(model: EfficientNetModel) -> None:
    """He initialisation by fan in, neutral batch norms.

    transformers draws convolutions and batch norm scales alike from N(0, 0.02): such a network's output is
    about 1e-42, for every layer shrinks it.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=(2 / module.weight[0].numel()) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    blocks: Any = model.encoder.blocks
    for block in blocks:
        # Fresh excitations multiply by a half, which a block without a residual path makes up for; one with
        # it adds a little, so that 55 blocks in a row do not explode before the batch norms know their maps.
        adds = block.projection.apply_dropout
        block.projection.project_conv.weight.data.mul_(0.25 if adds else 2.0)
