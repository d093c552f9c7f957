"""An answer of `video_quality` as text for a terminal."""

from __future__ import annotations

from itertools import pairwise

from ._quality import BEST, GRADES, Fusion, VideoQuality, merged
from ._report import BAR_CELLS, MEANING, bar
from ._results import Status

SCALE = "scale: " + ", ".join(
    f"{grade} {'from' if grade == GRADES[-1] else 'below'} {limit:g}"
    for grade, limit in zip(GRADES, (20, 40, 60, 80, 80), strict=True)
)
WEIGHT_CELLS = BAR_CELLS // 2


def quality_lines(clip: VideoQuality, cell: str = "█") -> list[str]:
    """Score, the moments that were sampled and how much each counted, the fusion's evidence, the state."""
    answered_by = "" if clip.population == "live" else f"  (answered by the {clip.population})"
    return [
        f"{clip.grade}, {clip.score:.1f} of {BEST:g}{answered_by}",
        "",
        f"  {'quality':<9}  {bar(share_of(clip.score), cell)}  {clip.score:6.1f}",
        f"  {SCALE}",
        "",
        *frame_lines(clip, cell),
        "",
        *fusion_lines(clip.fusion, time_labels([frame.time_s for frame in clip.frames])),
        "",
        *(f"  {name:<7} {state.name:<8} {meaning(clip, state)}" for name, state in clip.status.items()),
    ]


def share_of(score: float) -> float:
    """A score as a share of the scale, for bars: what lies outside fills or empties them."""
    return min(max(score / BEST, 0.0), 1.0)


def frame_lines(clip: VideoQuality, cell: str) -> list[str]:
    """One line for each frame that was looked at; the weights' bars count from the heaviest."""
    frames = merged(clip.frames)
    times = time_labels([frame.time_s for frame in frames])
    heaviest = max((frame.weight for frame in frames), default=0.0) or 1.0
    lines = [f"  {'time':>9}  {'frame':>6}  {'quality':<{BAR_CELLS + 8}}  weight in the answer"]
    for time, frame in zip(times, frames, strict=True):
        quality = f"{bar(share_of(frame.score), cell)}  {frame.score:6.1f}"
        weight = (cell * round(WEIGHT_CELLS * frame.weight / heaviest)).ljust(WEIGHT_CELLS)
        lines.append(f"  {time:>9}  {frame.number:>6}  {quality}  {weight}  {frame.weight:6.1%}")
    return lines


def fusion_lines(fusion: Fusion, times: list[str]) -> list[str]:
    """The fusion's evidence, a column of it in each line.

    times: labels of the sampled moments, for columns that are frames
    """
    title = f"  fusion: {spelled(fusion.name)}"
    rows, columns = fusion.weights.shape
    if not fusion.weights.size:
        return [f"{title} (weighs nothing)"]
    named = fusion.columns or column_labels(columns, times)
    wide = max(len(spelled(name)) for name in named)
    heads = [spelled(name) for name in fusion.rows]
    spans = [max(6, len(head)) for head in heads] or [6] * rows
    lines = [title]
    if heads:
        row = "  ".join(f"{head:>{span}}" for head, span in zip(heads, spans, strict=True))
        lines.append(f"    {'':<{wide}}  {row}")
    for name, values in zip(named, fusion.weights.T, strict=True):
        row = "  ".join(f"{value:>{span}.3f}" for value, span in zip(values, spans, strict=True))
        lines.append(f"    {spelled(name):<{wide}}  {row}")
    return lines


def column_labels(count: int, times: list[str]) -> tuple[str, ...]:
    """Names for columns that the server leaves unnamed: the frames' times where there are as many."""
    return tuple(times) if count == len(times) else tuple(str(place + 1) for place in range(count))


def meaning(clip: VideoQuality, state: Status) -> str:
    """What a state means for a video; where it ends early, after which moment."""
    if state is Status.PARTIAL and clip.frames:
        return f"{MEANING[state]}: the file ends early, soon after {time_labels([last_s(clip)])[0]}"
    return MEANING[state].split(";")[0]  # of one modality only: without it there is no answer


def last_s(clip: VideoQuality) -> float:
    """Seconds to the last moment that was sampled, which lies at the end of what could be decoded."""
    return max(frame.time_s for frame in clip.frames)


def time_labels(times_s: list[float]) -> list[str]:
    """Times of one clip as labels that tell them apart: `0.48 s`, `3.2 s`, `1:05`, `1:02:03`."""
    ordered = sorted(set(times_s))
    step = min((after - before for before, after in pairwise(ordered)), default=1.0)
    if ordered and ordered[-1] >= 60 and step >= 1:
        return [clock(time_s) for time_s in times_s]
    digits = 1 if step >= 0.1 else 2
    return [f"{time_s:.{digits}f} s" for time_s in times_s]


def clock(time_s: float) -> str:
    """Minutes and seconds, with hours before them where there are some."""
    minutes, seconds = divmod(round(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def spelled(name: str) -> str:
    """`space_time_gated` -> `space time gated`."""
    return name.replace("_", " ")
