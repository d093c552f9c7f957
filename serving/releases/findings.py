"""What speaks for and against a new set: pure functions over answers, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from serving.releases.compared import Compared, Finding, tensor_of
from serving.releases.judges import drop_of, judge_of
from serving.releases.replay import ratios

if TYPE_CHECKING:
    import numpy as np


def judge(compared: Compared) -> list[Finding]:
    """Every finding, in the order in which a person would ask."""
    found = [_answered(compared)]
    if not compared.both:
        return found
    finite = _finite(compared)
    found += [finite, *(_distributions(compared) if finite.passed else ())]
    found += [_statuses(compared), _numbers(compared), *_words(compared)]
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
        places = compared.readable(compared.new)
        if not places:
            continue
        sums = compared.rows(compared.new, name, places).astype(np.float64).sum(axis=-1)
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
            came = tensor_of(compared.new.outputs[place], name)
            wanted = known[name][place] if known else tensor_of(compared.live.outputs[place], name)
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
        what, fusion = "these weights", ""
        if compared.fusion:
            what, fusion = f"these weights and the fusion {compared.fusion}", f" --fusion {compared.fusion}"
        decides = "the metrics alone decide" if metrics(compared) else "no metric decides either"
        text = (
            f"numbers: compared with nothing, as the golden set has no PyTorch answers for {what}; {decides} "
            f"(`python -m export golden {compared.golden.folder.name} --weights FILE"
            f"{fusion}` adds them)"
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


def _words(compared: Compared) -> Iterator[Finding]:
    """Texts against PyTorch's with the same weights: the share of items that have the same."""
    import numpy as np

    for name, least in compared.budget.words.items() if compared.expected else ():
        wanted = (compared.expected or {})[name]
        came = {place: tensor_of(compared.new.outputs[place], name) for place in compared.both}
        others = [place for place, texts in came.items() if not np.array_equal(texts, wanted[place])]
        share, allowed = len(others) / len(came), round(1 - least, 6)
        if share <= allowed:
            text = (
                f"{name} as PyTorch says with the same weights for {len(came) - len(others)} of {len(came)}"
            )
            yield Finding(f"words of {name}", True, text, share, allowed, "{:.1%}")
            continue
        first = others[0]
        text = (
            f"words: expected {name} as PyTorch says with the same weights for {least:.0%} of {len(came)} "
            f"items, got {1 - share:.0%}, as {_told(came[first])} instead of {_told(wanted[first])} for "
            f"{compared.golden.items[first].id}; the files are not what these weights make: export them again"
        )
        yield Finding(f"words of {name}", False, text, share, allowed, "{:.1%}")


def _told(texts: np.ndarray) -> str:
    return " / ".join(repr(str(text)) for text in texts.ravel())


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
    """Every metric of the pipeline's judge, against the live set on the same items."""
    judge = judge_of(compared.budget)
    measured = judge.measure(compared)
    if not measured:
        text = f"metrics: none, as no item of the golden set has {judge.truth}"
        yield Finding("metrics", True, text, compared=False)
    for name, (old, new) in measured.items():
        metric, allowed = judge.metrics[name], compared.budget.drops[name]
        count, drop = judge.count(compared), drop_of((old, new))
        if drop <= allowed:
            text = f"{metric.written(new)} on {count}, the live set has {metric.written(old)}"
            yield Finding(f"{metric.title} drop", True, text, max(drop, 0.0), allowed, metric.unit)
            continue
        text = (
            f"{metric.title}: expected {metric.written(old - allowed)} or more on {count} (live: "
            f"{metric.written(old)}), got {metric.written(new)}; see the items on the page, then train again "
            "or release with --force"
        )
        yield Finding(f"{metric.title} drop", False, text, drop, allowed, metric.unit)
        yield from judge.causes(compared, name)


def metrics(compared: Compared) -> dict[str, tuple[float, float]]:
    """Metric -> (live, new) on the items whose truth is known; empty without such items."""
    return judge_of(compared.budget).measure(compared)


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
