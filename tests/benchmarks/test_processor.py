"""Processor time, as the kernel counts it."""

import os
import time

from benchmarks.processor import taken_s


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
