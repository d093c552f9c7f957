"""What every picture encoder of the quality models is: one pass gives a vector, tokens and four stage maps.

`StageBackbone` shows the inside of a `transformers` network, `FeatureExtractor` brings it to a common width.
Nothing here downloads by itself; pixels come normalised.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn

STRIDES = (4, 8, 16, 32)
SMALLEST_PX = STRIDES[-1]


def unknown_name(what: str, name: str, known: Collection[str]) -> ValueError:
    """The refusal of a name that is not in a table; it offers the nearest spelling."""
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return ValueError(f"{what}: expected one of {', '.join(known)}, got '{name}'{hint}")


@dataclass(frozen=True)
class Stages:
    """One pass through a backbone.

    maps:    four maps (batch, channels, height, width), at strides 4, 8, 16 and 32
    last:    (batch, feature_dim, height, width), what the network itself would pool
    summary: (batch, feature_dim), the network's own vector
    """

    maps: tuple[Tensor, ...]
    last: Tensor
    summary: Tensor


class StageBackbone(nn.Module, ABC):
    """A `transformers` network with its stages in the open.

    feature_dim: channels of its last map and width of its vector
    stage_dims:  channels of the maps at strides 4, 8, 16 and 32
    in_channels: planes of a picture; native_px: the side that published weights were trained at
    """

    def __init__(
        self, feature_dim: int, stage_dims: tuple[int, ...], in_channels: int, native_px: int
    ) -> None:
        super().__init__()
        self.feature_dim, self.stage_dims = feature_dim, stage_dims
        self.in_channels, self.native_px = in_channels, native_px
        self.frozen = False

    @abstractmethod
    def run(self, x: Tensor) -> Stages:
        """The pass itself; `stages` has checked x."""

    @abstractmethod
    def stage_sides(self, size_px: int) -> tuple[int, ...]:
        """Sides of the four maps of a square picture of size_px."""

    def stages(self, x: Tensor) -> Stages:
        """(batch, in_channels, height, width), sides of at least 32 px -> everything one pass gives."""
        if x.dim() != 4 or x.shape[1] != self.in_channels or min(x.shape[2:]) < SMALLEST_PX:
            raise ValueError(
                f"{type(self).__name__}: expected (batch, {self.in_channels}, height, width) with sides of "
                f"at least {SMALLEST_PX} px, got {tuple(x.shape)}; flatten frames into the batch and enlarge "
                "small ones"
            )
        return self.run(x)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, feature_dim)."""
        return self.stages(x).summary

    def forward_map(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, feature_dim, height', width')."""
        return self.stages(x).last

    def extract_features(self, x: Tensor) -> tuple[Tensor, ...]:
        """(batch, in_channels, height, width) -> maps at strides 4, 8, 16, 32 with `stage_dims` channels."""
        return self.stages(x).maps

    def freeze(self) -> None:
        """Stop training it: no gradient, and eval mode whatever the model around it does."""
        self.frozen = True
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> StageBackbone:
        """Switch mode as usual, unless frozen."""
        super().train(mode and not self.frozen)
        return self


class FeatureExtractor(nn.Module, ABC):
    """Pictures to vectors of `out_dim`, to tokens of the same width and to four stage maps.

    map_dims: channels of the four maps of `forward_features`, fine to coarse
    """

    out_dim: int
    map_dims: tuple[int, ...]

    @abstractmethod
    def extract(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(batch, in_channels, height, width) -> `forward` and `forward_features` of one pass."""

    @abstractmethod
    def forward_tokens(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, positions, out_dim)."""

    @abstractmethod
    def forward_map(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, feature_dim, height', width')."""

    @abstractmethod
    def map_shapes(self, size_px: int) -> tuple[tuple[int, int, int], ...]:
        """(channels, height, width) of the four maps of a square picture of size_px."""

    @abstractmethod
    def reference_backbone(self) -> StageBackbone:
        """The backbone that `get_model_info` describes."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, out_dim)."""
        return self.extract(x)[0]

    def forward_features(self, x: Tensor) -> tuple[Tensor, ...]:
        """(batch, in_channels, height, width) -> four maps of `map_dims` channels at strides 4, 8, 16, 32."""
        return self.extract(x)[1]

    @property
    def feature_dim(self) -> int:
        """Channels of `forward_map`."""
        return self.reference_backbone().feature_dim

    @property
    def stage_dims(self) -> tuple[int, ...]:
        """Channels of the backbone's stages, before any 1x1 convolution of the extractor."""
        return self.reference_backbone().stage_dims

    @property
    def in_channels(self) -> int:
        """Planes of a picture."""
        return self.reference_backbone().in_channels

    def get_model_info(self) -> dict[str, Any]:
        """Its widths and its measured numbers of parameters."""
        counts = {parameter: parameter.numel() for parameter in self.parameters()}
        return {
            "name": type(self).__name__,
            "output": self.out_dim,
            "backbone_dim": self.feature_dim,
            "stage_dims": self.stage_dims,
            "map_dims": self.map_dims,
            "input_size": self.reference_backbone().native_px,
            "params": sum(counts.values()),
            "trainable_params": sum(count for parameter, count in counts.items() if parameter.requires_grad),
        }


class BackboneExtractor(FeatureExtractor):
    """A backbone and a head; what the head does is the subclass's."""

    def __init__(self, backbone: StageBackbone, out_dim: int) -> None:
        if out_dim < 4 or out_dim % 4:
            raise ValueError(f"{type(self).__name__}: expected out_dim to be a multiple of 4, got {out_dim}")
        super().__init__()
        self.backbone, self.out_dim = backbone, out_dim
        self.map_dims = backbone.stage_dims

    @abstractmethod
    def vector(self, stages: Stages) -> Tensor:
        """(batch, out_dim)."""

    @abstractmethod
    def tokens(self, stages: Stages) -> Tensor:
        """(batch, positions of the last map, out_dim)."""

    def maps(self, stages: Stages) -> tuple[Tensor, ...]:
        """Four maps of `map_dims` channels."""
        return stages.maps

    def extract(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(batch, in_channels, height, width) -> (batch, out_dim) and four maps, of one pass."""
        stages = self.backbone.stages(x)
        return self.vector(stages), self.maps(stages)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, out_dim)."""
        return self.vector(self.backbone.stages(x))

    def forward_features(self, x: Tensor) -> tuple[Tensor, ...]:
        """(batch, in_channels, height, width) -> four maps of `map_dims` channels at strides 4, 8, 16, 32."""
        return self.maps(self.backbone.stages(x))

    def forward_tokens(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, positions of the last map, out_dim)."""
        return self.tokens(self.backbone.stages(x))

    def forward_map(self, x: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, feature_dim, height', width')."""
        return self.backbone.forward_map(x)

    def map_shapes(self, size_px: int) -> tuple[tuple[int, int, int], ...]:
        """(channels, height, width) of the four maps of a square picture of size_px."""
        sides = self.backbone.stage_sides(size_px)
        return tuple((width, side, side) for width, side in zip(self.map_dims, sides, strict=True))

    def reference_backbone(self) -> StageBackbone:
        """Its only backbone."""
        return self.backbone
