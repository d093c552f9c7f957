"""Prove a prepared set beside the live one: load it as canary, ask both the same, say what differs.

The live pipeline is only read. What comes out is a verdict in the record, a page for people and its numbers.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from export.budgets import budget_of
from serving.releases import findings, replay, residents
from serving.releases import golden as goldens
from serving.releases import record as records
from serving.releases.compared import Compared, Finding
from serving.releases.live import CANARY, Live, Refused
from serving.releases.origin import origin_of
from serving.releases.record import Pipeline, Release
from serving.releases.replay import Asker, Progress, Silent
from serving.releases.store import Store

if TYPE_CHECKING:
    from export.budgets import Budget
    from serving.releases.golden import Golden

log = logging.getLogger("serving.releases")

# Nobody else's burst of work may reject a set: one that is merely slow is measured again, all rounds count.
MORE_MEASUREMENTS = 2


def check(
    store: Store,
    live: Live,
    pipeline: str,
    number: int,
    *,
    golden: Path,
    by: str,
    progress: Progress = lambda what, done, total: None,
) -> Pipeline:
    """Compare release `number` with the live one; the record afterwards, with the verdict in the release.

    A set that passed stays loaded under the canary's name; one that did not is unloaded.
    golden: folder of golden sets, see `python -m export golden`
    errors: LookupError for an unknown number; ValueError for a golden set that cannot be used; RuntimeError
            for a release that cannot be checked, or a server that does not answer
    """
    from serving.required import precision_of  # here: it reads records, which these are part of

    record = residents.known(store.read_all(), pipeline)
    release = _checkable(record, number)
    items = goldens.read(golden, pipeline)
    budget = budget_of(pipeline, precision_of(live.repository, pipeline, live.target))
    _refuse_other_names(live, pipeline, items)
    started = time.perf_counter()
    passed = False
    try:
        compared, found = _try(live, pipeline, record, release, (items, budget), progress)
        seconds = time.perf_counter() - started
        record = _conclude(store, pipeline, record, release, (compared, found, by, seconds))
        passed = all(one.passed for one in found)
    finally:
        if not passed:
            _unload(store, live, pipeline)
    return record


def _unload(store: Store, live: Live, pipeline: str) -> None:
    """Take the canary away; a server that went down meanwhile comes back without it."""
    try:
        live.unpin(pipeline + CANARY)
        residents.trim(store, live, pipeline)
    except RuntimeError as error:
        log.warning("%s: %s", pipeline + CANARY, error)


def _checkable(record: Pipeline, number: int) -> Release:
    release = record.release(number)
    if number == record.active:
        raise RuntimeError(f"release {number}: expected one to compare with the live one, it is the live one")
    if release.state not in records.WAITING:
        raise RuntimeError(
            f"release {number}: expected one that waits to go live, it is {release.state}; prepare its "
            "engines again"
        )
    if behind := record.left_behind(release):
        raise RuntimeError(behind)
    return release


def _refuse_other_names(live: Live, pipeline: str, golden: Golden) -> None:
    """ValueError when the set's labels count in another order than the pipeline's classes."""
    from serving.required import configuration

    parameters = configuration(live.repository, pipeline, live.target).parameters
    served = tuple(parameters["class_names"].string_value.split(",")) if "class_names" in parameters else ()
    if served and served != golden.class_names:
        raise ValueError(
            f"{golden.folder}: expected the classes of {pipeline} in their order ({', '.join(served)}), got "
            f"{', '.join(golden.class_names)}; make the golden set again"
        )


def _try(
    live: Live,
    pipeline: str,
    record: Pipeline,
    release: Release,
    against: tuple[Golden, Budget],
    progress: Progress,
) -> tuple[Compared | None, list[Finding]]:
    """Load the set and ask both; nothing to compare when it does not load or does not answer."""
    golden, _ = against
    active = record.release(record.active)
    progress("load", 0, 1)
    try:
        residents.refresh(live, active.versions, release.versions)
        live.pin(pipeline, release.versions, pipeline + CANARY)
    except Refused as error:
        text = f"loads: expected the server to take the set, got: {error}; export it again"
        return None, [Finding("loads", False, text)]
    progress("load", 1, 1)
    loads = Finding("loads", True, "the server takes the set, as it will at the flip")
    try:
        with Asker(live.url) as asker:
            compared = _ask_both(asker, live.repository, pipeline, record, release, against, progress)
            found = findings.judge(compared)
            for _ in range(MORE_MEASUREMENTS):
                if not _only_slow(found):
                    break
                both = compared.live, compared.new
                names = (pipeline, pipeline + CANARY)
                replay.measure_again(asker.ask, names, golden.requests(), both, progress)
                found = findings.judge(compared)
    except Silent as error:
        return None, [loads, Finding("errors", False, f"errors: {error}")]
    return compared, [loads, *found]


def _ask_both(
    asker: Asker,
    repository: Path,
    pipeline: str,
    record: Pipeline,
    release: Release,
    against: tuple[Golden, Budget],
    progress: Progress,
) -> Compared:
    """What both answer to the golden set; RuntimeError when the live release alone fails at it."""
    golden, budget = against
    active, names = record.release(record.active), (pipeline, pipeline + CANARY)
    old, new = replay.replay(asker.ask, names, golden.requests(), progress=progress)
    if old.errors and not new.errors:
        place, why = next(iter(old.errors.items()))
        raise RuntimeError(
            f"{pipeline}: expected the live release to answer, it failed on {len(old.errors)} of "
            f"{len(golden.items)} items, as {golden.items[place].id}: {why}; bring it in order first"
        )
    made, made_live = origin_of(release, repository), origin_of(active, repository)
    return Compared(
        golden,
        budget,
        old,
        new,
        golden.expected(made.weights_sha256, made.fusion),
        golden.expected(made_live.weights_sha256, made_live.fusion),
        made.fusion,
    )


def _only_slow(found: list[Finding]) -> bool:
    faults = [one.name for one in found if not one.passed]
    return bool(faults) and all(name.startswith("latency") for name in faults)


def _conclude(
    store: Store,
    pipeline: str,
    record: Pipeline,
    release: Release,
    outcome: tuple[Compared | None, list[Finding], str, float],
) -> Pipeline:
    """Write page and numbers, then the verdict into the record."""
    from serving.releases import report

    compared, found, by, seconds = outcome
    passed = all(one.passed for one in found)
    folder = store.folder / pipeline / str(release.number)
    subject = report.Subject(pipeline, release, record.release(record.active), by, records.now(), seconds)
    page = report.write(folder, subject, found, compared)
    figures = _figures(compared, found) | {"seconds": round(seconds, 1)}
    verdict = records.Check(
        passed,
        subject.time,
        page.relative_to(store.repository).as_posix(),
        tuple(one.text for one in found if not one.passed),
        figures,
        tuple(one.text for one in found if one.passed and not one.compared),
    )
    changed = replace(release, state="checked" if passed else "rejected", check=verdict)
    text = "passed" if passed else "; ".join(verdict.faults)
    record = record.with_release(changed).with_event("check", release.number, by, text, figures)
    return store.write(pipeline, record)


def _figures(compared: Compared | None, found: list[Finding]) -> dict[str, float]:
    """Metrics of both, latency ratios: what `release log` and a dashboard show."""
    if compared is None or not compared.both:
        return {}
    figures: dict[str, float] = {"items": len(compared.golden.items)}
    for name, (old, new) in findings.metrics(compared).items():
        # JSON has no word for what is no number; the sentence of the finding says it.
        sides = {f"{name}_live": old, name: new}
        figures |= {side: round(figure, 4) for side, figure in sides.items() if math.isfinite(figure)}
    for one in found:
        if one.name.startswith("latency"):
            figures[one.name.replace(", ", "_") + "_ratio"] = round(one.value, 3)
    return figures
