"""The load curve: rows of several runs, what overload leaves, the picture, and a run of the verb."""

import numpy as np
import pytest

from benchmarks import curve, curve_picture
from benchmarks.curve import overload, row
from benchmarks.verified import judged
from tests.benchmarks.test_goodput import EXPECTED, STRICT
from tests.benchmarks.test_open_loop import record


def figures(requests=100, late=0, rejected=0, told_s=0.01):
    answers = np.ones((requests, 1))
    answers[:rejected] = np.nan
    latency_s = np.full(requests, 0.05)
    latency_s[:rejected] = told_s
    latency_s[rejected : rejected + late] = 0.4
    recorded = record(answers, latency_s=latency_s, code="UNAVAILABLE")
    return judged(recorded, EXPECTED, STRICT).figures(10.0)


def rows(last):
    return [row(0.5, [figures(50)]), row(1.1, [figures(100), figures(90)]), row(1.5, [last])]


def test_a_point_is_the_median_of_its_runs():
    found = row(0.8, [figures(100), figures(80, late=8), figures(90)])
    assert found["offered_hz"] == {"median": 9.0, "min": 8.0, "max": 10.0}
    assert found["slo_attained"]["min"] == 0.9 and found["latency_ms"]["p50"]["median"] == 50.0
    assert found["rejected"] == 0 and found["slowest_rejection_ms"] is None


def test_overload_that_keeps_goodput_and_tells_at_once_is_well():
    found = overload(rows(figures(150, rejected=57)))
    assert found["goodput_kept"] == pytest.approx(93 / 95, abs=1e-3)
    assert found["slowest_rejection_ms"] == 10.0 and found["reached"]


@pytest.mark.parametrize("last", [figures(150, late=80), figures(150, rejected=50, told_s=0.06)])
def test_goodput_that_collapses_and_rejections_that_come_late_are_not(last):
    assert not overload(rows(last))["reached"]


def result():
    points = rows(figures(150, rejected=57))
    return {"goodput_rate_hz": 10.0, "slo_ms": 100.0, "points": points, "overload": overload(points)}


def test_the_table_has_a_row_per_share():
    lines = curve.table(result()).splitlines()
    assert lines[0].split()[:3] == ["share", "offered", "p50"]
    assert lines[3].split() == ["150%", "15.00", "50.0", "50.0", "50.0", "50.0", "62.0%", "9.30", "57"]
    assert lines[-1] == "at 150%: 98% of the peak goodput; the slowest rejection took 10 ms"


def test_the_picture_is_drawn_also_of_a_point_without_answers(tmp_path):
    dead = result()
    dead["points"][2] = row(1.5, [figures(150, rejected=150)])
    for number, one in enumerate((result(), dead)):
        path = curve_picture.draw(one, "weld_inspection", tmp_path / "new" / f"{number}.png")
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 20_000


@pytest.mark.server
@pytest.mark.slow
def test_the_verb_offers_five_rates_to_a_real_server(measured, bench, capsys):
    found = measured("curve", "--rate", "8")
    assert capsys.readouterr().out.strip() == "curve.json"
    assert [point["share"] for point in found["points"]] == list(curve.SHARES)
    assert all(point["wrong"] == 0 for point in found["points"])
    assert (bench / "curve.png").is_file()
