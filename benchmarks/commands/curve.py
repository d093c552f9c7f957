"""The verb `curve`: what becomes of answers as the offered rate passes the goodput rate."""

from __future__ import annotations

import argparse

from benchmarks import record
from benchmarks.commands.arguments import (
    Done,
    Verbs,
    above_zero,
    add_served,
    add_times,
    out_of,
    prepared,
    say,
    search_of,
    served,
    times_of,
)


def add(verbs: Verbs) -> None:
    """The verb's arguments."""
    verb = verbs.add_parser(
        "curve",
        help="latency and goodput at 50, 80, 95, 110 and 150 %% of the goodput rate",
        description="Offer open-loop Poisson arrivals below and above the goodput rate; draws a picture too.",
    )
    add_served(verb, "curve", "1.5 s a point")
    add_times(verb)
    verb.add_argument(
        "--rate", type=above_zero(float), metavar="HZ", help="the goodput rate (default: search it first)"
    )


def run(chosen: argparse.Namespace) -> Done:
    """Measure, write JSON and the picture."""
    from benchmarks import curve, curve_picture, goodput
    from benchmarks.verified import subject

    facts, work, payloads = prepared(chosen)
    plan = curve.Plan(**times_of(chosen, curve.QUICK), seed=chosen.seed)
    with served(chosen.url, [chosen.pipeline]) as url:
        asked = subject(url, work, payloads)
        found = None if chosen.rate else goodput.measure(asked, search_of(chosen))
        rate_hz = chosen.rate or (found["goodput_hz"]["median"] if found else 0.0)
        if not rate_hz:
            raise RuntimeError(
                f"goodput: expected some rate within {work.slo_ms:g} ms, found none; say --rate"
            )
        result = curve.measure(asked, rate_hz, plan)
    say(curve.table(result))
    path = out_of(chosen)
    curve_picture.draw(result, f"{chosen.pipeline}: latency and goodput under load", path.with_suffix(".png"))
    return Done(record.write(path, facts | {"goodput": found, "result": result}))
