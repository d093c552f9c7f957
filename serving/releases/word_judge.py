"""Answers that are words: how many of them are the name of the class that is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar

from serving.releases.compared import Compared, Finding
from serving.releases.verdicts import Changes, Metric

if TYPE_CHECKING:
    from export.budgets import Words
    from serving.releases.replay import Answers

NOTHING = "nothing"  # what is shown where an answer has no words
SHOWN = 5  # answers of a kind in a sentence


@dataclass(frozen=True)
class WordJudge:
    """Entry of `serving.releases.judges.JUDGES`. answer: the output that is the answer."""

    answer: Words
    metrics: ClassVar[Mapping[str, Metric]] = {"accuracy": Metric("accuracy", "{:.1%}")}
    truth: ClassVar[str] = "a known answer and is whole"

    def places(self, compared: Compared) -> list[int]:
        """Of the items whose answer has to be right."""
        return [place for place in compared.complete() if compared.golden.items[place].label is not None]

    def count(self, compared: Compared) -> str:
        """How many items are judged, in words."""
        return f"{len(self.places(compared))} complete items"

    def measure(self, compared: Compared) -> dict[str, tuple[float, float]]:
        """Accuracy, (live, new), on the complete items; empty without such items."""
        places = self.places(compared)
        if not places:
            return {}
        truths = [self._truth(compared, place) for place in places]

        def share(side: Answers) -> float:
            said = self._said(compared, side, places)
            return sum(one == truth for one, truth in zip(said, truths, strict=True)) / len(places)

        return {"accuracy": (share(compared.live), share(compared.new))}

    def causes(self, compared: Compared, metric: str) -> Iterator[Finding]:
        """Answers that no item has: the tokenizer or the words of another training."""
        known = {name.lower() for name in compared.golden.class_names}
        said = self._said(compared, compared.new, self.places(compared))
        strange = sorted({one or NOTHING for one in said if one not in known})
        if strange:
            text = (
                f"strange words: none of the {len(known)} known answers is {', '.join(strange[:SHOWN])}; "
                "were decoder and tokenizer exported from the same weights?"
            )
            yield Finding("strange words", False, text)

    def lines(self, compared: Compared) -> list[dict[str, Any]]:
        """What both answered to each item that both answered."""
        both = compared.both
        old, new = (self._said(compared, side, both) for side in (compared.live, compared.new))
        lines = []
        for place, before, after in zip(both, old, new, strict=True):
            item = compared.golden.items[place]
            lines.append(
                {
                    "id": item.id,
                    "sent": item.sent,
                    "complete": item.complete,
                    "true": self._truth(compared, place),
                    "live": before,
                    "new": after,
                }
            )
        return lines

    def figure(self, compared: Compared) -> str:
        """None: words have no axis."""
        return ""

    def changes(self, lines: Sequence[Mapping[str, Any]]) -> Changes:
        """Items whose answer changed."""
        shown = [line for line in lines if line["live"] != line["new"]]
        rows = [
            [
                escape(line["id"]),
                escape(line["sent"]),
                escape(line["true"]),
                *map(_marked, (line, line), SIDES),
            ]
            for line in shown
        ]
        title = f"Items whose answer changed: {len(shown)} of {len(lines)}"
        return Changes(title, ("item", "sent", "known answer", "live set", "new set"), rows)

    def _truth(self, compared: Compared, place: int) -> str:
        """The name of an item's class, empty where nobody knows it."""
        label = compared.golden.items[place].label
        return "" if label is None else compared.golden.class_names[label].lower()

    def _said(self, compared: Compared, side: Answers, places: Sequence[int]) -> list[str]:
        """Answers in lower case, without blanks around them."""
        rows = compared.rows(side, self.answer.output, places) if places else ()
        return [str(row.ravel()[0]).strip().lower() for row in rows]


SIDES = ("live", "new")


def _marked(line: Mapping[str, Any], side: str) -> str:
    kind = "good" if line[side] == line["true"] else "bad"
    return f'<span class="{kind}">{escape(line[side] or NOTHING)}</span>'
