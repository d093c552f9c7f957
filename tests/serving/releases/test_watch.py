"""What takes a release back, and what does not."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException

from export.budgets import BUDGETS
from serving.releases.breach import Limits, Window, faults, judge, wrong_twice
from serving.releases.live import Live, Statistics, Unreachable
from serving.releases.period import Meter, Period, outcomes
from serving.releases.probes import Probe, fault
from serving.releases.store import Store
from serving.releases.switch import flip, rollback
from serving.releases.watch import Evidence, Watched, before, observe, watch
from tests.serving.releases.small_pipeline import (
    OLD,
    PAIR,
    Stage,
    serving_pair,
    set_up,
    two_releases,
    write_repository,
)
from tests.serving.small_models import graph_of

LIMITS = Limits(failures=0.01, degraded=0.05, latency=1.5, requests=20)
BEFORE = Period(seconds=10, requests=100, failures=1, busy_ns=100 * 40_000_000, payloads=400, degraded=8)
GOOD = Period(seconds=5, requests=50, busy_ns=50 * 40_000_000, payloads=200, degraded=4)
RIGHT, WRONG = Probe(took_ns=40_000_000), Probe(wrong="weld-7: embedding: 0.3 apart")


def window(**changes) -> Window:
    return Window(replace(GOOD, **changes))


def test_a_period_says_what_it_was():
    assert str(BEFORE) == "10.1 requests/s, 40 ms each, 1 failed, 2.0% of payloads degraded"
    assert str(Period(seconds=30)) == "no request in 30 s"
    assert Period.from_json(BEFORE.to_json()) == BEFORE
    assert Period() == BEFORE - BEFORE


def test_a_window_like_the_period_before_has_no_fault():
    assert faults(BEFORE, window(), LIMITS) == []
    assert faults(None, window(), LIMITS) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"requests": 45, "failures": 5},
            "10.0% of 50 requests failed, 1.0% before the flip (limit: 1.0% more)",
        ),
        (
            {"busy_ns": 50 * 80_000_000},
            "mean latency 80 ms at 10.0 requests/s, 2.0 times the 40 ms at 10.1 requests/s before the flip "
            "(limit: 1.5)",
        ),
        ({"degraded": 20}, "10.0% of 200 payloads were degraded, 2.0% before the flip (limit: 5.0% more)"),
        ({"outages": 1, "silent_s": 4.0}, "the pipeline stopped answering, for 4 s"),
        ({"silent_s": 6.0}, "the pipeline stopped answering, for 6 s"),
    ],
)
def test_a_breach_is_a_sentence_with_both_figures_and_the_limit(changes, sentence):
    assert faults(BEFORE, window(**changes), LIMITS) == [sentence]


@pytest.mark.parametrize(
    "changes",
    [
        {"requests": 10, "failures": 5},  # 15 requests are too few to judge
        {"busy_ns": 50 * 59_000_000},  # 1.475 times
        {"requests": 100, "busy_ns": 100 * 80_000_000},  # twice the traffic, which may well be twice as slow
        {"degraded": 13},  # 6.5 %, 4.5 more than before
        {"silent_s": 4.0},  # the rest of an outage that the window before had
    ],
)
def test_what_may_have_other_reasons_is_no_breach(changes):
    assert faults(BEFORE, window(**changes), LIMITS) == []


def test_latency_is_not_judged_by_a_ratio_of_almost_nothing():
    fast = replace(BEFORE, busy_ns=100 * 1_000_000)
    assert faults(fast, window(busy_ns=50 * 3_000_000), LIMITS) == []


def test_one_bad_window_is_forgiven_and_two_in_a_row_are_not():
    bad, good = window(silent_s=6.0), window()
    assert judge(BEFORE, [], LIMITS) is None
    assert judge(BEFORE, [good, bad], LIMITS) is None
    assert judge(BEFORE, [bad, good], LIMITS) is None
    assert judge(BEFORE, [bad, good, bad], LIMITS) is None
    reason = judge(BEFORE, [good, bad, bad], LIMITS)
    assert reason == "two windows in a row: the pipeline stopped answering, for 6 s"


def test_wrong_golden_answers_take_a_release_back_without_any_traffic():
    quiet = Window(Period(seconds=15, requests=30, busy_ns=30 * 40_000_000), (*[RIGHT] * 29, WRONG))
    assert faults(None, quiet, LIMITS) == ["1 of 30 golden answers are wrong: weld-7: embedding: 0.3 apart"]
    assert wrong_twice([WRONG]) is None
    assert wrong_twice([WRONG, RIGHT]) is None
    assert wrong_twice([RIGHT, WRONG, Probe(failed="refused"), WRONG]) == (
        "two golden answers in a row are wrong: weld-7: embedding: 0.3 apart"
    )


def test_golden_requests_are_not_taken_for_traffic():
    probes = (Probe(took_ns=100_000_000, payloads=4, degraded=1), Probe(failed="the gate refused it"))
    counted = replace(
        GOOD, requests=51, failures=1, busy_ns=GOOD.busy_ns + 100_000_000, payloads=204, degraded=5
    )
    assert Window(counted, probes).traffic == GOOD


def test_a_window_waits_for_enough_requests_but_not_for_ever():
    assert window().is_full(LIMITS)
    assert not window(seconds=4).is_full(LIMITS)
    assert not window(requests=3, seconds=14).is_full(LIMITS)
    assert window(requests=3, seconds=15).is_full(LIMITS)


@dataclass
class Scripted:
    """A server whose counters a test writes down, one reading a second."""

    readings: list[Statistics | None]
    pages: list[dict] = field(default_factory=list)
    at: int = 0

    def statistics(self) -> Statistics:
        self.at += 1
        reading = self.readings[self.at - 1]
        if reading is None:
            raise Unreachable("gone")
        return reading

    def outcomes(self) -> dict:
        if not self.pages:
            raise OSError("no page")
        return self.pages.pop(0)

    def total(self) -> Period:
        meter = Meter(self.statistics, self.outcomes, clock=lambda: float(self.at))
        for _ in self.readings[1:]:
            total = meter.read()
        return total


def test_counters_that_begin_anew_are_counted_on():
    total = Scripted([Statistics(90, 5, 900), Statistics(95, 6, 950), Statistics(3, 1, 30)]).total()
    assert (total.requests, total.failures, total.busy_ns) == (5 + 3, 1 + 1, 50 + 30)
    assert total.outages == 0


def test_a_server_that_goes_and_comes_back_is_one_outage():
    total = Scripted([Statistics(9, 0, 90), None, None, Statistics(2, 0, 20)]).total()
    assert (total.outages, total.silent_s, total.requests) == (1, 2.0, 2)


def test_degraded_payloads_are_counted_over_versions_that_come_and_go():
    def page(version: str, ok: int, absent: int, partial: int, corrupt: int) -> dict:
        counts = {"ok": ok, "absent": absent, "partial": partial, "corrupt": corrupt}
        return {("preprocess", version, "video", status): count for status, count in counts.items()}

    pages = [
        page("1", 100, 5, 1, 1),
        page("1", 104, 9, 2, 1) | page("2", 3, 0, 0, 1),  # a new version began at 0
        page("2", 1, 0, 0, 0),  # and was loaded again
    ]
    total = Scripted([Statistics(1, 0, 1)] * 3, pages).total()
    assert (total.payloads, total.degraded) == (4 + 1 + 3 + 1 + 1, 1 + 1)


def test_a_metrics_page_that_does_not_come_leaves_its_figures_out():
    total = Scripted([Statistics(1, 0, 1), Statistics(2, 0, 2)]).total()
    assert (total.requests, total.payloads, total.degraded_share) == (1, 0, None)


def test_series_of_other_pipelines_are_left_out():
    page = (
        "# TYPE crossfuse_modality_status_total counter\n"
        'crossfuse_modality_status_total{modality="video",model="mine",status="ok",version="2"} 7\n'
        'crossfuse_modality_status_total{modality="video",model="theirs",status="ok",version="2"} 9\n'
    )
    assert outcomes(page, frozenset({"mine"})) == {("mine", "2", "video", "ok"): 7}


def test_an_answer_is_held_to_numbers_to_sums_and_to_pytorch():
    budget, sent = BUDGETS["weld_inspection"], ("video", "audio")
    answer = {"probabilities": np.array([0.75, 0.25]), "modality_status": np.array([0, 1])}
    assert fault(answer, {}, budget, sent) == ""
    assert fault(answer, answer, budget, sent) == ""
    broken = {**answer, "probabilities": np.array([np.nan, 0.25])}
    assert fault(broken, {}, budget, sent) == "probabilities: expected finite numbers, got 1 that are not"
    logits = {**answer, "probabilities": np.array([3.0, -1.0])}
    assert fault(logits, {}, budget, sent) == "probabilities: expected a sum of 1, got 2.000"
    other = {**answer, "probabilities": np.array([0.5, 0.5])}
    assert "probabilities: expected PyTorch's within" in fault(answer, other, budget, sent)
    assert fault(answer, other, budget, sent).endswith("got 0.25 apart")
    near = {**answer, "probabilities": np.array([0.751, 0.249])}
    assert fault(answer, near, budget, sent) == ""
    assert fault(answer, near, budget, ("audio",)).endswith("got 0.001 apart"), "sound is decoded losslessly"
    absent = {**answer, "modality_status": np.array([0, 0])}
    assert fault(answer, absent, budget, sent) == "modality_status: expected [0, 0], got [0, 1]"


SHORT = Evidence(limits=replace(LIMITS, window_s=1.0, requests=10))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The pair on a real server; the second model of release 2 loads, and fails at every request."""
    repository = write_repository(tmp_path_factory.mktemp("repository"))
    fails = helper.make_node("Reshape", ["x", "table"], ["answer"])
    graph = graph_of(fails, "x", TensorProto.FLOAT, np.array([7, 7], np.int64))
    onnx.save(graph, repository / "second" / "2" / "model.onnx")
    with serving_pair(repository) as live:
        yield live


@pytest.fixture
def stage(live: Live) -> Iterator[Stage]:
    """Release 1 is live, release 2 waits and is loaded."""
    with Store(live.repository).locked("test"):
        stage = set_up(live)
    yield stage
    stage.store.path.unlink()


@pytest.fixture
def traffic(stage) -> Iterator[None]:
    """Somebody who asks 50 times a second and minds no error."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            with contextlib.suppress(InferenceServerException):
                stage.answer()

    asking = threading.Thread(target=ask)
    asking.start()
    yield
    over.set()
    asking.join()


def put_live(stage: Stage, number: int, before: Period | None = None) -> None:
    with stage.store.locked("flip"):
        record = flip(stage.store, stage.live, PAIR, number, by="ann@here", why="newer").record
        if before is not None:
            *earlier, last = record.history
            event = replace(last, figures={"before": before.to_json()})
            stage.store.write(PAIR, replace(record, history=(*earlier, event)))


@pytest.mark.server
def test_observing_counts_what_others_ask(stage, traffic):
    assert observe(stage.live, PAIR, 0) is None
    seen = observe(stage.live, PAIR, 1.0)
    assert seen is not None
    assert seen.requests > 10
    assert (seen.failures, seen.outages) == (0, 0)
    assert seen.mean_ms is not None


@pytest.mark.server
def test_a_release_that_fails_under_traffic_goes_back_by_itself_and_says_why(stage, traffic):
    put_live(stage, 2, BEFORE)
    done = watch(stage.store, stage.live, PAIR, seconds=60, by="bob@here", evidence=SHORT)
    assert done.rolled_back
    assert not done.passed
    assert done.text.startswith("rolled back to release 1: two windows in a row: 100.0% of ")
    assert done.text.endswith("requests failed, 1.0% before the flip (limit: 1.0% more)")
    assert stage.record.active == 1
    assert stage.answer() == OLD
    back, watched = stage.record.history[-2:]
    assert (back.verb, back.by) == ("rollback", "bob@here")
    assert (watched.verb, watched.release, watched.text) == ("watch", 2, done.text)
    assert watched.figures["before"] == BEFORE.to_json()
    assert watched.figures["after"]["failures"] > 10


@pytest.mark.server
def test_a_release_without_one_before_it_stays_and_the_breach_is_told(stage, traffic):
    put_live(stage, 2)
    with stage.store.locked("test"):
        stage.store.write(PAIR, replace(stage.record, previous=None))
    done = watch(stage.store, stage.live, PAIR, seconds=60, by="bob@here", evidence=SHORT)
    assert (done.rolled_back, done.breached, done.passed) == (False, True, False)
    assert done.text.endswith("there is no release before 2 to go back to")


@pytest.mark.server
def test_a_good_release_stays_and_the_history_says_what_was_seen(stage, traffic):
    done = watch(stage.store, stage.live, PAIR, seconds=2.5, by="bob@here", evidence=SHORT)
    assert done.passed
    assert stage.record.history[-1].text == done.text
    assert "no golden set, so only the traffic judged" in done.text
    assert "the period before the flip was not observed, so latency was not compared" in done.text


@pytest.mark.server
def test_somebody_else_can_roll_back_meanwhile_and_the_watch_ends(stage):
    put_live(stage, 2)
    ends: list[Watched] = []
    arguments = {"seconds": 60, "by": "bob@here", "evidence": SHORT}
    watching = threading.Thread(target=lambda: ends.append(watch(stage.store, stage.live, PAIR, **arguments)))
    watching.start()
    with stage.store.locked("rollback"):
        rollback(stage.store, stage.live, PAIR, by="cat@here", why="pager")
    watching.join(30)
    assert "release 1 is live instead of 2 since the rollback of " in ends[0].text
    assert "by cat@here: nothing is left to watch" in ends[0].text
    assert not ends[0].passed


def test_the_period_before_is_that_of_the_last_flip_to_the_live_release():
    record = replace(two_releases(), active=2)
    assert before(record) is None
    first = record.with_event("flip", 2, "ann@here", "newer", {"before": BEFORE.to_json()})
    assert before(first) == BEFORE
    assert before(first.with_event("watch", 2, "ann@here", "fine")) == BEFORE
    assert before(first.with_event("flip", 2, "ann@here", "again")) is None
