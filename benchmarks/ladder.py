"""Whether quality falls as compression rises: held-out clips, compressed in steps, scored by a server.

Pairs of rungs of one ladder (one source, one codec) are counted: right is a strictly higher score for the
milder one. The rung is the truth. VMAF against the source agrees with it in 720 of 720 pairs, but calm films
hide mild compression: neighbours come as near as 0.14 points with H.264 and 0.02 with VP9.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from crossfuse import Client
from tqdm import tqdm

from benchmarks.rungs import CLIPS, LADDERS, Rung, climb
from training.quality_clips.sources import Source
from training.quality_metrics import within_group_order

PIPELINE: Final = "video_quality"
GOAL_CODEC, GOAL = "H.264", 0.95
WORST = 10  # inversions that are listed


@dataclass(frozen=True)
class Scored:
    """One rung and what the server says of it, 0-100."""

    rung: Rung
    score: float

    @property
    def ladder(self) -> tuple[str, str]:
        """Only rungs of one source and one codec are compared."""
        return self.rung.source, self.rung.codec


@dataclass(frozen=True)
class Inversion:
    """A harsher rung that scored at least as well as a milder one of the same ladder."""

    milder: Scored
    harsher: Scored

    @property
    def points(self) -> float:
        """How far they lie the wrong way round."""
        return self.harsher.score - self.milder.score


def measure(url: str, sources: Sequence[Source], folder: Path) -> tuple[list[Scored], str]:
    """Ask for every rung of every source; returns the scores and the name of the fusion that answered.

    raises: CrossfuseError when a clip is not answered in full
    """
    scored, fusion = [], ""
    with (
        Client(url, strict=True) as client,
        tqdm(total=CLIPS * len(sources), desc="ladder", unit="clip", file=sys.stderr) as bar,
    ):
        for source in sources:
            for rung in climb(source, folder):
                answer = client.infer(PIPELINE, video=rung.path)
                scored.append(Scored(rung, answer.score))
                fusion = answer.fusion.name
                bar.update()
    return scored, fusion


def figures(scored: Sequence[Scored]) -> dict[str, Any]:
    """Shares of pairs in the right order: of all, by codec, by content, and by both; the worst inversions."""
    codecs, contents = _values(scored, _codec), _values(scored, _content)
    of_codec = {codec: [one for one in scored if one.rung.codec == codec] for codec in codecs}
    wrong = inversions(scored)
    return {
        "clips": len(scored),
        "sources": len(_values(scored, lambda one: one.rung.source)),
        "goal": {"codec": GOAL_CODEC, "share": GOAL, "reached": share(of_codec[GOAL_CODEC])["share"] >= GOAL},
        "all": share(scored),
        "codecs": {codec: share(some) for codec, some in of_codec.items()},
        "contents": {
            content: share([one for one in scored if one.rung.content == content]) for content in contents
        },
        "codecs_of_contents": {
            content: {
                codec: share([one for one in some if one.rung.content == content])
                for codec, some in of_codec.items()
            }
            for content in contents
        },
        "worst_inversions": [_told(one) for one in wrong[:WORST]],
        "scores": [
            {name: getattr(one.rung, name) for name in ("source", "content", "codec", "number", "value")}
            | {"score": round(one.score, 3)}
            for one in scored
        ],
    }


def share(scored: Sequence[Scored]) -> dict[str, Any]:
    """How many pairs of one ladder there are, how many lie in the right order, and their share."""
    pairs = sum(1 for _ in _pairs(scored))
    ladders = [f"{source} {codec}" for source, codec in (one.ladder for one in scored)]
    right = within_group_order(
        [one.score for one in scored], ladders, [-float(one.rung.number) for one in scored]
    )
    return {"pairs": pairs, "right": round(right * pairs) if pairs else 0, "share": right}


def inversions(scored: Sequence[Scored]) -> list[Inversion]:
    """Every pair that is not in the right order, the worst first."""
    found = (Inversion(milder, harsher) for milder, harsher in _pairs(scored))
    return sorted((one for one in found if not one.points < 0), key=lambda one: one.points, reverse=True)


def table(result: dict[str, Any]) -> str:
    """The result for a terminal."""
    codecs = [ladder.codec for ladder in LADDERS]
    contents = result["codecs_of_contents"]
    width = max(map(len, [*contents, "right pairs"]))
    head = f"{'right pairs':<{width}}" + "".join(f"{name:>10}" for name in (*codecs, "all"))
    rows = [
        f"{content:<{width}}"
        + "".join(f"{of_codec[name]['share']:>10.1%}" for name in codecs)
        + f"{result['contents'][content]['share']:>10.1%}"
        for content, of_codec in contents.items()
    ]
    last = f"{'all':<{width}}" + "".join(f"{result['codecs'][name]['share']:>10.1%}" for name in codecs)
    return "\n".join(
        [head, *rows, f"{last}{result['all']['share']:>10.1%}", *_inversion_lines(result), goal_line(result)]
    )


def goal_line(result: dict[str, Any]) -> str:
    """The figure that counts, against the goal."""
    goal = result["goal"]
    found = result["codecs"][goal["codec"]]
    return (
        f"{goal['codec']}: {found['right']} of {found['pairs']} pairs in the right order, "
        f"{found['share']:.1%}; goal {goal['share']:.0%}: {'reached' if goal['reached'] else 'NOT reached'}"
    )


def _inversion_lines(result: dict[str, Any]) -> list[str]:
    return [
        f"wrong by {one['points']:.1f} points: {one['source']}, {one['codec']} {one['harsher']} scored "
        f"{one['harsher_score']:.1f}, {one['milder']} scored {one['milder_score']:.1f}"
        for one in result["worst_inversions"]
    ]


def _told(inversion: Inversion) -> dict[str, Any]:
    milder, harsher = inversion.milder, inversion.harsher
    return {
        "source": milder.rung.source,
        "codec": milder.rung.codec,
        "milder": milder.rung.value,
        "harsher": harsher.rung.value,
        "milder_score": round(milder.score, 3),
        "harsher_score": round(harsher.score, 3),
        "points": round(inversion.points, 3),
    }


def _pairs(scored: Iterable[Scored]) -> Iterable[tuple[Scored, Scored]]:
    """Milder and harsher rung of every pair of one ladder."""
    for left, right in combinations(scored, 2):
        if left.ladder == right.ladder and left.rung.number != right.rung.number:
            yield (left, right) if left.rung.number < right.rung.number else (right, left)


def _codec(one: Scored) -> str:
    return one.rung.codec


def _content(one: Scored) -> str:
    return one.rung.content


def _values(scored: Sequence[Scored], of: Callable[[Scored], str]) -> list[str]:
    """Different values in the order of their first appearance."""
    return list(dict.fromkeys(map(of, scored)))
