"""How each pipeline's answer is shown: a new pipeline is one entry, its lines and its picture.

What draws needs the extra `picture` and is imported when a picture is asked for, never before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._payloads import Payload
from ._quality import VideoQuality
from ._quality_report import quality_lines
from ._report import weld_lines
from ._results import WeldInspection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Payloads = Mapping[str, Payload]


@dataclass(frozen=True)
class Presentation:
    """One entry of PRESENTATIONS."""

    lines: Callable[[Any, str], list[str]]
    """(answer, the cell that bars are made of) -> lines for a terminal."""
    figure: Callable[[Any, Payloads, str], Figure]
    """(answer, what was passed to `infer`, title) -> the picture."""
    title: Callable[[Path], str]
    """First file that was sent -> what a picture is called unless its title is given."""


def draw_weld(weld: WeldInspection, payloads: Payloads, title: str) -> Figure:
    """The picture of a weld."""
    from ._figure import weld_figure

    return weld_figure(weld, payloads, title)


def draw_quality(clip: VideoQuality, payloads: Payloads, title: str) -> Figure:
    """The picture of a video's quality."""
    from ._quality_figure import quality_figure

    return quality_figure(clip, payloads, title)


PRESENTATIONS: Mapping[str, Presentation] = {
    "weld_inspection": Presentation(weld_lines, draw_weld, lambda file: file.parent.name),
    "video_quality": Presentation(quality_lines, draw_quality, lambda file: file.name),
}
