"""Scales and frames of charts, drawn as SVG whose colours come from the page's style."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.report.results import digits

LEFT, RIGHT, TOP, BOTTOM = 64, 118, 14, 46  # margins in px: numbers, names of lines, air, numbers and a title


@dataclass(frozen=True)
class Scale:
    """Values to pixels: from `low` at `begin_px` to `high` at `end_px`, by their logarithms if `log`."""

    low: float
    high: float
    begin_px: float
    end_px: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where a value lies."""
        low, high, at = (
            (math.log(max(one, 1e-12)) if self.log else one) for one in (self.low, self.high, value)
        )
        return self.begin_px + (self.end_px - self.begin_px) * (at - low) / ((high - low) or 1.0)

    def ticks(self) -> list[float]:
        """Round values between the ends."""
        return log_ticks(self.low, self.high) if self.log else linear_ticks(self.low, self.high)


def linear_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, about so many."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(step * index, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten; powers alone over more than three of them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if len(powers) > 5 else (1, 2, 5)
    every = [factor * 10.0**power for power in powers for factor in factors]
    return [one for one in every if low * 0.999 <= one <= high * 1.001]


@dataclass(frozen=True)
class Frame:
    """A chart's ground: two scales, their numbers and names."""

    width: int
    height: int
    x: Scale
    y: Scale
    x_name: str
    y_name: str

    def svg(self, label: str, inside: Sequence[str]) -> str:
        """The whole drawing. label: what a reader who cannot see it is told"""
        grid = [
            f'<line class="grid" x1="{LEFT}" x2="{self.width - RIGHT}" y1="{self.y(tick):.1f}" '
            f'y2="{self.y(tick):.1f}"/><text class="tick end" x="{LEFT - 8}" y="{self.y(tick) + 4:.1f}">'
            f"{digits(tick)}</text>"
            for tick in self.y.ticks()
        ]
        floor = self.height - BOTTOM
        below = [
            f'<line class="grid" x1="{self.x(tick):.1f}" x2="{self.x(tick):.1f}" y1="{floor}" '
            f'y2="{floor + 5}"/>'
            f'<text class="tick mid" x="{self.x(tick):.1f}" y="{floor + 19}">{digits(tick)}</text>'
            for tick in self.x.ticks()
        ]
        middle_px = (LEFT + self.width - RIGHT) / 2
        names = [
            f'<text class="name mid" x="{middle_px:.1f}" y="{self.height - 6}">{escape(self.x_name)}</text>',
            f'<text class="name mid" transform="translate(13 {(TOP + floor) / 2:.1f}) rotate(-90)">'
            f"{escape(self.y_name)}</text>",
        ]
        return svg(self.width, self.height, label, [*grid, *below, *names, *inside])


def frame(
    size: tuple[int, int],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    names: tuple[str, str],
    log: bool = False,
) -> Frame:
    """A ground of `size` pixels for values in the ranges; log: of the vertical scale."""
    width, height = size
    x = Scale(*x_range, LEFT, width - RIGHT)
    return Frame(width, height, x, Scale(*y_range, height - BOTTOM, TOP, log), *names)


def svg(width: int, height: int, label: str, inside: Sequence[str]) -> str:
    """A drawing that shrinks with its column."""
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(label)}">{"".join(inside)}</svg>'
    )


def apart(wanted_px: Sequence[float], least_px: float) -> list[float]:
    """The nearest places to the wanted ones, in their order from top to bottom, that do not overlap."""
    order = sorted(range(len(wanted_px)), key=lambda index: wanted_px[index])
    placed = list(wanted_px)
    for before, after in itertools.pairwise(order):
        placed[after] = max(placed[after], placed[before] + least_px)
    return placed
