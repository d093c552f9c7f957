"""The verb `ladder`: whether the quality of a video falls as its compression rises."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import record
from benchmarks.commands.arguments import BUILD, Done, Verbs, say, served

QUICK_CONTENTS = 2


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "ladder",
        help="whether the quality of a video falls as its compression rises",
        description="Compress every held-out clip harder and harder with three codecs, ask the served "
        "video_quality for each, and count the pairs of one ladder that it puts in the right order.",
    )
    verb.add_argument("--url", help="a running server (default: start one)")
    verb.add_argument("--quick", action="store_true", help=f"one clip of each of {QUICK_CONTENTS} contents")
    verb.add_argument("--out", type=Path, default=BUILD / "ladder.json", help="default: %(default)s")


def run(chosen: argparse.Namespace) -> Done:
    """Measure, write JSON and the picture; a goal that is missed is a figure, not a failure."""
    from benchmarks import ladder, ladder_picture, rungs

    facts = record.circumstances(seed=None)
    sources = rungs.held_out()
    sources = rungs.first_of_each(sources, QUICK_CONTENTS) if chosen.quick else sources
    with served(chosen.url, [ladder.PIPELINE]) as url:
        scored, fusion = ladder.measure(url, sources, BUILD / "ladder")
    result = ladder.figures(scored)
    say(ladder.table(result))
    ladder_picture.draw(scored, result, chosen.out.with_suffix(".png"))
    return Done(record.write(chosen.out, facts | {"fusion": fusion, "result": result}))
