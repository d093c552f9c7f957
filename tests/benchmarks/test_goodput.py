"""The search for the goodput rate: bisection by closed forms, what is accepted, and a run of the verb."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import goodput
from benchmarks.__main__ import main
from benchmarks.goodput import QUICK, Plan, Point, Search, accepts, bisect, last_of_each_rate, spread
from benchmarks.verified import Expected, judged
from tests.benchmarks.test_open_loop import record

STRICT = SimpleNamespace(slo_ms=100.0, tolerance=1e-3, why="because", outputs=("x",))
EXPECTED = Expected(np.array([[1.0]], np.float32), np.array([""]))


def verdict(requests, late=0, failed=0, lag_s=0.0):
    answers = np.ones((requests, 1))
    answers[:failed] = np.nan
    latency_s = np.full(requests, 0.05)
    latency_s[failed : failed + late] = 0.2
    return judged(record(answers, latency_s=latency_s, lag_s=lag_s), EXPECTED, STRICT)


@pytest.mark.parametrize("limit", [3.0, 9.99, 10.0, 17.0, 19.9, 45.0, 300.0])
def test_bisection_finds_the_limit_from_any_bracket(limit):
    tried = []

    def accept(rate):
        tried.append(rate)
        return rate <= limit

    found = bisect(accept, 10.0, 20.0, 0.05)
    assert found <= limit <= found * 1.051
    assert found in tried and len(tried) < 25


def test_a_bracket_that_is_right_costs_two_points_and_the_halvings():
    tried = []
    bisect(lambda rate: tried.append(rate) or rate <= 14.0, 10.0, 20.0, 0.1)
    assert len(tried) == 2 + 3  # log(2) / log(1.1) = 7.3: three halvings of the logarithm


def test_a_server_that_is_never_in_time_has_no_goodput():
    assert bisect(lambda rate: False, 10.0, 20.0, 0.1) == 0.0


@pytest.mark.parametrize(
    ("requests", "late", "accepted"),
    [(458, 0, False), (459, 0, True), (661, 1, False), (662, 1, True), (1306, 5, False)],
)
def test_a_rate_is_accepted_by_enough_requests_with_few_enough_misses(requests, late, accepted):
    assert accepts(verdict(requests, late), Plan()) is accepted


def test_one_failure_in_a_thousand_is_the_most():
    assert accepts(verdict(2000, failed=2), Plan())
    assert not accepts(verdict(2000, failed=3), Plan())  # though 99 % are in time by far


def test_a_slow_rate_is_offered_for_as_long_as_it_takes():
    assert Plan().duration_s(100.0) == 60.0
    assert Plan().duration_s(2.0) > 662 / 2.0


class Scripted:
    """A server whose verdicts are written down."""

    workload = STRICT
    messages = (b"",)

    def __init__(self, *verdicts):
        self.verdicts = list(verdicts)

    def replay(self, schedule, limit, patient):
        assert not patient  # requests say that the SLO is all they wait
        found = self.verdicts.pop(0)
        return found(len(schedule))


def search(*verdicts, **plan):
    from benchmarks.arrivals import poisson

    return Search(
        Scripted(*verdicts), Plan(**plan), lambda rate, seconds, seed: poisson(rate, seconds, 1, seed)
    )


def test_a_void_point_is_repeated_and_decided_by_the_last():
    one = search(lambda n: verdict(n, lag_s=0.01), lambda n: verdict(n, lag_s=0.01), lambda n: verdict(n))
    assert one.accepts(30.0)
    assert [point.void for point in one.points] == [True, True, False]
    assert not any(point.void for point in last_of_each_rate(one.points))


def test_after_the_last_attempt_the_point_stays_void():
    one = search(*[lambda n: verdict(n, lag_s=0.01)] * 2, attempts=2)
    one.accepts(30.0)
    assert last_of_each_rate(one.points)[0].void


def test_a_run_that_was_broken_off_is_refused():
    one = search(lambda n: verdict(n // 2))
    assert not one.accepts(60.0) and one.points[0].figures["stopped_early"]


def test_median_least_and_most():
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0}


def result(median=12.0, void=False):
    figures = verdict(700, late=1).figures(60.0)
    point = {"rate_hz": 12.0, "accepted": True, "void": void, "figures": figures}
    return {
        "slo_ms": 100.0,
        "void": void,
        "goodput_hz": spread([median]),
        "repeats": [{"goodput_hz": median, "points": [point]}],
    }


def test_void_and_empty_results_are_faults():
    assert goodput.faults(result()) == []
    assert "void" in goodput.faults(result(void=True))[0]
    assert "expected some rate within 100 ms" in goodput.faults(result(median=0.0))[0]


def test_the_table_has_a_row_per_point_and_the_figure():
    lines = goodput.table(result()).splitlines()
    assert lines[1].split() == ["12.00", "700", "50.0", "50.0", "1", "0", "0", "accepted"]
    assert lines[-1] == "goodput at 100 ms: 12 requests/s [12-12] over 1 repeats"


def test_a_point_is_plain_values():
    assert json.dumps(Point(1.0, True, False, verdict(5).figures(1.0)).figures)


@pytest.mark.server
@pytest.mark.slow
def test_the_verb_searches_a_real_server(weld_server, bench, capsys):
    assert main(["goodput", "--quick", "--url", weld_server.grpc]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == "build/benchmarks/goodput_weld_inspection.json"
    written = json.loads((bench / printed.out.strip()).read_text())
    assert written["quick"] and written["seed"] == 7 and written["commit"]
    found = written["result"]
    assert found["plan"]["point_s"] == QUICK["point_s"] and found["least_distance"] > 2 * found["tolerance"]
    (repeat,) = found["repeats"]
    accepted = [point["rate_hz"] for point in repeat["points"] if point["accepted"]]
    assert repeat["goodput_hz"] == max(accepted, default=0.0) and found["capacity_hz"] > 0
    assert sum(point["figures"]["wrong"] for point in repeat["points"]) == 0


def test_a_pipeline_that_is_not_there_is_mistyped():
    with pytest.raises(SystemExit) as stop:
        main(["goodput", "weld"])
    assert stop.value.code == 2
