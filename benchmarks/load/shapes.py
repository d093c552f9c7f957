"""How many users there are when: load shapes as functions of time, and as locust's own classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

SPIKE = (0.4, 0.6)  # of the run: when it begins and ends
SPIKE_TIMES = 4  # as many users as before and after it
STEPS = 5
DEFAULT_S = 60.0  # of a run that was given no end


@dataclass(frozen=True)
class Plan:
    """What was asked for: the most users, and for how long."""

    users: int
    run_s: float

    def __post_init__(self) -> None:
        if self.users < 1 or self.run_s <= 0:
            raise ValueError(
                f"load shape: expected users and a run time above zero, got {self.users} and {self.run_s} s; "
                "give --users and --run-time"
            )


def ramp(plan: Plan, now_s: float) -> int:
    """From one user to all of them, evenly."""
    return max(1, round(plan.users * min(1.0, now_s / plan.run_s)))


def spike(plan: Plan, now_s: float) -> int:
    """A quarter of the users, all of them for a fifth of the time, and a quarter again."""
    begin_s, end_s = (share * plan.run_s for share in SPIKE)
    return plan.users if begin_s <= now_s < end_s else max(1, plan.users // SPIKE_TIMES)


def steps(plan: Plan, now_s: float) -> int:
    """A fifth of the users more in every fifth of the time: where the queue begins shows as a bend."""
    step = min(STEPS, int(STEPS * now_s / plan.run_s) + 1)
    return max(1, plan.users * step // STEPS)


SHAPES: Mapping[str, Callable[[Plan, float], int]] = {"ramp": ramp, "spike": spike, "steps": steps}


def users_at(shape: str, plan: Plan, now_s: float) -> int | None:
    """The users of a shape at a moment; None when the run is over."""
    return SHAPES[shape](plan, now_s) if now_s < plan.run_s else None
