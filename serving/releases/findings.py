"""What speaks for and against a new set: pure functions over answers, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from serving.releases.replay import Answers, ratios

if TYPE_CHECKING:
    import numpy as np

    from export.budgets import Budget
    from serving.releases.golden import Arrays, Golden

TITLES = {"auroc": "AUROC"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    text:  a sentence; what, expected, came and what to do where it failed
    value, limit: what came, and the most that may come; limit None where there is nothing to measure
    start: the value that uses nothing of the budget
    unit:  how they are written, such as `{:.1%}`
    compared: False where there was nothing to compare with, which is no failure but has to be said
    """

    name: str
    passed: bool
    text: str
    value: float = 0.0
    limit: float | None = None
    unit: str = "{:.3g}"
    compared: bool = True
    start: float = 0.0

    @property
    def used(self) -> float:
        """Share of the budget that is used; above 1 it is broken. 0 where nothing is measured."""
        if self.limit is None or not self.value - self.start > 0:
            return 0.0 if self.passed else 2.0
        room = self.limit - self.start
        return (self.value - self.start) / room if room > 0 else 2.0


@dataclass(frozen=True)
class Compared:
    """Everything a verdict is made of. expected: PyTorch's answers with the new set's weights, or None."""

    golden: Golden
    budget: Budget
    live: Answers
    new: Answers
    expected: Arrays | None = None
    live_expected: Arrays | None = None
    both: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        pairs = zip(self.live.outputs, self.new.outputs, strict=True)
        places = tuple(place for place, (old, new) in enumerate(pairs) if old is not None and new is not None)
        object.__setattr__(self, "both", places)

    def rows(self, answers: Answers, output: str, places: Sequence[int]) -> np.ndarray:
        """One output of some items, (places, ...)."""
        import numpy as np

        return np.stack([_tensor(answers.outputs[place], output) for place in places])

    def complete(self) -> list[int]:
        """Places of the items that both answered and whose class has to be right."""
        return [place for place in self.both if self.golden.items[place].complete]

    def labels(self, places: Sequence[int]) -> np.ndarray:
        """True classes, (places,)."""
        import numpy as np

        return np.asarray([self.golden.items[place].label for place in places])

    def predicted(self, answers: Answers, places: Sequence[int]) -> np.ndarray:
        """Classes as answered, (places,); -1 where a probability is no number."""
        import numpy as np

        rows = self.rows(answers, self.budget.classes, places)
        return np.where(np.isfinite(rows).all(axis=1), rows.argmax(axis=1), -1)


def judge(compared: Compared) -> list[Finding]:
    """Every finding, in the order in which a person would ask."""
    found = [_answered(compared)]
    if not compared.both:
        return found
    finite = _finite(compared)
    found += [finite, *(_distributions(compared) if finite.passed else ())]
    found += [_statuses(compared), _numbers(compared)]
    found += _metrics(compared)
    if compared.live.ms and compared.new.ms:
        found += _latency(compared)
    return found


def _answered(compared: Compared) -> Finding:
    total, errors = len(compared.golden.items), compared.new.errors
    if not errors:
        return Finding("errors", True, f"all {total} items answered by both", 0, 0, "{:.0f}")
    place, why = next(iter(errors.items()))
    text = (
        f"errors: expected an answer to each of {total} items, the new set failed on {len(errors)}, as "
        f"{compared.golden.items[place].id}: {why}; see the server's log, then export the set again"
    )
    return Finding("errors", False, text, len(errors), 0, "{:.0f}")


def _finite(compared: Compared) -> Finding:
    import numpy as np

    bad = []
    for place in compared.both:
        outputs = compared.new.outputs[place] or {}
        bad += [
            (place, name)
            for name, array in outputs.items()
            if array.dtype.kind == "f" and not np.isfinite(array).all()
        ]
    if not bad:
        return Finding("not finite", True, "no NaN or infinity in any answer", 0, 0, "{:.0f}")
    items = len({place for place, _ in bad})
    names = ", ".join(sorted({name for _, name in bad}))
    text = (
        f"finite: expected numbers, got NaN or infinity in {names} of {items} of {len(compared.both)} items; "
        "the weights are broken or a masked row divides by zero: train or convert them again"
    )
    return Finding("not finite", False, text, items, 0, "{:.0f}")


