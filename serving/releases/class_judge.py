"""Answers that name a class: accuracy, AUROC of what is not normal, and classes in another order."""

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

    from export.budgets import Classes
    from serving.releases.replay import Answers

NO_CLASS = "no class"  # where a probability is no number, or none is above 0; -1 picks it


@dataclass(frozen=True)
class ClassJudge:
    """Entry of `serving.releases.judges.JUDGES`. outputs: those that say the class."""

    outputs: Classes
    truth: ClassVar[str] = "a known class and is whole"

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Name as in the budget's `drops` -> title and how it is written; no AUROC without a normal class."""
        found = {"accuracy": Metric("accuracy", "{:.1%}")}
        return found | {"auroc": Metric("AUROC", "{:.1%}")} if self.outputs.anomaly else found

    def places(self, compared: Compared) -> list[int]:
        """Of the items whose class has to be right."""
        return [place for place in compared.complete() if compared.golden.items[place].label is not None]

    def count(self, compared: Compared) -> str:
        """How many items are judged, in words."""
        return f"{len(self.places(compared))} complete items"

    def measure(self, compared: Compared) -> dict[str, tuple[float, float]]:
        """Metric -> (live, new) on the complete items; empty without such items."""
        places = self.places(compared)
        if not places:
            return {}
        labels = self._labels(compared, places)
        sides = (compared.live, compared.new)
        old, new = (float((self._predicted(compared, side, places) == labels).mean()) for side in sides)
        found = {"accuracy": (old, new)}
        defect = labels != compared.golden.normal
        if self.outputs.anomaly and defect.any() and not defect.all():
            before, after = (
                auroc(defect, compared.rows(side, self.outputs.anomaly, places).ravel()) for side in sides
            )
            found["auroc"] = (before, after)
        return found

    def causes(self, compared: Compared, metric: str) -> Iterator[Finding]:
        """Another order of the classes, where that explains a lost accuracy."""
        if metric == "accuracy" and (renamed := self._renaming(compared)):
            yield Finding("class order", False, renamed)

    def lines(self, compared: Compared) -> list[dict[str, Any]]:
        """What both answered to each item that both answered."""
        old, new = (
            compared.rows(side, self.outputs.probabilities, compared.both)
            for side in (compared.live, compared.new)
        )
        names = [*compared.golden.class_names, NO_CLASS]
        classes = [self._predicted(compared, side, compared.both) for side in (compared.live, compared.new)]
        lines = []
        for index, (place, before, after) in enumerate(zip(compared.both, old, new, strict=True)):
            item = compared.golden.items[place]
            lines.append(
                {
                    "id": item.id,
                    "sent": item.sent,
                    "complete": item.complete,
                    "true": "" if item.label is None else names[item.label],
                    "live": names[int(classes[0][index])],
                    "live_probability": plain(float(before.max())),
                    "new": names[int(classes[1][index])],
                    "new_probability": plain(float(after.max())),
                    "shift": plain(float(abs(before - after).max())),
                }
            )
        return lines

    def figure(self, compared: Compared) -> str:
        """The confusion of the new set, coloured where the live set answers otherwise."""
        import numpy as np

        places = self.places(compared)
        if not places:
            return ""
        old, new = (self._counts(compared, side, places) for side in (compared.live, compared.new))
        told = (
            "the live set answers the same"
            if np.array_equal(old, new)
            else "coloured where the live set answers otherwise"
        )
        return (
            f"<figure><figcaption>Answers of the new set to {len(places)} complete items; {told}</figcaption>"
            f"{charts.confusion(old, new, compared.golden.class_names)}</figure>"
        )

    def changes(self, lines: Sequence[Mapping[str, Any]]) -> Changes:
        """Items whose class changed, else the largest shifts."""
        shown = [line for line in lines if line["live"] != line["new"]]
        title = f"Items whose answer changed: {len(shown)} of {len(lines)}"
        if not shown:
            title = "No answer changed its class; the largest shifts"
            shown = sorted(lines, key=lambda line: -(line["shift"] or 0))[:SHIFTS]
        rows = [
            [
                escape(line["id"]),
                escape(line["sent"]),
                _class(line["true"]),
                _answer(line, "live"),
                _answer(line, "new"),
            ]
            for line in shown
        ]
        return Changes(title, ("item", "sent", "true class", "live set", "new set"), rows)

    def _labels(self, compared: Compared, places: Sequence[int]) -> np.ndarray:
        """True classes, (places,)."""
        import numpy as np

        return np.asarray([compared.golden.items[place].label for place in places])

    def _predicted(self, compared: Compared, answers: Answers, places: Sequence[int]) -> np.ndarray:
        """Classes as answered, (places,); -1 where a probability is no number, or all of them are zero."""
        import numpy as np

        rows = compared.rows(answers, self.outputs.probabilities, places)
        named = np.isfinite(rows).all(axis=1) & rows.any(axis=1)
        return np.where(named, rows.argmax(axis=1), -1)

    def _counts(self, compared: Compared, side: Answers, places: Sequence[int]) -> np.ndarray:
        import numpy as np

        count = len(compared.golden.class_names)
        counts = np.zeros((count, count), int)
        predicted = self._predicted(compared, side, places)
        known = predicted >= 0
        np.add.at(counts, (self._labels(compared, places)[known], predicted[known]), 1)
        return counts

    def _renaming(self, compared: Compared) -> str:
        """A sentence when another order of the class names would make the answers right; else empty."""
        import numpy as np

        places = self.places(compared)
        labels, predicted = self._labels(compared, places), self._predicted(compared, compared.new, places)
        if (predicted < 0).any():
            return ""
        count = len(compared.golden.class_names)
        counts = np.zeros((count, count), int)  # answered class, true class
        np.add.at(counts, (predicted, labels), 1)
        meant = {int(answered): int(counts[answered].argmax()) for answered in set(predicted)}
        if len(set(meant.values())) < len(meant):
            return ""  # two answered classes stand for one true class: no order of names explains that
        pairs = zip(predicted, labels, strict=True)
        fits = float(np.mean([meant[int(answered)] == label for answered, label in pairs]))
        old, new = self.measure(compared)["accuracy"]
        if fits < old - compared.budget.drops["accuracy"] or fits <= new:
            return ""
        names = compared.golden.class_names
        moved = [f"{names[a]} -> {names[b]}" for a, b in sorted(meant.items()) if a != b]
        return (
            f"class order: the answers fit the labels ({fits:.1%}) after renaming {', '.join(moved)}: the "
            "head was trained with another order of class names; export it with the order of the pipeline"
        )


def auroc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Chance that a positive scores higher than a negative, ties half: (items,) bool and (items,) -> 0 to 1.

    A score that is no number is lower than all: a detector that says nothing detects nothing.
    """
    import numpy as np

    known = np.nan_to_num(scores.astype(np.float64), nan=-np.inf)
    high, low = known[positive][:, None], known[~positive][None]
    return float(((high > low) + 0.5 * (high == low)).mean())


def _class(name: str) -> str:
    return escape(name.replace("_", " "))


def _answer(line: Mapping[str, Any], side: str) -> str:
    kind = "good" if line[side] == line["true"] else "bad"
    probability = line[f"{side}_probability"]
    told = "not a number" if probability is None else f"{probability:.1%}"
    return f'<span class="{kind}">{_class(line[side])}</span> <small>{told}</small>'
