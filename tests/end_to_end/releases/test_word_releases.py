"""A pipeline of words is released the same way: a retrained set goes live and back, a wrong decoder not."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

import serving
from export import manifest
from export.__main__ import main
from serving.releases.sequence import Releases
from tests.end_to_end import questions
from tests.end_to_end.questions import PRESETS, QUESTION, Answer
from tests.serving.releases.small_sets import describe

pytestmark = [pytest.mark.server, pytest.mark.slow]

PRESET = PRESETS[QUESTION]
ANSWERS, TOKENIZER = f"{PRESET}_answers", f"{PRESET}_tokenizer"
CHANGED = ("answers", "relevance", "question_encoder", "matching_encoder", "caption_encoder", "fusion")
PER_ANSWER = 1


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> tuple[Path, Path]:
    """Of two trainings: live and new."""
    folder = tmp_path_factory.mktemp("weights")
    live, new = (questions.untrained(QUESTION, folder / f"{seed}.safetensors", seed) for seed in (3, 4))
    return live, new


@pytest.fixture(scope="module")
def repository(tmp_path_factory, weights) -> Path:
    return questions.write_repository(tmp_path_factory.mktemp("repository") / "models", QUESTION, weights[0])


@pytest.fixture(scope="module")
def retrained(tmp_path_factory, repository, weights) -> Path:
    """Everything from the new weights, the tokenizer too."""
    folder = tmp_path_factory.mktemp("retrained") / "set"
    typed = [PRESET, "--weights", str(weights[1]), "--repository", str(repository), "--out", str(folder)]
    assert main(typed) == 0
    return folder


@pytest.fixture(scope="module")
def golden(tmp_path_factory, weights) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    for path in weights:
        typed = ["--weights", str(path), "--out", str(folder), "--per-answer", str(PER_ANSWER)]
        assert main(["golden", QUESTION, *typed]) == 0
    return folder


@pytest.fixture(scope="module")
def served(repository) -> Iterator[serving.Address]:
    with serving.running([QUESTION], repository) as address:
        yield address


@pytest.fixture(scope="module")
def releases(served, repository, golden) -> Releases:
    return Releases(QUESTION, repository, served.grpc, metrics_url=served.metrics, golden=golden)


def first_answer(served) -> Answer:
    with InferenceServerClient(served.grpc) as client:
        return questions.asking(client, QUESTION)(questions.items(QUESTION)[0])


def but_latency(release) -> list[str]:
    """Faults of a check without those that a busy machine may cause."""
    return [fault for fault in release.check.faults if not fault.startswith("latency")]


def test_a_retrained_generation_goes_live_and_back_and_its_tokenizer_stays(releases, served, retrained):
    before = first_answer(served)
    release = releases.check(releases.prepare(retrained, why="retrained").number)
    assert set(release.changed) == {f"{PRESET}_{part}" for part in CHANGED}
    assert (release.versions[TOKENIZER], release.versions[ANSWERS]) == (1, 2)
    assert but_latency(release) == []
    releases.flip(release.number, force="a busy machine may fail its check on latency", baseline_s=1)
    after = first_answer(served)
    assert not np.allclose(after["relevance"], before["relevance"], rtol=1e-3)
    releases.rollback("seen enough")
    again = first_answer(served)
    for name in ("answer", "captions", "caption_answer"):
        assert np.array_equal(again[name], before[name]), name
    np.testing.assert_allclose(again["relevance"], before["relevance"], rtol=1e-4)


def test_a_decoder_of_other_weights_is_rejected_by_what_it_says(releases, repository, retrained, tmp_path):
    folder = tmp_path / "set" / ANSWERS
    shutil.copytree(repository / ANSWERS / "1", folder)
    shutil.copy(retrained / ANSWERS / "answer_decoder.onnx", folder)
    (folder / manifest.FILE).unlink()
    live = manifest.read(repository / ANSWERS / "1")["weights_sha256"]
    describe(folder, ANSWERS, repository, live)
    release = releases.check(releases.prepare(tmp_path / "set").number)
    assert release.state == "rejected"
    assert release.changed == (ANSWERS,)
    assert any(fault.startswith(("words: expected answer", "numbers: ")) for fault in but_latency(release))
