"""How many requests are enough: closed forms, MLPerf's own numbers, and the binomial tail by definition."""

import math

import pytest

from benchmarks.early_stopping import least_requests, most_missed, tail


@pytest.mark.parametrize(("missed", "requests"), [(0, 459), (1, 662), (5, 1307)])
def test_99_percent_in_time_with_99_percent_confidence_takes_what_mlperf_says(missed, requests):
    assert least_requests(missed) == requests


def test_without_a_miss_it_is_the_power_of_the_share():
    """share^n <= 1 - confidence: n = log(1 - confidence) / log(share)."""
    for share, confidence in [(0.99, 0.99), (0.9, 0.95), (0.8, 0.5)]:
        assert least_requests(0, share, confidence) == math.ceil(math.log(1 - confidence) / math.log(share))


def test_with_one_miss_the_tail_has_two_terms():
    by_hand = 0.9**20 + 20 * 0.1 * 0.9**19
    assert tail(1, 20, 0.9) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("missed", [0, 2, 7])
def test_one_request_fewer_is_too_few(missed):
    enough = least_requests(missed)
    assert tail(missed, enough) <= 0.01 < tail(missed, enough - 1)


def test_how_many_may_miss_is_the_inverse():
    assert [most_missed(count) for count in (458, 459, 661, 662, 1306, 1307)] == [-1, 0, 0, 1, 4, 5]


def test_when_all_may_miss_nothing_is_shown():
    assert tail(3, 3) == 1.0