def _distributions(compared: Compared) -> Iterator[Finding]:
    import numpy as np

    allowed = 1e-4  # twelve float32 numbers sum to 1 within 1e-6; a sigmoid or logits are off by far more
    for name in compared.budget.distributions:
        sums = compared.rows(compared.new, name, compared.both).astype(np.float64).sum(axis=-1)
        off = float(np.abs(sums - 1).max())
        if off <= allowed:
            yield Finding("sums", True, f"{name} sum to 1", off, allowed, "{:.1e}")
            continue
        text = (
            f"sums: expected {name} that sum to 1, got {sums[np.argmax(np.abs(sums - 1))]:.4g}; "
            "is the softmax missing in the exported graph?"
        )
        yield Finding("sums", False, text, off, allowed, "{:.1e}")


def _statuses(compared: Compared) -> Finding:
    import numpy as np

    known = compared.expected or compared.live_expected
    for name in compared.budget.exact:
        for place in compared.both:
            came = _tensor(compared.new.outputs[place], name)
            wanted = known[name][place] if known else _tensor(compared.live.outputs[place], name)
            if not np.array_equal(came, wanted):
                item = compared.golden.items[place]
                text = (
                    f"statuses: expected {name} {wanted.tolist()} for {item.id} ({item.sent}), got "
                    f"{came.tolist()}; the preprocessing differs: check its version"
                )
                return Finding("statuses", False, text)
    return Finding("statuses", True, "absent and broken recordings are reported as expected")


def _numbers(compared: Compared) -> Finding:
    """Against PyTorch with the same weights: the worst output, measured in its tolerance."""
    if compared.expected is None:
        text = (
            "numbers: compared with nothing, as the golden set has no PyTorch answers for these weights; the "
            f"metrics alone decide (`python -m export golden {compared.golden.folder.name} --weights FILE` "
            "adds them)"
        )
        return Finding("numbers", True, text, compared=False)
    worst = max(differences(compared), key=lambda one: one[1] / one[2])
    name, value, limit, place = worst
    if value <= limit:
        text = f"as PyTorch with the same weights; {name} is off most"
        return Finding("numbers", True, text, value, limit, "{:.2g}")
    text = (
        f"numbers: expected {name} within {limit:g} of PyTorch with the same weights, got {value:.2g} for "
        f"{compared.golden.items[place].id}; the engines are not what these weights make: export them again"
    )
    return Finding("numbers", False, text, value, limit, "{:.2g}")


def differences(compared: Compared) -> list[tuple[str, float, float, int]]:
    """For each output the item that comes closest to its tolerance, or is furthest beyond.

    returns (output, largest difference from PyTorch, tolerance, place of the item); NaN counts as infinity
    """
    import numpy as np

    sent = [compared.golden.items[place].modalities for place in compared.both]
    found = []
    for name in compared.budget.tolerances:
        came = compared.rows(compared.new, name, compared.both).astype(np.float64)
        wanted = (compared.expected or {})[name][list(compared.both)].reshape(came.shape)
        off = np.nan_to_num(np.abs(came - wanted), nan=np.inf).reshape(len(came), -1).max(axis=1)
        limits = np.asarray([compared.budget.tolerance(name, modalities) for modalities in sent])
        worst = int((off / limits).argmax())
        found.append((name, float(off[worst]), float(limits[worst]), compared.both[worst]))
    return found


