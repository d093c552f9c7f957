"""The page of a check: one HTML file without anything beside it, read in ten seconds; and check.json."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from serving.releases import charts, findings
from serving.releases.compared import Compared, Finding
from serving.releases.judges import judge_of
from serving.releases.record import Release
from serving.releases.verdicts import plain

STYLE = Path(__file__).with_name("check.css")


@dataclass(frozen=True)
class Subject:
    """What was checked: a release against the live one; by whom, when (UTC), in how many seconds."""

    pipeline: str
    release: Release
    live: Release
    by: str
    time: str
    seconds: float


def write(folder: Path, subject: Subject, found: Sequence[Finding], compared: Compared | None) -> Path:
    """Write check.html and check.json into `folder`; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = json.dumps(as_json(subject, found, compared), indent=1, allow_nan=False)
    (folder / "check.json").write_text(numbers + "\n")
    page = folder / "check.html"
    page.write_text(render(subject, found, compared))
    return page


def as_json(subject: Subject, found: Sequence[Finding], compared: Compared | None) -> dict[str, Any]:
    """Everything on the page as plain values; what is not finite becomes None."""
    content: dict[str, Any] = {
        "pipeline": subject.pipeline,
        "release": subject.release.number,
        "live": subject.live.number,
        "by": subject.by,
        "time": subject.time,
        "seconds": round(subject.seconds, 2),
        "passed": all(one.passed for one in found),
        "findings": [{name: plain(value) for name, value in asdict(one).items()} for one in found],
    }
    if compared is not None and compared.both:
        content |= {
            "metrics": {
                name: {"live": plain(old), "new": plain(new)}
                for name, (old, new) in findings.metrics(compared).items()
            },
            "latency_ms": {"live": compared.live.ms, "new": compared.new.ms},
            "items": judge_of(compared.budget).lines(compared),
        }
    return content


def render(subject: Subject, found: Sequence[Finding], compared: Compared | None) -> str:
    """The page's HTML."""
    passed = all(one.passed for one in found)
    title = f"{subject.pipeline}, release {subject.release.number}: {'passed' if passed else 'rejected'}"
    body = [_head(subject, found, passed), _table(found)]
    if compared is not None and compared.both:
        body += [_plots(compared), _changes(compared), _outputs(compared)]
    body.append(_members(subject))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE.read_text()}</style></head><body><main>"
        f"{''.join(body)}</main></body></html>\n"
    )


def _head(subject: Subject, found: Sequence[Finding], passed: bool) -> str:
    release = subject.release
    faults = [one for one in found if not one.passed]
    if passed:
        text = "May go live: nothing is worse than its budget allows."
    else:
        text = f"Stays out: {len(faults)} of {len(found)} findings speak against it."
    sentences = "".join(f"<li>{_sentence(one.text)}</li>" for one in faults)
    unproven = "".join(f"<li>{_sentence(one.text)}</li>" for one in found if not one.compared)
    why = f" &middot; why: {escape(release.why)}" if release.why else ""
    return (
        f"<header><h1>{escape(subject.pipeline)} <span>release {release.number}</span></h1>"
        f"<p>against release {subject.live.number}, which is live &middot; {_readable(subject.time)} "
        f"&middot; checked by {escape(subject.by)} in {subject.seconds:.0f} s &middot; prepared by "
        f"{escape(release.by)}{why}</p></header>"
        f'<section class="verdict {"good" if passed else "bad"}"><b>{"PASSED" if passed else "REJECTED"}</b>'
        f"<div><p>{text}</p><ul>{sentences}</ul><ul class='note'>{unproven}</ul></div></section>"
    )


def _sentence(text: str) -> str:
    """A sentence as HTML; what it puts in backticks is something to type."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


def _readable(time: str) -> str:
    return escape(time.replace("T", " ").replace("+00:00", " UTC"))


def _table(found: Sequence[Finding]) -> str:
    rows = []
    for one in found:
        kind = "bad" if not one.passed else "good" if one.compared else "open"
        mark = {"bad": "&#10007;", "good": "&#10003;", "open": "?"}[kind]
        measured = one.limit is not None
        rows.append(
            [
                f'<b class="mark {kind}">{mark}</b>',
                f"<b>{escape(one.name)}</b>",
                charts.bar(one.used, one.passed) if measured else "",
                _figure(one.value, one.unit) if measured else "",
                _figure(one.limit, one.unit) if one.limit is not None else "",
                _sentence(one.text.removeprefix(f"{one.name}: ")) if one.passed else "see above",
            ]
        )
    return _section("Findings", _rows(("", "", "budget used", "measured", "allowed", ""), rows, "findings"))


def _figure(value: float, unit: str) -> str:
    return unit.format(value) if math.isfinite(value) else "not a number"


def _plots(compared: Compared) -> str:
    import numpy as np

    parts = []
    if compared.live.ms and compared.new.ms:
        names = [item.id for item in compared.golden.items]
        old, new = (np.median(side.ms, axis=0).tolist() for side in (compared.live, compared.new))
        parts.append(
            "<figure><figcaption>Latency of the same requests, one dot each (median of "
            f"{len(compared.live.ms)})</figcaption>{charts.latency(old, new, names)}</figure>"
        )
    parts.append(judge_of(compared.budget).figure(compared))
    return f'<section class="plots">{"".join(parts)}</section>' if any(parts) else ""


def _changes(compared: Compared) -> str:
    judge = judge_of(compared.budget)
    changes = judge.changes(judge.lines(compared))
    return _section(changes.title, _rows(changes.head, changes.rows))


def _outputs(compared: Compared) -> str:
    if compared.expected is None:
        return ""
    rows = [
        [
            escape(name),
            charts.bar(off / limit, off <= limit),
            _figure(off, "{:.2g}"),
            f"{limit:g}",
            escape(compared.golden.items[place].id),
        ]
        for name, off, limit, place in findings.differences(compared)
    ]
    head = ("output", "", "largest difference", "allowed", "at item")
    return _section("Against PyTorch with the same weights", _rows(head, rows))


def _members(subject: Subject) -> str:
    rows = []
    for model, member in subject.release.members.items():
        live = subject.live.members.get(model)
        before = "" if live is None else str(live.version)
        is_new = live is None or live.version != member.version
        rows.append(
            [
                escape(model),
                f"<b>{before} &rarr; {member.version}</b>" if is_new else f"{member.version}, as live",
                f"<code>{escape(member.weights_sha256[:16])}</code>",
                "<br>".join(
                    f"<code>{escape(name)} {escape(sha[:16])}</code>" for name, sha in member.files.items()
                ),
            ]
        )
    return _section("The set", _rows(("model", "version", "weights", "files"), rows))


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table; cells are HTML already."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="wide"><table class="{kind}"><thead><tr>{top}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )
