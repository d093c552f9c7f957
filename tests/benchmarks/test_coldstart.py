"""Cold start: memory as the kernel tells it, figures of several starts, and a run of the verb."""

import json
import os

import pytest

from benchmarks import coldstart
from benchmarks.__main__ import main
from benchmarks.coldstart import figures, memory

ROLLUP = "00400000-7fff rollup\nRss:  {rss} kB\nPss:  {pss} kB\nPss_Anon: 7 kB\n"


def test_memory_is_the_sum_over_processes_and_skips_those_that_ended(tmp_path):
    for pid, rss, pss in ((11, 4096, 2048), (12, 1024, 512)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "smaps_rollup").write_text(ROLLUP.format(rss=rss, pss=pss))
    assert memory([11, 12, 13], tmp_path) == {"pss": 2.5, "rss": 5.0}


def test_a_real_process_has_some():
    found = memory([os.getpid()])
    assert 1 < found["pss"] <= found["rss"]


def start(ready_s):
    return {
        "ready_s": ready_s,
        "first_answer_s": ready_s + 0.5,
        "processes": 7,
        "memory_mib": {"ready": {"pss": 900.0, "rss": 1200.0}, "after_load": {"pss": 950.0, "rss": 1250.0}},
        "pss_mib_of_instances": {"gate_0": 40.0, "fusion_0": 90.0},
    }


def test_the_table_says_seconds_and_memory():
    result = figures([start(4.0), start(6.0), start(5.0)]) | {"burst": 64}
    assert result["ready_s"] == {"median": 5.0, "min": 4.0, "max": 6.0}
    lines = coldstart.table(result).splitlines()
    assert lines[0].split() == ["gate_0", "40", "MiB"]
    assert lines[2] == "ready after 5 s [4-6]" and lines[-1] == "after 64 requests at once 950 MiB [950-950]"


@pytest.mark.server
@pytest.mark.slow
def test_the_verb_starts_a_server_of_its_own(exported, bench, capsys):
    assert main(["coldstart", "--quick", "--repository", str(exported), "--out", "cold.json"]) == 0
    assert "first answer after" in capsys.readouterr().err
    (one,) = json.loads((bench / "cold.json").read_text())["result"]["starts"]
    assert 0 < one["ready_s"] < one["first_answer_s"] and one["processes"] >= 8
    assert one["memory_mib"]["after_load"]["pss"] > 100
    assert any("preprocess" in name for name in one["pss_mib_of_instances"])
