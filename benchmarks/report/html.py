"""Pieces of a page: sections with their doubts, tables, figures. Text that comes from results is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from benchmarks.report.results import NOT_MEASURED, Result

NUMBER = re.compile(r"^[<\d][\d.,/ \[\]-]*( ?%| Hz| ms)?$")


def section(title: str, *parts: str, of: Sequence[Result] = ()) -> str:
    """A heading, what speaks against quoting it, and its parts."""
    doubts = [
        f'<p class="doubt">{escape(one.path.name)}: {escape(sentence)}</p>'
        for one in of
        for sentence in one.doubts()
    ]
    return f"<section><h2>{escape(title)}</h2>{''.join(doubts)}{''.join(parts)}</section>"


def missing(title: str, command: str) -> str:
    """A section that says what would fill it."""
    return section(title, note(f"Not measured. <code>python -m benchmarks {escape(command)}</code> does."))


def note(markup: str) -> str:
    """A quiet sentence; markup is taken as it is."""
    return f'<p class="note">{markup}</p>'


def figure(drawing: str, caption: str) -> str:
    """A drawing and what it shows."""
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], styles: Sequence[str] | None = None) -> str:
    """Rows under heads. styles: a class per row; `verdict-X` colours its last cell"""
    body = []
    for number, row in enumerate(rows):
        style = styles[number] if styles else ""
        cells = [_cell(text) for text in row]
        if style.startswith("verdict-"):
            cells[-1] = f'<td class="{style.removeprefix("verdict-")}">{escape(row[-1])}</td>'
            style = ""
        body.append(f'<tr class="{style}">{"".join(cells)}</tr>' if style else f"<tr>{''.join(cells)}</tr>")
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def _cell(text: str) -> str:
    kind = ' class="unknown"' if text == NOT_MEASURED else ' class="figure"' if NUMBER.match(text) else ""
    return f"<td{kind}>{escape(text)}</td>"
