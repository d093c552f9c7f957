"""The parts of the page, each from the results that it needs, or a sentence that says what to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.report import charts
from benchmarks.report.charts import Bar, Line
from benchmarks.report.html import figure, missing, note, section, table
from benchmarks.report.peers import COLUMNS, DASH, RUN_COLUMNS, cells, compared, how_run
from benchmarks.report.results import Result, Results, digits, middle, said, spread
from benchmarks.report.single import accuracy, others
from benchmarks.report.swaps import swap
from benchmarks.report.targets import verdicts

PHASES = {
    "queue": "grey",
    "compute_input": "teal",
    "compute_infer": "blue",
    "compute_output": "orange",
}
PHASE_NAMES = {
    "queue": "queue",
    "compute_input": "copy in",
    "compute_infer": "compute",
    "compute_output": "copy out",
}
MARKS = {True: ("met", "met"), False: ("missed", "missed"), None: ("open", "unknown")}


def targets(results: Results) -> str:
    """Every promise, what came of it."""
    found = verdicts(results)
    rows = [(one.target, one.measured, MARKS[one.met][0]) for one in found]
    styles = [f"verdict-{MARKS[one.met][1]}" for one in found]
    used = [one for verb in ("goodput", "absent", "corrupt") for one in results.of(verb)]  # shown here only
    return section("What it is held to", table(("target", "measured", ""), rows, styles=styles), of=used)


def curves(results: Results) -> str:
    """Latency and goodput over the offered rate, a pair of charts per pipeline."""
    found = results.of("curve")
    if not found:
        return missing("Under rising load", "curve")
    parts = [note(LOAD_NOTE)]
    for one in found:
        parts += [f"<h3>{one.pipeline}</h3>" if len(found) > 1 else "", _latency(one), _goodput(one)]
        parts.append(_curve_table(one))
    return section("Under rising load", *parts, of=found)


LOAD_NOTE = (
    "Requests leave at seeded Poisson times, however the server fares; a latency counts from when its "
    "request was due. A late, failed or wrong answer is a miss."
)


def _points(found: Result) -> Sequence[Mapping[str, Any]]:
    return sorted(found.figure("points") or (), key=lambda one: float(one.get("share", 0.0)))


def _over(found: Result, *names: str) -> list[tuple[float, float]]:
    """(offered rate, what stands under the names) of every point that has both."""
    pairs = []
    for point in _points(found):
        value: Any = point
        for name in names:
            value = (value or {}).get(name)
        x, y = middle(point.get("offered_hz")), middle(value)
        pairs += [(x, y)] if x is not None and y is not None else []
    return sorted(pairs)  # by what was offered: in a short run chance may put 95 % below 80 %


def _latency(found: Result) -> str:
    slo = middle(found.figure("slo_ms"))
    drawn = [
        Line(name, _over(found, "latency_ms", name), tone)
        for name, tone in (("p50", "blue"), ("p95", "teal"), ("p99", "orange"))
    ]
    if not any(line.points for line in drawn):
        return note("No request was answered, so there is no latency to draw.")
    bound = (slo, f"SLO {digits(slo)} ms") if slo else None
    label = f"latency of {found.pipeline} over the offered rate"
    chart = charts.lines(drawn, ("offered, requests a second", "latency, ms"), label, log=True, bound=bound)
    return figure(chart, "Latency of answers, on a logarithmic scale.")


def _goodput(found: Result) -> str:
    kept = _over(found, "goodput_hz")
    if not kept:
        return ""
    ideal = Line("all in time", [(0.0, 0.0), (kept[-1][0], kept[-1][0])], "grey", dashed=True)
    label = f"goodput of {found.pipeline} over the offered rate"
    chart = charts.lines(
        [ideal, Line("goodput", kept, "blue")], ("offered, requests a second", "right and in time, Hz"), label
    )
    return figure(chart, "Goodput: right answers within the SLO, a second.")


def _curve_table(found: Result) -> str:
    heads = (
        "load",
        "offered, Hz",
        "p50",
        "p95",
        "p99",
        "max",
        "in SLO",
        "goodput, Hz",
        "rejected",
        "told within",
    )
    rows = []
    for one in _points(found):
        latency = one.get("latency_ms") or {}
        attained, told = middle(one.get("slo_attained")), middle(one.get("slowest_rejection_ms"))
        rows.append(
            (
                f"{one.get('share', 0):.0%}",
                said(one.get("offered_hz")),
                *(said(middle(latency.get(name))) for name in ("p50", "p95", "p99", "max")),
                "" if attained is None else f"{attained:.1%}",
                said(one.get("goodput_hz")),
                said(one.get("rejected")),
                "" if told is None else f"{digits(told)} ms",
            )
        )
    return table(heads, rows)


def stages(results: Results) -> str:
    """Where the time of one request goes."""
    found = results.of("stages")
    if not found:
        return missing("Where the time goes", "stages")
    parts = [charts.legend({PHASE_NAMES[phase]: tone for phase, tone in PHASES.items()})]
    for one in found:
        rows = {
            model: {PHASE_NAMES[phase]: float(ms.get(phase, 0.0)) for phase in PHASES}
            for model, ms in sorted((one.figure("stages") or {}).items(), key=_place)
        }
        if not rows:
            continue
        tones = {PHASE_NAMES[phase]: tone for phase, tone in PHASES.items()}
        latency = one.figure("latency_ms") or {}
        chart = charts.stacked(
            rows, tones, "ms", f"milliseconds of one request in every model of {one.pipeline}"
        )
        told = ", ".join(f"{name} {digits(ms)}" for name, ms in latency.items())
        parts.append(figure(chart, f"{one.pipeline}, a request at a time; the client waits {told} ms."))
    text = "By Triton's own statistics. Encoders run at the same time, so their bars do not add up."
    return section("Where the time goes", note(text), *parts, of=found)


def _place(row: tuple[str, Any]) -> int:
    """Models in the order in which a request meets them; those of one kind as they come."""
    return next((number for number, part in enumerate(ORDER) if part in row[0]), ORDER.index("encoder"))


ORDER = ("gate", "preprocess", "tokenizer", "encoder", "fusion")


def peers(results: Results) -> str:
    """Our row and the peers'."""
    rows = compared(results)
    found = results.of("peers")
    parts = [
        table(COLUMNS, [cells(one) for one in rows], styles=["ours" if one.is_ours else "" for one in rows])
    ]
    drawn = [
        Bar(one.title, rate, "blue" if one.is_ours else "grey", spread(one.goodput_hz))
        for one in rows
        if (rate := middle(one.goodput_hz)) is not None
    ]
    if len(drawn) > 1:
        chart = charts.bars(drawn, "Hz", "goodput of every server")
        parts.insert(0, figure(chart, "Goodput at the SLO: median, and the least and most of the repeats."))
    if found:
        parts += ["<h3>How each was run</h3>", table(RUN_COLUMNS, [how_run(one) for one in rows])]
    if any(DASH in cells(one) for one in rows):
        parts.append(note(f"{DASH} not measured, or not told."))
    if not found:
        parts.append(note("No peer has been measured; <code>python -m benchmarks peers</code> does."))
    return section("Beside other servers", *parts, of=found)