def _metrics(compared: Compared) -> Iterator[Finding]:
    """Accuracy and AUROC on the complete items, against the live set on the same items."""
    places = compared.complete()
    for name, (old, new) in metrics(compared).items():
        allowed, title = compared.budget.drops[name], TITLES.get(name, name)
        drop = old - new
        if drop <= allowed:
            text = f"{new:.1%} on {len(places)} complete items, the live set has {old:.1%}"
            yield Finding(f"{title} drop", True, text, max(drop, 0.0), allowed, "{:.1%}")
            continue
        text = (
            f"{title}: expected {old - allowed:.1%} or more on {len(places)} complete items (live: "
            f"{old:.1%}), got {new:.1%}; see the items on the page, then train again or release with --force"
        )
        yield Finding(f"{title} drop", False, text, drop, allowed, "{:.1%}")
        if name == "accuracy" and (renamed := renaming(compared)):
            yield Finding("class order", False, renamed)


def metrics(compared: Compared) -> dict[str, tuple[float, float]]:
    """Metric -> (live, new) on the complete items; empty without such items."""
    places = compared.complete()
    if not places:
        return {}
    labels = compared.labels(places)
    sides = (compared.live, compared.new)
    old, new = (float((compared.predicted(side, places) == labels).mean()) for side in sides)
    found = {"accuracy": (old, new)}
    defect = labels != compared.golden.normal
    if defect.any() and not defect.all():
        before, after = (
            auroc(defect, compared.rows(side, compared.budget.score, places).ravel()) for side in sides
        )
        found["auroc"] = (before, after)
    return found


def auroc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Chance that a positive scores higher than a negative, ties half: (items,) bool and (items,) -> 0 to 1.

    A score that is no number is lower than all: a detector that says nothing detects nothing.
    """
    import numpy as np

    known = np.nan_to_num(scores.astype(np.float64), nan=-np.inf)
    high, low = known[positive][:, None], known[~positive][None]
    return float(((high > low) + 0.5 * (high == low)).mean())


def renaming(compared: Compared) -> str:
    """A sentence when another order of the class names would make the answers right; else empty."""
    import numpy as np

    places = compared.complete()
    labels, predicted = compared.labels(places), compared.predicted(compared.new, places)
    if (predicted < 0).any():
        return ""
    count = len(compared.golden.class_names)
    counts = np.zeros((count, count), int)  # answered class, true class
    np.add.at(counts, (predicted, labels), 1)
    meant = {int(answered): int(counts[answered].argmax()) for answered in set(predicted)}
    if len(set(meant.values())) < len(meant):
        return ""  # two answered classes stand for one true class: no order of names explains that
    fits = float(
        np.mean([meant[int(answered)] == label for answered, label in zip(predicted, labels, strict=True)])
    )
    old, new = metrics(compared)["accuracy"]
    if fits < old - compared.budget.drops["accuracy"] or fits <= new:
        return ""
    names = compared.golden.class_names
    moved = [f"{names[a]} -> {names[b]}" for a, b in sorted(meant.items()) if a != b]
    return (
        f"class order: the answers fit the labels ({fits:.1%}) after renaming {', '.join(moved)}: the head "
        "was trained with another order of class names; export it with the order of the pipeline"
    )


def _latency(compared: Compared) -> Iterator[Finding]:
    median, p95 = ratios(compared.live.ms, compared.new.ms)
    for name, value, limit in (
        ("latency, median", median, compared.budget.median_ratio),
        ("latency, p95", p95, compared.budget.p95_ratio),
    ):
        if value <= limit:
            text = f"{value:.2f} times that of the live set on the same requests"
            yield Finding(name, True, text, value, limit, "{:.2f} x", start=1.0)
            continue
        text = (
            f"{name}: expected at most {limit:g} times that of the live set on the same requests, got "
            f"{value:.2f}; check again on a quiet machine, then look which engine became slower"
        )
        yield Finding(name, False, text, value, limit, "{:.2f} x", start=1.0)


def _tensor(outputs: dict[str, Any] | None, name: str) -> np.ndarray:
    if outputs is None or name not in outputs:
        raise ValueError(f"{name}: expected this output in every answer, got none; compare its contract")
    tensor: np.ndarray = outputs[name]
    return tensor
