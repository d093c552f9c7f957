"""What a person wants to know about a pipeline's releases: status, history, and what comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from serving.releases.record import WAITING, Event, Pipeline, Release

NOTHING_YET = "nothing was released yet; the server answers from the newest version of each model"


@dataclass(frozen=True)
class Status:
    """What the record says and what the server does.

    record: None when nothing was ever released
    url:    of the server, empty where none is known; server: whether it answers
    pinned: model -> version that it answers from; None when it does not serve the pipeline
    busy:   who is changing releases now, empty when nobody is
    """

    pipeline: str
    record: Pipeline | None
    url: str = ""
    server: bool = False
    pinned: Mapping[str, int] | None = None
    busy: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the server answers from exactly the active release."""
        return self.record is not None and self.pinned == self.record.release(self.record.active).versions

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        record = self.record
        return {
            "pipeline": self.pipeline,
            "active": record.active if record else None,
            "previous": record.previous if record else None,
            "releases": [asdict(one) for one in record.releases.values()] if record else [],
            "pending": asdict(record.pending) if record and record.pending else None,
            "server": {"url": self.url, "answers": self.server, "pinned": self.pinned},
            "agrees": self.agrees,
            "busy": self.busy,
            "next": next_step(self.pipeline, record),
        }


def next_step(pipeline: str, record: Pipeline | None) -> str:
    """What to type after `release` to get on."""
    if record is None:
        return f"prepare {pipeline} --from FOLDER"
    if record.pending is not None:
        return f"restore {pipeline}"
    newest = record.newest
    if newest.state == "prepared":
        return f"check {pipeline} {newest.number}"
    if newest.state == "checked":
        return f"flip {pipeline} {newest.number}"
    moved = [event.verb for event in record.history if event.verb in ("flip", "rollback", "watch")]
    if moved and moved[-1] == "flip":
        return f"watch {pipeline}"
    if any(is_over(record, release) for release in record.releases.values()):
        return f"retire {pipeline}"
    return f"prepare {pipeline} --from FOLDER"


def is_over(record: Pipeline, release: Release) -> bool:
    """Whether nothing needs a release any more that is still loaded or on disk."""
    used = release.number in (record.active, record.previous)
    return not used and release.state in ("released", "rejected")


def waiting(record: Pipeline) -> Release:
    """The newest release that is not live yet; LookupError when there is none."""
    found = [release for release in record.releases.values() if release.state in WAITING]
    if not found:
        raise LookupError(
            "release: expected one that waits to go live, found none; "
            "`release prepare --from FOLDER` brings one"
        )
    return max(found, key=lambda release: release.number)


def verdict(release: Release) -> str:
    """What the check said, in one line."""
    check = release.check
    if check is None:
        return "not checked"
    if check.passed:
        return "; ".join([f"passed{_figures(check.figures)}", *check.remarks])
    more = f" and {len(check.faults) - 1} more" if len(check.faults) > 1 else ""
    return f"rejected: {check.faults[0] if check.faults else 'see the report'}{more}"


def _figures(figures: Mapping[str, Any]) -> str:
    """Metrics of the new set beside those of the live one, and the ratio of their latencies."""
    shown = [
        f"{name} {new:.3g} (live {figures[name + '_live']:.3g})"
        for name, new in figures.items()
        if name + "_live" in figures
    ]
    if (ratio := figures.get("latency_median_ratio")) is not None:
        shown.append(f"latency {ratio:.2f} times the live one's")
    return ": " + ", ".join(shown) if shown else ""


def described(release: Release) -> str:
    """What a release brought: its changed models with their versions."""
    if not release.changed:
        versions = set(release.versions.values())
        if len(versions) == 1:
            return f"all {len(release.members)} models, version {versions.pop()}"
        return ", ".join(f"{model} {version}" for model, version in release.versions.items())
    changed = ", ".join(f"{model} {release.versions[model]}" for model in release.changed)
    rest = len(release.members) - len(release.changed)
    return f"{changed}; {rest} models as they were" if rest else changed


def role(record: Pipeline, release: Release) -> str:
    """Live, previous, or the state it is in."""
    if release.number == record.active:
        return "live"
    return "previous" if release.number == record.previous else release.state


def status_text(status: Status) -> str:
    """A table of the releases, and the lines below it."""
    lines = _releases(status.record) if status.record else [f"{status.pipeline}: {NOTHING_YET}"]
    lines += ["", *_server(status)]
    if status.record and status.record.pending:
        one = status.record.pending
        lines.append(f"half done: the {one.verb} to release {one.release} by {one.by} since {one.time}")
    if status.busy:
        lines.append(f"at work:   {status.busy}")
    return "\n".join(lines)


def log_text(history: Sequence[Event]) -> str:
    """One line per event, newest last."""
    return "\n".join(
        f"{one.time}  {one.by}  {one.verb:8}  release {one.release}  {' | '.join(one.text.splitlines())}"
        for one in history
    )


def _releases(record: Pipeline) -> list[str]:
    rows = [("release", "state", "since", "by", "check", "brought", "why")]
    for one in record.releases.values():
        why = one.why + f" (forced: {one.forced})" * bool(one.forced)
        check = "-" if one.check is None else "passed" if one.check.passed else "rejected"
        rows.append((str(one.number), role(record, one), one.time, one.by, check, described(one), why))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), *row[5:]]).rstrip()
        for row in rows
    ]


def _server(status: Status) -> list[str]:
    record = f"release {status.record.active} is live according to the record; " if status.record else ""
    if not status.url:
        return [f"{record}no server is known"]
    if not status.server:
        return [f"{record}no server answers at {status.url}"]
    if status.pinned is None:
        return [f"{record}the server at {status.url} does not serve {status.pipeline}"]
    if status.agrees:
        return [f"{record}the server at {status.url} answers from it"]
    pins = ", ".join(f"{model} {version}" for model, version in status.pinned.items())
    hint = "; `release restore` makes it agree" if status.record else ""
    return [f"{record}the server at {status.url} answers from {pins}{hint}"]
