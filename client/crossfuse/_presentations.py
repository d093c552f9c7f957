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
from ._vision_language import VisionLanguage
from ._vision_language_report import vision_language_lines
from ._visual_answer import VisualAnswer
from ._visual_answer_report import visual_answer_lines

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
    """First file that was sent, if any -> what a picture is called unless its title is given."""


def draw_weld(weld: WeldInspection, payloads: Payloads, title: str) -> Figure:
    """The picture of a weld."""
    from ._figure import weld_figure

    return weld_figure(weld, payloads, title)


def draw_quality(clip: VideoQuality, payloads: Payloads, title: str) -> Figure:
    """The picture of a video's quality."""
    from ._quality_figure import quality_figure

    return quality_figure(clip, payloads, title)


def draw_vision_language(pair: VisionLanguage, payloads: Payloads, title: str) -> Figure:
    """The picture of an image, a text, and what they say together."""
    from ._vision_language_figure import vision_language_figure

    return vision_language_figure(pair, payloads, title)


def draw_visual_answer(told: VisualAnswer, payloads: Payloads, title: str) -> Figure:
    """The picture of a question, its answer and the evidence in the image."""
    from ._visual_answer_figure import visual_answer_figure

    return visual_answer_figure(told, payloads, title)


PRESENTATIONS: Mapping[str, Presentation] = {
    "weld_inspection": Presentation(weld_lines, draw_weld, lambda file: file.parent.name),
    "video_quality": Presentation(quality_lines, draw_quality, lambda file: file.name),
    "vision_language": Presentation(vision_language_lines, draw_vision_language, lambda file: file.name),
    "visual_question_answering": Presentation(
        visual_answer_lines, draw_visual_answer, lambda file: file.name
    ),
}
