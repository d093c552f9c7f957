"""The stage breakdown: arithmetic by hand, and a run against a real server for its logic."""

import json

import pytest

from benchmarks.__main__ import main
from benchmarks.stages import PHASES, stage, table


def reading(count, **milliseconds):
    return {phase: int(milliseconds.get(phase, 0) * 1e6) for phase in PHASES} | {"count": count}


def test_a_stage_is_the_difference_of_two_readings_per_request():
    one = stage("encoder", reading(10, queue=5, compute_infer=100), reading(14, queue=7, compute_infer=180))
    assert one.ms["queue"] == pytest.approx(0.5)
    assert one.ms["compute_infer"] == pytest.approx(20.0)
    assert one.total_ms == pytest.approx(20.5)


def test_a_model_that_was_not_asked_is_an_error():
    with pytest.raises(ValueError, match="encoder: expected requests between the two readings, got none"):
        stage("encoder", reading(3), reading(3))


def test_the_table_has_a_row_per_model_and_the_latency():
    ms = dict.fromkeys(PHASES, 1.0) | {"total": 4.0}
    result = {"stages": {"gate": ms, "fusion": ms}, "engines_ms": 1.0, "latency_ms": {"p50": 9.0}}
    lines = table(result).splitlines()
    assert len(lines) == 4
    assert lines[-1] == "engines 1.0 ms; client latency p50 9.0 ms"


@pytest.mark.server
def test_the_command_measures_a_server_of_its_own(exported, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["stages", "--requests", "3", "--out", str(tmp_path / "stages.json")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "stages.json")
    written = json.loads((tmp_path / "stages.json").read_text())
    assert set(written["result"]["stages"]) >= {"weld_gate", "weld_small_preprocess", "weld_small_fusion"}
    assert written["result"]["engines_ms"] > 0


def test_a_server_that_is_down_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "welds").mkdir()
    assert main(["stages", "--welds", str(tmp_path / "welds"), "--url", "127.0.0.1:1"]) == 1
    assert "benchmarks stages:" in capsys.readouterr().err
