"""Each peer really starts in its own environment, answers as PyTorch does, and stops."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.arrivals import Schedule
from benchmarks.peers import PEERS, environments
from benchmarks.peers.checking import differences, precision_of, reference, served_engines
from benchmarks.peers.settings import SAME_ENGINES, TORCH
from benchmarks.peers.sides import Question, Side
from benchmarks.workloads import workload

pytestmark = [pytest.mark.server, pytest.mark.slow]
WORKLOAD = workload("weld_inspection")
ASKED = 120  # BentoML would renew its connections after a hundred


@pytest.fixture(scope="module")
def question(weld_payloads):
    return Question(WORKLOAD, weld_payloads, reference(weld_payloads, WORKLOAD.outputs))


# Several workers are another path through most peers, and the one that most are measured with.
@pytest.mark.parametrize(("name", "layout"), [*((name, (2, 1)) for name in PEERS), ("ml_server", (1, 2))])
def test_a_peer_answers_as_pytorch_alone_and_under_load_and_leaves_nothing(
    name, layout, question, environments_folder, exported_welds
):
    peer = PEERS[name]
    try:
        programs = environments.made(peer, environments_folder)
    except RuntimeError as error:
        pytest.skip(str(error))
    variant = TORCH if name == "lit_serve" else SAME_ENGINES
    engines = {} if variant == TORCH else served_engines(exported_welds)
    with Side(peer, variant, engines).up(question, layout, programs, environments_folder) as (subject, pids):
        assert set(subject.away) == set(WORKLOAD.outputs)
        recorded = subject.replay(Schedule(np.zeros(ASKED), np.arange(ASKED) % 2)).recording
        assert recorded.answered.all(), set(recorded.detail.tolist())
        expected = question.reference[recorded.item]
        differences(recorded.answers, expected, question.widths, precision_of(engines))
    assert not [pid for pid in pids if Path(f"/proc/{pid}/fd").exists() and any_open(pid)]


def any_open(pid):
    """Whether a process still runs: a zombie has no open files."""
    try:
        return any(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
