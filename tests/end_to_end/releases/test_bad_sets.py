"""Every bad set is stopped before it goes live, by a sentence that says what is wrong, and nobody notices."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.releases.live import CANARY, Live
from serving.releases.sequence import NotPassed, Releases
from tests.end_to_end.releases import sets
from tests.end_to_end.releases.lab import OLD, version_folders
from tests.end_to_end.releases.sets import AUDIO, FUSION, PIPELINE, SENSOR
from tests.end_to_end.releases.traffic import Traffic

pytestmark = pytest.mark.server
Maker = Callable[[Path, Path], Path]

# How the set is made, and the words that tell an engineer what is wrong with it.
PREPARE: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "NaN weights": (sets.nan_weights, (AUDIO, "1 NaN", "expected finite weights")),
    "truncated engine": (sets.truncated_engine, (AUDIO, "expected an ONNX graph")),
    "wrong output shape": (sets.wrong_output_shape, (FUSION, "output probabilities", "[12]", "[11]")),
    "declared label order": (sets.declared_label_order, (FUSION, "the order", "0 Good", "got 0 Burnthrough")),
    "mixed weights": (sets.mixed_weights, (f"{AUDIO} from", "expected engines made from the same weights")),
    "missing file": (sets.missing_file, (FUSION, "model.onnx", "found no file")),
    "edited hash": (sets.edited_hash, (AUDIO, "model.onnx", "expected sha256 0000")),
    "edited file": (sets.edited_file, (SENSOR, "model.onnx", "expected sha256")),
}
CHECK: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "wrong label order": (sets.wrong_label_order, ("accuracy: expected", "class order", "after renaming")),
    "a head that lost accuracy": (sets.worse_head, ("accuracy: expected",)),
    "an engine that is not its weights": (
        sets.drifted_engine,
        ("numbers: expected", "PyTorch with the same"),
    ),
    "an encoder from another release": (sets.foreign_encoder, ("accuracy: expected",)),
}


@pytest.fixture(scope="module")
def releases(served, repository, golden) -> Releases:
    return Releases(PIPELINE, repository, served.grpc, golden=golden)


@pytest.fixture(scope="module")
def traffic(served, known) -> Iterator[Traffic]:
    """One client throughout: what it sees is compared after every set."""
    with Traffic(served.grpc, known) as running:
        yield running


@pytest.fixture(autouse=True)
def nobody_noticed(traffic) -> Iterator[None]:
    traffic.some_more()
    yield
    traffic.some_more()
    assert traffic.errors == []
    assert set(traffic.answers) == {OLD}


@pytest.mark.parametrize(("make", "words"), PREPARE.values(), ids=PREPARE)
def test_a_set_that_cannot_be_right_is_refused_before_anything_is_touched(
    make, words, releases, repository, tmp_path
):
    before = version_folders(repository)
    with pytest.raises(ValueError) as refused:
        releases.prepare(make(repository, tmp_path / "set"))
    assert all(word in str(refused.value) for word in words), refused.value
    assert version_folders(repository) == before
    assert not (repository / ".releases" / "staging").exists()


@pytest.mark.parametrize(("make", "words"), CHECK.values(), ids=CHECK)
def test_a_set_that_answers_wrongly_is_rejected_beside_the_live_one(
    make, words, releases, repository, tmp_path
):
    with pytest.raises(NotPassed, match=rf"rejected, see .*check\.html\n{words[0]}"):
        releases.run(make(repository, tmp_path / "set"), baseline_s=0, seconds=1)
    record = releases.store.read(PIPELINE)
    told = "\n".join(record.newest.check.faults)
    assert all(word in told for word in words), told
    assert (record.active, record.newest.state) == (1, "rejected")
    assert (repository / record.newest.check.report).is_file()
    with pytest.raises(RuntimeError, match="its check failed"):
        releases.flip(record.newest.number)
    with Live(releases.url, repository) as live:
        assert live.pinned(PIPELINE + CANARY) is None


def test_a_good_set_passes_the_same_check(releases, candidate):
    """But for latency, which a busy machine may miss for it."""
    release = releases.check(releases.prepare(candidate).number)
    assert [fault for fault in release.check.faults if not fault.startswith("latency")] == []
