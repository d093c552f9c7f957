"""An answer of `visual_question_answering` as text for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from ._report import bar
from ._states_report import answered_by, state_lines
from ._visual_answer import VisualAnswer

SHADES: Mapping[str, str] = {"█": " ░▒▓█", "#": " .:+#"}  # cell of the bars -> none to most relevant
MAP_INDENT = "    "


def visual_answer_lines(told: VisualAnswer, cell: str = "█") -> list[str]:
    """Answer, what the captions alone say, the captions, the map of relevance, the states."""
    wide = len("image fits question")
    return [
        f"{told.answer}, {told.probability:.1%}{answered_by(told)}",
        "",
        f"  {'probability':<{wide}}  {bar(told.probability, cell)}  {told.probability:6.1%}",
        f"  {'image fits question':<{wide}}  {bar(told.matching_score, cell)}  {told.matching_score:6.1%}",
        f"  {'from captions alone':<{wide}}  {told.caption_answer or 'no answer'}",
        "",
        f"  captions used: {'' if told.captions else 'none'}".rstrip(),
        *(f"    {caption}" for caption in counted(told.captions)),
        "",
        *relevance_lines(told, cell),
        "",
        *state_lines(told),
    ]


def counted(captions: tuple[str, ...]) -> list[str]:
    """Each caption once, in order, with how often it came."""
    return [
        caption if count == 1 else f"{caption}  ({count} times)"
        for caption, count in Counter(captions).items()
    ]


def relevance_lines(told: VisualAnswer, cell: str) -> list[str]:
    """The map in shades, two letters wide a part, so that it is about as wide as it is high."""
    if told.peak is None:
        return ["  relevance: no part of the image stands out"]
    shades = SHADES[cell]
    steps = np.rint(told.relevance / told.relevance.max() * (len(shades) - 1)).astype(int)
    rows, columns = told.relevance.shape
    row, column = told.peak
    edge = f"{MAP_INDENT}+{'-' * 2 * columns}+"
    return [
        f"  relevance: most in row {row + 1}, column {column + 1} of {rows} x {columns}",
        edge,
        *(f"{MAP_INDENT}|{''.join(2 * shades[step] for step in line)}|" for line in steps),
        edge,
    ]
