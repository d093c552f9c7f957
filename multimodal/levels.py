"""Encoders that read a picture's levels as they are, a patch at a time, with one matrix.

A convolution w, b of (x / 255 - mean) / std is one of x with w / (255 std) and b - sum(w mean / std). Nothing
is padded with zeros before it, so both are equal everywhere; and as its patches do not overlap, it is a
product of matrices, for which engines have their best code. On one thread in bf16 the pixels' arithmetic was
a quarter of the video encoder's time in OpenVINO, and the convolution a fifth. Levels are exact in bf16, as
whole numbers up to 256 are.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from multimodal.front_ends import IMAGENET_MEAN, IMAGENET_STD

BRIGHTEST = 255.0
Convolution = nn.Conv2d | nn.Conv3d


class LevelFrontEnd(nn.Module):
    """UINT8 pictures, channels last, to floats of the same value, channels first."""

    def forward(self, pixels: Tensor) -> Tensor:
        """(..., height, width, 3) uint8 -> (..., 3, height, width) float32 in 0 to 255."""
        # The cast comes first: TensorRT accepts a UINT8 input only if its sole consumer is a cast.
        return pixels.to(torch.float32).movedim(-1, -3)


def reading_levels(encoder: nn.Module) -> nn.Module:
    """A copy of an image or video encoder that takes levels in place of colours in [0, 1].

    All weights but those of the first convolution are shared with `encoder`.
    errors: ValueError for an encoder whose first layer is none of three colours, or pads
    """
    shared = {id(weight): weight for weight in encoder.parameters()}
    made = copy.deepcopy(encoder, shared)
    found = [
        (name, part)
        for name, part in made.named_modules()
        if isinstance(part, Convolution) and part.in_channels == len(IMAGENET_MEAN)
    ]
    if len(found) != 1 or any(found[0][1].padding):
        what = ", ".join(f"{name} with padding {part.padding}" for name, part in found) or "none"
        raise ValueError(
            f"{type(encoder).__name__}: expected one convolution of three colours without padding, got "
            f"{what}; normalise its pictures before it"
        )
    name, first = found[0]
    made.set_submodule(name, PatchProduct(fold_normalisation(first)))
    made.normalise = nn.Identity()
    return made


class PatchProduct(nn.Module):
    """A convolution whose patches lie side by side, as a product of matrices.

    raises: ValueError for a convolution of patches that overlap or leave gaps
    """

    def __init__(self, convolution: Convolution) -> None:
        super().__init__()
        if convolution.stride != convolution.kernel_size or convolution.bias is None:
            raise ValueError(
                f"patches: expected a convolution with a bias and a stride as long as its kernel, got stride "
                f"{convolution.stride} and kernel {convolution.kernel_size}"
            )
        self.sides = tuple(convolution.kernel_size)
        # (width, colours, sides) -> (sides * colours, width): patches are read as they lie, colours last
        weight = convolution.weight.detach().movedim(1, -1).flatten(1).T.contiguous()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(convolution.bias.detach(), requires_grad=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, colours, lengths) -> (batch, width, lengths in patches), as the convolution."""
        patches = pictures.movedim(1, -1)
        counts = [length // side for length, side in zip(patches.shape[1:-1], self.sides, strict=True)]
        for place, side in enumerate(self.sides):
            patches = patches.unflatten(1 + 2 * place, (counts[place], side))
        axes = len(self.sides)
        order = [0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2), 2 * axes + 1]
        rows = patches.permute(order).flatten(1 + axes).flatten(1, axes)
        return (rows @ self.weight + self.bias).mT.unflatten(-1, counts)


@torch.no_grad()
def fold_normalisation(first: Convolution) -> Convolution:
    """The convolution of levels that equals `first` on colours normalised as ImageNet's."""
    weight = first.weight.double()
    shape = (1, -1, *(1,) * (weight.dim() - 2))
    mean, std = (
        torch.tensor(one, dtype=torch.float64).reshape(shape) for one in (IMAGENET_MEAN, IMAGENET_STD)
    )
    scaled = weight / std
    made = copy.deepcopy(first)
    offset = -(scaled * mean).flatten(1).sum(dim=1)
    before = torch.zeros_like(offset) if first.bias is None else first.bias.double()
    made.weight = nn.Parameter((scaled / BRIGHTEST).to(first.weight.dtype), requires_grad=False)
    made.bias = nn.Parameter((before + offset).to(first.weight.dtype), requires_grad=False)
    return made
