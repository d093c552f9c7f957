"""How many users when, what they send, and the command line of locust: values that can be checked by eye."""

import itertools
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.load import samples
from benchmarks.load.locust_run import LOCUSTFILE, Session, command, figures, percentile
from benchmarks.load.shapes import SHAPES, Plan, users_at

PLAN = Plan(users=20, run_s=100.0)


@pytest.mark.parametrize(
    ("shape", "users"),
    [
        ("ramp", {0: 1, 25: 5, 50: 10, 99: 20}),
        ("spike", {0: 5, 39: 5, 40: 20, 59: 20, 60: 5, 99: 5}),
        ("steps", {0: 4, 19: 4, 20: 8, 40: 12, 60: 16, 80: 20, 99: 20}),
    ],
)
def test_a_shape_has_so_many_users_at_a_second(shape, users):
    assert {second: users_at(shape, PLAN, second) for second in users} == users


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_ends_and_always_has_a_user_until_then(shape):
    assert users_at(shape, PLAN, 100.0) is None
    assert all(1 <= users_at(shape, Plan(1, 10.0), second) <= 1 for second in range(10))


def test_a_plan_of_nobody_is_refused():
    with pytest.raises(ValueError, match="expected users and a run time above zero, got 0 and 60"):
        Plan(0, 60.0)


def test_equal_seeds_draw_equal_requests_in_the_declared_mix(monkeypatch, tmp_path):
    recordings = [dict.fromkeys(("image", "text"), number) for number in range(3)]
    monkeypatch.setattr(samples, "of_pipeline", lambda pipeline, welds: recordings)
    first, again, other = (
        list(itertools.islice(samples.draw("vision_language", mixes, tmp_path, seed), 400))
        for mixes, seed in ((MIX, "7-0-0"), (MIX, "7-0-0"), (MIX, "7-0-1"))
    )
    assert first == again != other
    assert all(set(one.payloads) == set(one.mix) for one in first)
    counts = Counter(one.mix for one in first)
    assert counts[("image", "text")] == pytest.approx(200, abs=40)  # 2 of 4, four standard deviations


MIX = samples.MIXES["vision_language"]


@pytest.mark.parametrize("pipeline", samples.MIXES)
def test_a_complete_load_sends_every_modality(pipeline):
    (mix,) = samples.complete_only(pipeline)
    assert set(mix) == set().union(*samples.MIXES[pipeline])


def test_welds_that_are_not_there_are_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a folder of weld runs, got"):
        samples.of_pipeline("weld_inspection", tmp_path)


def test_the_command_says_everything_that_was_asked():
    session = Session(
        "host:1", ("weld_inspection",), Path("/runs"), users=3, run_s=9, headless=True, workers=2
    )
    assert command(session, Path("/out")) == [
        sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--host", "host:1",
        "--users", "3", "--spawn-rate", "3", "--think-s", "1.0", "--welds", "/runs", "--seed", "7",
        "--statistics", "/out", "--processes", "2", "--master-bind-host", "127.0.0.1",
        "--headless", "--only-summary", "--loglevel", "WARNING", "--exit-code-on-error", "0",
        "--run-time", "9s", "--shape", "plain", "Welds",
    ]  # fmt: skip


def test_the_page_listens_on_this_machine_only():
    words = command(Session("host:1", ("video_quality",), Path("/runs"), web_port=81), Path("/out"))
    assert words[-6:] == ["--web-host", "127.0.0.1", "--web-port", "81", "--class-picker", "Clips"]


def test_statistics_of_two_rows_add_up():
    one = {
        "method": "weld_inspection", "name": "image", "num_requests": 3, "num_failures": 1,
        "response_times": {"10": 2, "20": 1}, "total_response_time": 40.0, "total_content_length": 300,
        "start_time": 100.0, "last_request_timestamp": 104.0,
    }  # fmt: skip
    other = one | {"name": "audio", "response_times": {"40": 3}, "total_response_time": 120.0}
    result = figures([one, other])
    assert [row["sent"] for row in result["rows"]] == ["audio", "image"]
    assert result["all"] == {
        "requests": 6, "failures": 2, "rate_hz": 1.5, "mean_ms": pytest.approx(26.667),
        "latency_ms": {"p50": 20.0, "p95": 40.0, "p99": 40.0}, "mean_bytes": 100,
    }  # fmt: skip


def test_a_percentile_is_a_value_that_came():
    counts = {1.0: 98, 7.0: 1, 9.0: 1}
    assert [percentile(counts, share) for share in (50, 98, 99, 100)] == [1.0, 1.0, 7.0, 9.0]
