"""Processor time, as the kernel counts it."""

import json
import os
import time

from benchmarks import record
from benchmarks.processor import Machine, machine, taken_s


def test_it_is_the_sum_over_processes_and_skips_those_that_ended(tmp_path):
    ticks = os.sysconf("SC_CLK_TCK")
    for pid, user, system in ((11, 3 * ticks, ticks), (12, ticks, 0)):
        (tmp_path / str(pid)).mkdir()
        line = f"{pid} (a (name) of two words) S 1 1 1 0 -1 0 0 0 0 0 {user} {system} 0 0"
        (tmp_path / str(pid) / "stat").write_text(line)
    assert taken_s([11, 12, 13], tmp_path) == 5.0


def test_work_of_this_process_counts():
    before = taken_s([os.getpid()])
    own = time.process_time()
    while time.process_time() < own + 0.2:
        pass
    assert taken_s([os.getpid()]) - before >= 0.15


def test_what_the_host_took_is_a_share_of_what_was_wanted(tmp_path):
    ticks = os.sysconf("SC_CLK_TCK")
    one, zero = [str(count * ticks) for count in (2, 1, 3, 900, 50, 1, 1, 4)], ["0"] * 2
    (tmp_path / "stat").write_text(f"cpu  {' '.join([*one, *zero])}\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    before = machine(tmp_path)
    assert before == Machine(worked_s=8.0, stolen_s=4.0)
    assert before.stolen_share(Machine(14.0, 6.0)) == 0.25
    assert before.stolen_share(before) == 0.0


def test_a_result_says_what_was_taken_while_it_was_made(tmp_path, monkeypatch):
    moments = iter([Machine(10.0, 1.0), Machine(13.0, 2.0)])
    monkeypatch.setattr(record.processor, "machine", lambda: next(moments))
    facts = record.circumstances(7)
    path = record.write(tmp_path / "result.json", facts | {"result": {}})
    assert json.loads(path.read_text())["stolen_share"] == 0.25
