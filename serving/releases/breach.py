"""What is worse than before a flip, by limits that are declared: pure functions over what a watch counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from serving.releases.period import Period
from serving.releases.probes import Probe

LONGEST_WINDOWS = 3  # a window without enough requests closes after so many times its length
SILENT_S = 5.0  # a supervised server that crashed answers again after 3-4 s, as it should
COMPARABLE_RATE = 1.5  # latency under more than so many times the requests says nothing about a release


@dataclass(frozen=True)
class Limits:
    """How much worse than the period before a release may be.

    failures: more of the requests, as a share; degraded: more of the payloads, as a share
    latency:  times the mean latency, and by more than latency_ms, below which a ratio is noise
    window_s, requests: what makes a window long enough to judge
    """

    failures: float = 0.01  # a flip itself loses none; refusals of the gate are in both periods
    degraded: float = 0.05  # cameras come and go: one of a weld's four in one weld of five, one video of 20
    # `check` holds a set to 1.2, side by side. Here time passes in between: on two cores that other processes
    # came to share, windows of 5 s of one and the same set went from 50 to 166 ms in a minute.
    latency: float = 2.0
    latency_ms: float = 5.0
    window_s: float = 5.0
    requests: int = 20


DECLARED = Limits()


@dataclass(frozen=True)
class Window:
    """A stretch of the watch: everything counted, of which `probes` are our own golden requests."""

    counted: Period
    probes: tuple[Probe, ...] = ()

    @property
    def traffic(self) -> Period:
        """What others asked."""
        right = [probe for probe in self.probes if not probe.failed]
        return replace(
            self.counted,
            requests=max(self.counted.requests - len(right), 0),
            failures=max(self.counted.failures - (len(self.probes) - len(right)), 0),
            busy_ns=max(self.counted.busy_ns - sum(probe.took_ns for probe in right), 0),
            payloads=max(self.counted.payloads - sum(probe.payloads for probe in right), 0),
            degraded=max(self.counted.degraded - sum(probe.degraded for probe in right), 0),
        )

    def is_full(self, limits: Limits) -> bool:
        """Long enough, with enough requests; or so long that no more is to be expected."""
        enough = self.traffic.attempts >= limits.requests
        return self.counted.seconds >= limits.window_s * (1 if enough else LONGEST_WINDOWS)


def faults(before: Period | None, window: Window, limits: Limits) -> list[str]:
    """What is worse in this window than the limits allow, a sentence each; before: None when not observed."""
    traffic, counted = window.traffic, window.counted
    found = [_wrong(window.probes)]
    earlier = before or Period()
    if counted.attempts >= limits.requests and counted.failed > earlier.failed + limits.failures:
        found.append(
            f"{counted.failed:.1%} of {counted.attempts} requests failed, {earlier.failed:.1%} before "
            f"the flip (limit: {limits.failures:.1%} more)"
        )
    found += [_slower(before, traffic, limits), _degraded(before, traffic, limits)]
    if counted.outages or counted.silent_s > SILENT_S:
        found.append(f"the pipeline stopped answering, for {counted.silent_s:.0f} s")
    return [fault for fault in found if fault]


def judge(before: Period | None, windows: Sequence[Window], limits: Limits) -> str | None:
    """Why the release must go back: the last two windows both breach. None when it may stay."""
    if len(windows) < 2:
        return None
    last, earlier = faults(before, windows[-1], limits), faults(before, windows[-2], limits)
    if not (last and earlier):
        return None
    return f"two windows in a row: {'; '.join(last)}"


def wrong_twice(probes: Sequence[Probe]) -> str | None:
    """Why the release must go back: the last two golden requests that were answered have wrong answers."""
    answered = [probe for probe in probes if not probe.failed][-2:]
    if len(answered) == 2 and all(probe.wrong for probe in answered):
        return f"two golden answers in a row are wrong: {answered[-1].wrong}"
    return None


def _wrong(probes: Sequence[Probe]) -> str:
    wrong = [probe.wrong for probe in probes if probe.wrong]
    return f"{len(wrong)} of {len(probes)} golden answers are wrong: {wrong[-1]}" if wrong else ""


def _slower(before: Period | None, traffic: Period, limits: Limits) -> str:
    if before is None or before.requests < limits.requests or traffic.requests < limits.requests:
        return ""
    then, now = before.mean_ms or 0.0, traffic.mean_ms or 0.0
    if traffic.rate_hz > COMPARABLE_RATE * before.rate_hz:
        return ""
    if now <= limits.latency * then or now - then <= limits.latency_ms:
        return ""
    return (
        f"mean latency {now:.0f} ms at {traffic.rate_hz:.1f} requests/s, {now / then:.1f} times the "
        f"{then:.0f} ms at {before.rate_hz:.1f} requests/s before the flip (limit: {limits.latency:.1f})"
    )


def _degraded(before: Period | None, traffic: Period, limits: Limits) -> str:
    then = before.degraded_share if before else None
    now = traffic.degraded_share
    if then is None or now is None or traffic.payloads < limits.requests or now <= then + limits.degraded:
        return ""
    return (
        f"{now:.1%} of {traffic.payloads} payloads were degraded, {then:.1%} before the flip "
        f"(limit: {limits.degraded:.1%} more)"
    )
