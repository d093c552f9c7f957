"""Which versions a server has to hold, how it comes by them, and which it can let go."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace

from serving.releases.live import CANARY, Live
from serving.releases.record import Pipeline
from serving.releases.store import Store

SPARED = ("prepared", "checked")  # what `retire` leaves alone

log = logging.getLogger("serving.releases")


def resident_versions(record: Pipeline, extra: Iterable[int] = ()) -> dict[str, list[int]]:
    """Model -> versions, ascending, that a server needs for the active, the previous and `extra` releases."""
    numbers = [record.active, record.previous, *extra]
    return _union(record.release(number).versions for number in numbers if number is not None)


def refresh(live: Live, *wanted: Mapping[str, int]) -> None:
    """Make these sets resident beside what is resident already, and the next load of an ensemble safe.

    Nothing is unloaded here, but for what is no longer on disk: other pipelines and a canary may use it, and
    `trim` knows what they need.
    """
    models = {model for versions in wanted for model in versions}
    live.hold(_union(wanted, _resident_on_disk(live, models)))


def trim(store: Store, live: Live, pipeline: str, extra: Iterable[int] = ()) -> dict[str, list[int]]:
    """Unload what neither the active, the previous nor an `extra` release uses; returns what stays.

    What another pipeline's releases or a loaded canary use stays as well. Only the active release is loaded
    where it is not: of the others stays what is resident.
    """
    every = store.read_all()
    record = known(every, pipeline)
    active = record.release(record.active).versions
    spared = [record.release(number).versions for number in extra]
    spared += [one.release(n).versions for one in every.values() for n in (one.active, one.previous) if n]
    spared += [pins for name in every if (pins := live.pinned(name + CANARY))]
    kept = {
        model: {versions[model] for versions in spared if model in versions} & there
        for model, there in _resident_on_disk(live, active).items()
    }
    listed = _union([active], kept)
    live.hold(listed)
    return listed


def serve(live: Live, pipeline: str, versions: Mapping[str, int]) -> None:
    """Pin the pipeline to these versions unless it is already; a safe load, `refresh` included."""
    if live.pinned(pipeline) != versions or not live.is_ready(pipeline):
        refresh(live, versions)
        live.pin(pipeline, versions)


def restore(store: Store, live: Live, pipeline: str) -> dict[str, int]:
    """Make a server, empty or not, serve the active release; returns the versions that answer.

    Without a record: the newest version of each model that its configuration's policy selects. The previous
    release is loaded as well, after the active one answers, so that a rollback is as fast as ever; when that
    fails, it is logged. A pipeline that is a plain model is held, there is nothing to pin.

    errors: Refused, Unreachable; RuntimeError when the record was made for another target
    """
    record = store.read(pipeline)
    if record is None:
        return _restore_newest(live, pipeline)
    if record.target != live.target:
        raise RuntimeError(
            f"{pipeline}: expected a server for {record.target}, which its releases were made for, "
            f"got one for {live.target}; serve it with another repository"
        )
    active = record.release(record.active).versions
    refresh(live, active)
    if live.is_ensemble(pipeline):
        live.pin(pipeline, active)
        _keep_previous(live, pipeline, record)
    return active


def retire(
    store: Store,
    live: Live,
    pipeline: str,
    numbers: Iterable[int] | None = None,
    *,
    by: str,
    delete: bool = False,
) -> Pipeline:
    """Unload releases that nobody needs any more, and with `delete` remove their files.

    numbers: which; by default all but the active, the previous and those that wait to go live
    errors:  RuntimeError for the active or the previous one
    """
    record = known(store.read_all(), pipeline)
    if numbers is None:
        states = ("released", "rejected", "retired") if delete else ("released", "rejected")
        in_use = (record.active, record.previous)
        numbers = [n for n, one in record.releases.items() if one.state in states and n not in in_use]
    chosen = [record.release(number) for number in sorted(set(numbers))]
    for release in chosen:
        _refuse_in_use(record, release.number)
        if release.state != "retired":
            record = record.with_release(replace(release, state="retired"))
            record = record.with_event("retire", release.number, by, "unloaded; its numbers stay taken")
    if chosen:
        canary = live.pinned(pipeline + CANARY)
        if any(release.versions == canary for release in chosen):
            live.unpin(pipeline + CANARY)
        record = store.write(pipeline, record)
    trim(store, live, pipeline, [n for n, one in record.releases.items() if one.state in SPARED])
    if delete:
        from serving.releases.prepare import discard

        for release in chosen:
            record = discard(store, pipeline, release.number)
    return record


def _resident_on_disk(live: Live, models: Iterable[str]) -> dict[str, set[int]]:
    """Model -> resident versions that could be loaded again."""
    there = live.resident(models)
    return {
        m: {n for n in numbers if (live.repository / m / str(n)).is_dir()} for m, numbers in there.items()
    }


def _keep_previous(live: Live, pipeline: str, record: Pipeline) -> None:
    if record.previous is None:
        return
    try:
        refresh(live, record.release(record.active).versions, record.release(record.previous).versions)
    except RuntimeError as error:
        reason = str(error).replace("\n", " | ")
        log.warning("%s: release %d, the previous one, is not loaded: %s", pipeline, record.previous, reason)
        refresh(live, record.release(record.active).versions)


def _restore_newest(live: Live, pipeline: str) -> dict[str, int]:
    from serving.required import configuration, models_of, served_versions

    every = models_of(live.repository, [pipeline], live.target)
    ensembles = [model for model in every if live.is_ensemble(model)]
    listed = {}
    for model in every:
        config = configuration(live.repository, model, live.target)
        listed[model] = [int(number) for number in served_versions(live.repository / model, config)]
    live.hold(_union([], listed, _resident_on_disk(live, listed)))
    newest = {model: max(numbers) for model, numbers in listed.items() if model not in ensembles}
    for ensemble in reversed(ensembles):  # an ensemble within another comes after it in the list
        live.pin(ensemble, newest)
    return newest


def _refuse_in_use(record: Pipeline, number: int) -> None:
    if number in (record.active, record.previous):
        raise RuntimeError(
            f"release {number}: expected one that nobody needs, it is the "
            f"{'active' if number == record.active else 'previous'} one; flip to another first"
        )


def known(every: Mapping[str, Pipeline], pipeline: str) -> Pipeline:
    """The record of one pipeline; RuntimeError when nothing of it was ever released."""
    if pipeline not in every:
        raise RuntimeError(f"{pipeline}: expected releases, there are none yet; begin with `release prepare`")
    return every[pipeline]


def _union(sets: Iterable[Mapping[str, int]], *more: Mapping[str, Iterable[int]]) -> dict[str, list[int]]:
    """Model -> every version that one of them names, ascending."""
    found: dict[str, set[int]] = {}
    for versions in sets:
        for model, version in versions.items():
            found.setdefault(model, set()).add(version)
    for listed in more:
        for model, numbers in listed.items():
            found.setdefault(model, set()).update(numbers)
    return {model: sorted(numbers) for model, numbers in found.items()}
