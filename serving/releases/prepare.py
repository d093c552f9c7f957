"""Bring a set of engines into the repository: all of it, or nothing after a crash at any point.

    read the set -> room -> record (numbers taken) -> copy into .releases/staging -> hash -> rename -> record

Whose folders they are stands in the record before the first of them is renamed, so whoever finds a
preparation that did not end can remove all of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from export import manifest
from serving.releases import room as rooms
from serving.releases import sets, staging
from serving.releases.record import WAITING, Member, Pipeline, Release, State, now
from serving.releases.sets import Candidate
from serving.releases.staging import Progress
from serving.releases.store import Store, whoami
from serving.required import missing_files

DISCARDABLE: tuple[State, ...] = ("retired", "abandoned", "rejected")
DISCARD = "discard"  # the verb of the event that says that a release's files are gone


def adopt(store: Store, pipeline: str, target: str, by: str) -> Pipeline:
    """The record; where there is none it begins with release 1, the newest version folder of every model.

    That is what a server without a record serves.
    errors: RuntimeError when files are missing; ValueError when the record is of another target
    """
    known = store.read(pipeline)
    if known is not None:
        return _of_target(known, pipeline, target)
    return store.write(pipeline, _begun(store, pipeline, target, by))


def prepare(  # noqa: PLR0913  four of them by name, and the last two only for tests and displays
    store: Store,
    pipeline: str,
    source: Path,
    *,
    target: str,
    by: str,
    why: str,
    room: rooms.Room | None = None,
    progress: Progress | None = None,
) -> Pipeline:
    """Bring the set in `source` into the repository as the next release; no server loads it yet.

    Models whose files are those of the live release keep their version. A set that waits already is not
    brought twice: the record comes back as it is, and `find` tells its number.
    room:   free bytes; None measures those of this machine
    errors: ValueError with every fault of the set, or when it is live already; RuntimeError when there is too
            little room: neither touches anything. OSError or RuntimeError from copying, after undoing it.
    """
    known = undo_unfinished(store, pipeline)
    found = sets.read_set(Path(source), pipeline, store.repository, target)
    record = _of_target(known, pipeline, target) if known else _begun(store, pipeline, target, by)
    same = _same_set(record, found)
    if same == record.active:
        raise ValueError(
            f"{source}: expected a set other than the live one, got release {same}, which is already live"
        )
    if same is not None:
        return record
    live = record.release(record.active)
    changed = [one for model, one in found.items() if one.files != live.members[model].files]
    rooms.refuse(rooms.need(changed, target), room or rooms.measure(store.repository))
    release = Release(
        number=record.newest.number + 1,
        state="preparing",
        members=_members(store, live, found, [one.model for one in changed]),
        changed=tuple(one.model for one in changed),
        source=str(source),
        by=by,
        why=why,
        time=now(),
    )
    store.write(pipeline, record.with_release(release))
    try:
        staging.bring(store, release.number, release.versions, changed, progress or _silent)
        done = _told(record, replace(release, state="prepared"), changed)
        return store.write(pipeline, done)
    except BaseException:
        undo_unfinished(store, pipeline)
        raise


def find(store: Store, pipeline: str, source: Path, target: str) -> int | None:
    """The number of the live or waiting release that `source` is; None for a set that is neither.

    errors: ValueError with every fault of the set
    """
    record = store.read(pipeline)
    if record is None:
        return None
    return _same_set(record, sets.read_set(Path(source), pipeline, store.repository, target))


def undo_unfinished(store: Store, pipeline: str) -> Pipeline | None:
    """Remove what a preparation that did not end left behind; the numbers it took stay taken.

    For the holder of the lock: nobody else can be preparing. None when there is no record yet.
    """
    record = store.read(pipeline)
    if record is None:
        staging.empty(store)
        return None
    for release in _in_state(record, "preparing"):
        folders = [store.repository / model / str(release.versions[model]) for model in release.changed]
        count = staging.remove(store, folders)
        text = f"its preparation did not end; {count} of its {len(folders)} version folders had come, removed"
        record = record.with_release(replace(release, state="abandoned"))
        record = store.write(pipeline, record.with_event("undo", release.number, whoami(), text))
    staging.empty(store)
    return record


def discard(store: Store, pipeline: str, number: int) -> Pipeline:
    """Delete the version folders that only this release used.

    Kept is what any other release names whose files were not discarded, in whichever pipeline of the
    repository. Once that is done, doing it again changes nothing.
    errors: LookupError for an unknown number; ValueError for a release that is not retired, rejected or
            abandoned, or that is live or next to roll back to
    """
    record = undo_unfinished(store, pipeline)
    if record is None:
        raise LookupError(f"{pipeline}: expected a pipeline that has releases, got one without")
    release = record.release(number)
    if release.state not in DISCARDABLE or number in (record.active, record.previous):
        state = "live" if number == record.active else release.state
        raise ValueError(
            f"release {number}: expected one that is retired, rejected or abandoned, got one that is "
            f"{state}; retire it first"
        )
    if _is_discarded(record, number):
        return record
    kept = _used_by_others(store, pipeline, number)
    # A member without recorded files (gate, preprocess of the checkout) is code under git, not an engine.
    engines = [(model, one.version) for model, one in release.members.items() if one.files]
    alone = [engine for engine in engines if engine not in kept]
    staging.remove(store, [store.repository / model / str(version) for model, version in alone])
    text = ", ".join(f"{model} {version}" for model, version in alone) or "nothing: others use all of it"
    return store.write(pipeline, record.with_event(DISCARD, number, whoami(), text))


def _of_target(record: Pipeline, pipeline: str, target: str) -> Pipeline:
    """The record itself; ValueError when it is of another target: its engines were made for that one."""
    if record.target != target:
        raise ValueError(
            f"{pipeline}: expected target {record.target}, which its releases were made for, got {target}; "
            "use another repository for the other target"
        )
    return record


def _begun(store: Store, pipeline: str, target: str, by: str) -> Pipeline:
    models = sets.members_of(store.repository, pipeline, target)
    missing = missing_files(store.repository, [pipeline], target)
    if missing:
        raise RuntimeError("\n".join(missing))
    members = {model: _newest_member(store.repository / model) for model in models}
    first = Release(1, "released", members, (), str(store.repository), by, "what the repository held", now())
    text = ", ".join(f"{model} {version}" for model, version in first.versions.items())
    record = Pipeline(target, active=1, previous=None, releases={}, highest={}).with_release(first)
    return record.with_event("adopt", 1, by, text)


def _newest_member(folder: Path) -> Member:
    """The newest version folder of a model; without files where a checkout fills it (gate, preprocessing)."""
    version = sets.newest_version(folder)
    if version is None:
        raise RuntimeError(f"{folder.name}: expected a version folder such as 1, found none; create it")
    try:
        content = manifest.read(folder / str(version))
        files = {name: str(entry["sha256"]) for name, entry in content["files"].items()}
    except FileNotFoundError:
        return Member(version)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        path = folder / str(version) / manifest.FILE
        raise RuntimeError(f"{path}: expected a manifest, got {error!r}; export the model again") from error
    return Member(version, files, str(content.get("weights_sha256", "")))


def _same_set(record: Pipeline, found: Mapping[str, Candidate]) -> int | None:
    """The live or waiting release whose files are those of the live one with `found` in their places."""
    wanted = _files(record.release(record.active)) | {model: dict(one.files) for model, one in found.items()}
    waiting = [release.number for state in WAITING for release in _in_state(record, state)]
    candidates = (record.active, *sorted(waiting, reverse=True))
    return next((number for number in candidates if _files(record.release(number)) == wanted), None)


def _files(release: Release) -> dict[str, dict[str, str]]:
    return {model: dict(member.files) for model, member in release.members.items()}


def _members(
    store: Store, live: Release, found: Mapping[str, Candidate], changed: Collection[str]
) -> dict[str, Member]:
    """Every model of the pipeline: those that changed with the next number, the others as they are live.

    An unchanged engine that came along is recorded with the weights it came with: its bytes fit both.
    """
    members = dict(live.members)
    for model, one in found.items():
        version = _next_version(store, model) if model in changed else members[model].version
        members[model] = Member(version, dict(one.files), one.weights_sha256)
    return members


def _next_version(store: Store, model: str) -> int:
    """One past every number that any pipeline ever gave this model or that lies on disk."""
    given = [record.highest.get(model, 0) for record in store.read_all().values()]
    return max([*given, sets.newest_version(store.repository / model) or 0]) + 1


def _told(record: Pipeline, release: Release, changed: list[Candidate]) -> Pipeline:
    """The record with the finished release and the line of history that says what it brought."""
    text = ", ".join(f"{model} {release.versions[model]}" for model in release.changed)
    text = f"{text} from {release.source}"
    unseen = [f"{one.model}/{name}" for one in changed for name in one.unseen]
    if unseen:
        text += f"; only a GPU can open {', '.join(unseen)}: check will prove them"
    figures = {"bytes": sum(one.bytes for one in changed)}
    return record.with_release(release).with_event("prepare", release.number, release.by, text, figures)


def _used_by_others(store: Store, pipeline: str, number: int) -> set[tuple[str, int]]:
    """(model, version) of every release whose version folders have to stay."""
    return {
        version
        for name, record in store.read_all().items()
        for other in record.releases.values()
        if (name, other.number) != (pipeline, number)
        and other.state != "abandoned"
        and not _is_discarded(record, other.number)
        for version in other.versions.items()
    }


def _is_discarded(record: Pipeline, number: int) -> bool:
    return any(event.verb == DISCARD and event.release == number for event in record.history)


def _in_state(record: Pipeline, state: State) -> list[Release]:
    return [release for release in record.releases.values() if release.state == state]


def _silent(what: str, done: int, total: int) -> None:
    """Show nothing."""
