"""An answer as text for a terminal."""

from __future__ import annotations

from ._results import ServerStatus, Status, WeldInspection

BAR_CELLS = 24
SHOWN_CLASSES = 5
MEANING = {
    Status.OK: "used",
    Status.ABSENT: "not sent",
    Status.PARTIAL: "used, but something was lost",
    Status.CORRUPT: "could not be read; the answer was made without it",
}


def bar(share: float, cell: str = "█") -> str:
    """A share in [0, 1] as a bar of BAR_CELLS cells."""
    return (cell * round(BAR_CELLS * share)).ljust(BAR_CELLS)


def readable(class_name: str) -> str:
    """`Lack_of_Fusion` -> `Lack of Fusion`; `_w_` means with."""
    return class_name.replace("_w_", " with ").replace("_", " ")


def weld_lines(weld: WeldInspection, cell: str = "█") -> list[str]:
    """Verdict, best classes, anomaly score, state of every modality."""
    best = list(weld.scores.items())[:SHOWN_CLASSES]
    width = max(len(readable(name)) for name, _ in best)
    answered_by = "" if weld.population == "live" else f"  (answered by the {weld.population})"
    lines = [f"{readable(weld.defect)}, {weld.scores[weld.defect]:.1%}{answered_by}", ""]
    lines += [f"  {readable(name):<{width}}  {bar(share, cell)}  {share:6.1%}" for name, share in best]
    if len(weld.scores) > len(best):
        rest = sum(weld.scores.values()) - sum(share for _, share in best)
        lines.append(f"  {f'{len(weld.scores) - len(best)} others':<{width}}  {bar(rest, cell)}  {rest:6.1%}")
    lines += [
        "",
        f"  {'anomaly score':<{width}}  {bar(weld.anomaly_score, cell)}  {weld.anomaly_score:6.3f}",
        "",
    ]
    for name, status in weld.status.items():
        lines.append(f"  {name:<7} {status.name:<8} {MEANING[status]}{photo_note(name, weld.image_status)}")
    return lines


def photo_note(modality: str, photos: tuple[Status, ...]) -> str:
    """Which photos were lost, for the modality `image`; empty elsewhere."""
    lost = [str(number) for number, status in enumerate(photos, 1) if not status.usable]
    if modality != "image" or not lost or len(lost) == len(photos):
        return ""
    return f": photo {', '.join(lost)} of {len(photos)}"


def server_lines(server: ServerStatus) -> list[str]:
    """Whether the server answers, and which pipelines may be asked."""
    if not server.live:
        return [f"{server.url}  no answer"]
    state = "ready" if server.ready else "alive, not ready"
    lines = [f"{server.url}  {state}  (Triton {server.version})"]
    return lines + [
        f"  {name:<24} {'ready' if ready else 'not ready'}" for name, ready in server.pipelines.items()
    ]
