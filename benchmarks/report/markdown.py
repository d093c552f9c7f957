"""The README's table of servers, and where it stands in the README."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report.page import circumstances
from benchmarks.report.peers import COLUMNS, OURS, cells, compared
from benchmarks.report.results import Results
from benchmarks.report.targets import verdicts

BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
QUOTED = ("goodput", "curve", "absent", "corrupt", "swap", "peers", "floor")  # what the table is made of
MARKS = {True: "met", False: "missed", None: ""}


def table(results: Results) -> str:
    """Servers, targets, and under what circumstances, as Markdown."""
    lines = [_row(COLUMNS), _row(["---"] * len(COLUMNS))]
    for one in compared(results):
        row = cells(one)
        lines.append(_row((f"**{row[0]}**", *row[1:]) if one.name == OURS else row))
    lines += ["", _row(("target", "measured", "")), _row(["---"] * 3)]
    lines += [_row((one.target, one.measured, MARKS[one.met])) for one in verdicts(results)]
    lines += ["", f"{circumstances(results.files)}. Read ratios, not capacity: {_said(results)}"]
    return "\n".join(lines) + "\n"


def _said(results: Results) -> str:
    if doubts(results):
        return "and nothing of this table is to be quoted; the page says why."
    unmeasured = sorted(set(QUOTED) - {one.verb for one in results.files})
    if unmeasured:
        return f"figures of {', '.join(unmeasured)} are missing."
    short = [text for verb in QUOTED for one in results.of(verb) if (text := one.shortened)]
    if short:
        return f"shorter than the method asks (docs/benchmarks.md) are {', '.join(short)}."
    return "every figure comes from a full run."


def _row(texts: Sequence[str]) -> str:
    cells = [text.replace("|", "\\|") for text in texts]
    return f"| {' | '.join(cells)} |"


def placed(readme: str, text: str) -> str:
    """The README with the table between its two marks.

    raises: ValueError when the marks are not there
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(
            f"README: expected the marks {BEGIN} and {END} in this order; add them where the table goes"
        )
    return f"{before}{BEGIN}\n{text}{END}{after}"


def doubts(results: Results) -> list[str]:
    """What forbids to quote the table: a sentence per file that it would be made of and a reason."""
    used = [one for verb in QUOTED for one in results.of(verb)]
    return [f"{one.path.name}: {sentence}" for one in used for sentence in one.doubts()]
