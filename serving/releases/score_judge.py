"""Answers that are a number: SRCC and PLCC with what people or a reference metric gave the same items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar

from serving.releases import charts
from serving.releases.compared import Compared, Finding
from serving.releases.verdicts import SHIFTS, Changes, Metric, plain

if TYPE_CHECKING:
    import numpy as np

    from export.budgets import Score
    from serving.releases.replay import Answers

FEWEST = 3  # two items correlate with anything, perfectly


@dataclass(frozen=True)
class ScoreJudge:
    """Entry of `serving.releases.judges.JUDGES`. answer: the output that is the number."""

    answer: Score
    metrics: ClassVar[Mapping[str, Metric]] = {
        "srcc": Metric("SRCC", "{:.3f}"),
        "plcc": Metric("PLCC", "{:.3f}"),
    }
    truth: ClassVar[str] = "a known quality and is whole"

    def places(self, compared: Compared) -> list[int]:
        """Of the items whose score has to agree with their target."""
        return [place for place in compared.complete() if compared.golden.items[place].target is not None]

    def count(self, compared: Compared) -> str:
        """How many items are judged, in words."""
        return f"{len(self.places(compared))} items of known quality"

    def measure(self, compared: Compared) -> dict[str, tuple[float, float]]:
        """SRCC and PLCC, (live, new), NaN for a set that says the same or no number; empty where no items, or
        too few, or only equal ones are known."""
        places = self.places(compared)
        targets = self._targets(compared, places)
        if len(places) < FEWEST or not targets.max() > targets.min():
            return {}
        from training import quality_metrics  # here: scipy takes half a second that `--help` need not pay

        found = {}
        for name, figure in (("srcc", quality_metrics.srcc), ("plcc", quality_metrics.plcc)):
            sides = (self._scores(compared, side, places) for side in (compared.live, compared.new))
            old, new = (figure(side, targets) for side in sides)
            found[name] = (old, new)
        return found

    def causes(self, compared: Compared, metric: str) -> Iterator[Finding]:
        """Scores that run the other way, or are all the same: both come from a head, not from clips."""
        import numpy as np

        if metric != "srcc":
            return
        old, new = self.measure(compared)["srcc"]
        scores = self._scores(compared, compared.new, self.places(compared))
        if np.isfinite(scores).all() and np.ptp(scores) == 0:
            text = (
                f"constant: every item of known quality is scored {scores[0]:.4g}; is the head cut off "
                "from the encoders in the exported graph?"
            )
            yield Finding("constant score", False, text)
        elif -new >= old - compared.budget.drops["srcc"] > 0:
            text = (
                f"sign: the scores fit the known qualities turned round (SRCC {new:.3f}): the head was "
                "trained on distances, where less is better; train it on scores, or turn its sign"
            )
            yield Finding("sign", False, text)

    def lines(self, compared: Compared) -> list[dict[str, Any]]:
        """What both answered to each item that both answered."""
        both = compared.both
        old, new = (self._scores(compared, side, both) for side in (compared.live, compared.new))
        lines = []
        for place, before, after in zip(both, old.tolist(), new.tolist(), strict=True):
            item = compared.golden.items[place]
            lines.append(
                {
                    "id": item.id,
                    "sent": item.sent,
                    "complete": item.complete,
                    "target": item.target,
                    "live": plain(before),
                    "new": plain(after),
                    "shift": plain(abs(after - before)),
                }
            )
        return lines

    def figure(self, compared: Compared) -> str:
        """Known quality against the score of both sets."""
        places = self.places(compared)
        if not places:
            return ""
        old, new = (self._scores(compared, side, places) for side in (compared.live, compared.new))
        names = [compared.golden.items[place].id for place in places]
        chart = charts.agreement(self._targets(compared, places).tolist(), old.tolist(), new.tolist(), names)
        return (
            f"<figure><figcaption>Scores of {len(places)} items of known quality: the new set's as dots, the "
            f"live set's as rings</figcaption>{chart}</figure>"
        )

    def changes(self, lines: Sequence[Mapping[str, Any]]) -> Changes:
        """The largest shifts; a score that is no number comes first."""

        def moved(line: Mapping[str, Any]) -> float:
            return float("inf") if line["shift"] is None else float(line["shift"])

        shown = sorted(lines, key=moved, reverse=True)[:SHIFTS]
        names = ("target", "live", "new", "shift")
        rows = [
            [escape(line["id"]), escape(line["sent"]), *(_figure(line, name) for name in names)]
            for line in shown
        ]
        head = ("item", "sent", "known quality", "live set", "new set", "apart")
        return Changes(f"The largest shifts among {len(lines)} scores", head, rows)

    def _targets(self, compared: Compared, places: Sequence[int]) -> np.ndarray:
        """Known qualities, (places,)."""
        import numpy as np

        return np.asarray([compared.golden.items[place].target for place in places], np.float64)

    def _scores(self, compared: Compared, side: Answers, places: Sequence[int]) -> np.ndarray:
        """As answered, (places,)."""
        import numpy as np

        return compared.rows(side, self.answer.output, places).astype(np.float64).ravel()


def _figure(line: Mapping[str, Any], name: str) -> str:
    value = line[name]
    if value is None:
        return "not known" if name == "target" else '<span class="bad">not a number</span>'
    return f"{value:.2f}"
