"""The verb `report`: results as one page and as the README's table."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.commands.arguments import BUILD, Done, Verbs


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "report",
        help="results as one HTML page and as the README's table",
        description="Read the newest result of every kind, write a page that needs no other file and, beside "
        "it, the README's table. What was not measured is said to be missing.",
    )
    verb.add_argument(
        "sources", nargs="*", type=Path, default=[BUILD], metavar="FOLDER", help="default: %(default)s"
    )
    verb.add_argument("--out", type=Path, default=BUILD / "report.html", help="default: %(default)s")
    verb.add_argument(
        "--into", type=Path, metavar="README.md", help="also put the table between its marks there; not from "
        "quick, void or disturbed runs",
    )  # fmt: skip


def run(chosen: argparse.Namespace) -> Done:
    """Write page and table; fails if the table is not to be put into the README.

    raises: FileNotFoundError for a missing source; ValueError without any result or without marks
    """
    from benchmarks.report import markdown, page, results

    found = results.read(chosen.sources)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(page.page(found), encoding="utf-8")
    table = markdown.table(found)
    chosen.out.with_suffix(".md").write_text(table, encoding="utf-8")
    if chosen.into is None:
        return Done(chosen.out)
    faults = markdown.doubts(found)
    if not faults:
        readme = chosen.into.read_text(encoding="utf-8")
        chosen.into.write_text(markdown.placed(readme, table), encoding="utf-8")
    return Done(chosen.out, [f"not put into {chosen.into.name}: {sentence}" for sentence in faults])