def floor(results: Results) -> str:
    """The same work without a server."""
    found = results.of("floor")
    if not found:
        return missing("How close to the machine", "floor")
    parts = [note("The floor is the same work with the same engines in one process, without a server.")]
    for one in found:
        drawn = [
            Bar(name, value, tone, spread(one.figure(key)))
            for name, key, tone in (("floor", "floor_hz", "grey"), ("served", "served_hz", "blue"))
            if (value := middle(one.figure(key))) is not None
        ]
        if drawn:
            label = f"throughput of {one.pipeline} with and without a server"
            parts.append(figure(charts.bars(drawn, "Hz", label), f"{one.pipeline}: everything at once."))
        shares = one.figure("machine", "share_of_gemm") or {}
        parts.append(
            table(
                ("", one.pipeline),
                [
                    ("efficiency: served / floor", said(one.figure("efficiency"))),
                    ("a lone request without the server", said(one.figure("lone_floor_ms"), "ms")),
                    ("a lone request through it", said(one.figure("lone_served_ms"), "ms")),
                    ("the generator's processor time", said(one.figure(GENERATOR), "ms a request")),
                    *(
                        (f"the floor, of a large {name} product", f"{share:.0%}")
                        for name, share in shares.items()
                    ),
                ],
            )
        )
    return section("How close to the machine", *parts, of=found)


GENERATOR = "generator_processor_ms_per_request"


SECTIONS: tuple[Callable[[Results], str], ...] = (
    targets,
    curves,
    peers,
    stages,
    floor,
    swap,
    accuracy,
    others,
)
