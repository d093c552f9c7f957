"""The report's charts: lines over a load, stacked bars, bars with the spread of repeats, dots over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.report.axes import LEFT, RIGHT, TOP, apart, frame, svg
from benchmarks.report.results import digits

SIZE = (760, 340)
BAR_WIDTH, BAR_HEIGHT, NAME_PX, NUMBER_PX = 760, 30, 210, 150


@dataclass(frozen=True)
class Line:
    """Points from left to right; tone: a class of the page's style."""

    name: str
    points: Sequence[tuple[float, float]]
    tone: str
    dashed: bool = False


def lines(
    drawn: Sequence[Line],
    names: tuple[str, str],
    label: str,
    log: bool = False,
    bound: tuple[float, str] | None = None,
) -> str:
    """Lines that carry their names at their ends. bound: a value not to exceed, and what it is"""
    drawn = [line for line in drawn if line.points]
    xs = [x for line in drawn for x, _ in line.points]
    ys = [y for line in drawn for _, y in line.points] + ([bound[0]] if bound else [])
    low, high = (min(y for y in ys if y > 0) * 0.7, max(ys) * 1.4) if log else (0.0, max(ys) * 1.1)
    ground = frame(SIZE, (0.0, max(xs) * 1.03), (low, high), names, log)
    inside: list[str] = []
    if bound:
        at = ground.y(bound[0])
        inside += [
            f'<line class="bound" x1="{LEFT}" x2="{SIZE[0] - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>',
            f'<text class="bound-name" x="{LEFT + 6}" y="{at - 5:.1f}">{escape(bound[1])}</text>',
        ]
    ends = apart([ground.y(line.points[-1][1]) for line in drawn], 15.0)
    for line, end_px in zip(drawn, ends, strict=True):
        places = [(ground.x(x), ground.y(max(y, low))) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        inside.append(f'<polyline class="line {line.tone}{" dashed" * line.dashed}" points="{path}"/>')
        if not line.dashed:
            inside += [
                f'<circle class="dot {line.tone}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>'
                f"{escape(line.name)}: {digits(value)} at {digits(offered)}</title></circle>"
                for (x, y), (offered, value) in zip(places, line.points, strict=True)
            ]
        inside.append(
            f'<text class="end-name {line.tone}" x="{places[-1][0] + 9:.1f}" y="{end_px + 4:.1f}">'
            f"{escape(line.name)}</text>"
        )
    return ground.svg(label, inside)


def stacked(rows: Mapping[str, Mapping[str, float]], tones: Mapping[str, str], unit: str, label: str) -> str:
    """A bar per row, its parts one after the other. tones: part -> a class of the page's style"""
    longest = max(sum(parts.values()) for parts in rows.values()) or 1.0
    scale = (BAR_WIDTH - NAME_PX - NUMBER_PX) / longest
    inside: list[str] = []
    for number, (name, parts) in enumerate(rows.items()):
        top, at = TOP + number * BAR_HEIGHT, float(NAME_PX)
        inside.append(f'<text class="row end" x="{NAME_PX - 10}" y="{top + 15}">{escape(name)}</text>')
        for part, value in parts.items():
            width = value * scale
            inside.append(
                f'<rect class="{tones[part]}" x="{at:.1f}" y="{top}" width="{width:.1f}" height="20"><title>'
                f"{escape(part)}: {digits(value)} {unit}</title></rect>"
            )
            at += width
        total = digits(sum(parts.values()))
        inside.append(f'<text class="row" x="{at + 8:.1f}" y="{top + 15}">{total} {unit}</text>')
    return svg(BAR_WIDTH, TOP + len(rows) * BAR_HEIGHT, label, inside)


@dataclass(frozen=True)
class Bar:
    """One bar; ends: least and most of the repeats."""

    name: str
    value: float
    tone: str
    ends: tuple[float, float] | None = None


def bars(drawn: Sequence[Bar], unit: str, label: str) -> str:
    """Bars from the left, a whisker from the least to the most repeat."""
    longest = max(max(bar.value, bar.ends[1] if bar.ends else 0.0) for bar in drawn) or 1.0
    scale = (BAR_WIDTH - NAME_PX - NUMBER_PX) / longest
    inside: list[str] = []
    for number, bar in enumerate(drawn):
        top = TOP + number * BAR_HEIGHT
        end = NAME_PX + bar.value * scale
        inside += [
            f'<text class="row end" x="{NAME_PX - 10}" y="{top + 15}">{escape(bar.name)}</text>',
            f'<rect class="{bar.tone}" x="{NAME_PX}" y="{top}" width="{bar.value * scale:.1f}" height="20"/>',
        ]
        text = f"{digits(bar.value)} {unit}"
        if bar.ends:
            least, most = (NAME_PX + value * scale for value in bar.ends)
            inside.append(
                f'<path class="whisker" d="M{least:.1f} {top + 10}H{most:.1f}M{least:.1f} {top + 5}v10'
                f'M{most:.1f} {top + 5}v10"/>'
            )
            end = max(end, most)
            text += f" [{digits(bar.ends[0])}-{digits(bar.ends[1])}]"
        inside.append(f'<text class="row" x="{end + 8:.1f}" y="{top + 15}">{text}</text>')
    return svg(BAR_WIDTH, TOP + len(drawn) * BAR_HEIGHT, label, inside)


def dots(
    groups: Mapping[str, Sequence[tuple[float, float]]],
    tones: Mapping[str, str],
    names: tuple[str, str],
    label: str,
    marks: Sequence[float] = (),
) -> str:
    """A dot per observation, coloured by its group. marks: moments drawn as vertical lines"""
    xs = [x for points in groups.values() for x, _ in points]
    ys = [y for points in groups.values() for _, y in points]
    ground = frame(SIZE, (0.0, max(xs)), (0.0, max(ys) * 1.08), names)
    floor = ground.y(0.0)
    inside = [
        f'<line class="mark" x1="{ground.x(at):.1f}" x2="{ground.x(at):.1f}" y1="{TOP}" y2="{floor:.1f}"/>'
        for at in marks
    ]
    for name, points in groups.items():
        circles = "".join(
            f'<circle cx="{ground.x(x):.1f}" cy="{ground.y(y):.1f}" r="2.2"/>' for x, y in points
        )
        inside.append(f'<g class="{tones[name]}">{circles}</g>')
    for number, name in enumerate(groups):
        x, y = SIZE[0] - RIGHT + 14, TOP + 10 + 20 * number
        inside.append(
            f'<g class="{tones[name]}"><circle cx="{x}" cy="{y}" r="4"/></g>'
            f'<text class="row" x="{x + 10}" y="{y + 4}">{escape(name)}</text>'
        )
    return ground.svg(label, inside)


def legend(tones: Mapping[str, str]) -> str:
    """Names beside their colours."""
    items = [
        f'<span class="key"><svg width="12" height="12" aria-hidden="true"><rect class="{tone}" width="12" '
        f'height="12"/></svg>{escape(name)}</span>'
        for name, tone in tones.items()
    ]
    return f'<p class="legend">{"".join(items)}</p>'
