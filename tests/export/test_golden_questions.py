"""The golden sets of photos and texts: held-out questions, a few of them in part, and PyTorch's answers."""

import json

import numpy as np
import pytest
import torch

from export.__main__ import main
from export.golden import GOLDEN
from export.golden_questions import ALONE, QuestionItem
from multimodal.vision_language.build import build_vision_language, save_vision_language_weights
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS
from multimodal.visual_question.build import build_visual_question, save_visual_question
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS
from training.decoding import Status
from training.easy_vqa import answer_names, load_split

pytestmark = pytest.mark.slow

PAIR, QUESTION = "vision_language", "visual_question_answering"
TINY = {name: f"{name}_tiny" for name in (PAIR, QUESTION)}
ANSWERS = 13


def write_weights(pipeline, path):
    torch.manual_seed(5)
    if pipeline == PAIR:
        model = build_vision_language(VISION_LANGUAGE_PRESETS[TINY[PAIR]])
        return save_vision_language_weights({model.fusion_name: model}, path)
    preset = VISUAL_QUESTION_PRESETS[TINY[QUESTION]]
    return save_visual_question(build_visual_question(preset), preset, path)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    out = tmp_path_factory.mktemp("golden")
    for pipeline, preset in TINY.items():
        weights = write_weights(pipeline, out / f"{pipeline}.safetensors")
        typed = ["golden", pipeline, "--preset", preset, "--weights", str(weights), "--out", str(out)]
        assert main([*typed, "--per-answer", "1"]) == 0
    return out


def content(root, pipeline):
    return json.loads((root / pipeline / "golden.json").read_text())


def expected(root, pipeline):
    (path,) = (root / pipeline).glob("expected-*.npz")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def inputs(root, pipeline, line):
    with np.load(root / pipeline / "inputs" / f"{line['id']}.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.mark.parametrize("pipeline", TINY)
def test_every_answer_is_asked_for_once_by_a_question_of_the_official_test_split(root, pipeline):
    described = content(root, pipeline)
    assert described["class_names"] == list(answer_names())
    assert described["normal"] is None
    whole = described["items"][:ANSWERS]
    assert [line["label"] for line in whole] == list(range(ANSWERS))
    assert all(line["complete"] and not line["damage"] for line in whole)
    data = load_split("test")
    pictures = {path.read_bytes() for path in data.pictures}
    for line in whole:
        sent = inputs(root, pipeline, line)
        text = sent["text" if pipeline == PAIR else "question"].tobytes().decode()
        assert text in data.questions
        assert sent["image"].tobytes() in pictures


@pytest.mark.parametrize("pipeline", TINY)
def test_what_is_broken_or_missing_is_not_judged_and_says_its_status(root, pipeline):
    items = content(root, pipeline)["items"][ANSWERS:]
    status = expected(root, pipeline)["modality_status"][ANSWERS:].tolist()
    assert not any(line["complete"] for line in items)
    ok, absent, partial, corrupt = Status.OK, Status.ABSENT, Status.PARTIAL, Status.CORRUPT
    alone = [[ok, absent]] * ALONE + [[absent, ok]] * ALONE if pipeline == PAIR else []
    assert status == [[corrupt, ok], [ok, partial], *alone]
    assert [line["damage"] for line in items[:2]] == ["image", "text" if pipeline == PAIR else "question"]


def test_answers_to_pairs_are_embeddings_of_what_there_is(root):
    answers = expected(root, PAIR)
    photo, text = answers["modality_status"].T
    usable = {"image": np.isin(photo, (0, 2)), "text": np.isin(text, (0, 2))}
    for name, there in usable.items():
        norms = np.linalg.norm(answers[f"{name}_embedding"], axis=1)
        np.testing.assert_allclose(norms, there, atol=1e-5)
    both = usable["image"] & usable["text"]
    np.testing.assert_allclose(answers["answer_probabilities"].sum(axis=1), both, atol=1e-5)
    assert not answers["fused_embedding"][~both].any()


def test_answers_to_questions_are_texts_and_a_map(root):
    answers = expected(root, QUESTION)
    preset = VISUAL_QUESTION_PRESETS[TINY[QUESTION]]
    count = ANSWERS + 2
    assert answers["captions"].shape == (count, preset.captions)
    assert answers["relevance"].shape == (count, preset.grid, preset.grid)
    assert {answers[name].dtype.kind for name in ("answer", "captions", "caption_answer")} == {"U"}
    assert answers["answer"][ANSWERS].tolist() == [""], "the photo ends half way"
    assert answers["answer_probability"][ANSWERS] == 0
    assert (answers["answer_probability"][:ANSWERS] > 0).all()
    assert (answers["relevance"] >= 0).all()


@pytest.mark.parametrize("pipeline", TINY)
def test_an_item_read_back_from_its_files_is_the_item(root, pipeline):
    for line in content(root, pipeline)["items"]:
        tensors = inputs(root, pipeline, line)
        again = GOLDEN[pipeline].item(line, tensors)
        assert isinstance(again, QuestionItem)
        assert again.describe() == {key: value for key, value in line.items() if key != "sha256"}
        for name, payload in again.inputs().items():
            assert np.array_equal(payload, tensors[name])


def test_fewer_than_one_question_of_an_answer_is_refused(tmp_path, capsys, root):
    weights = root / f"{PAIR}.safetensors"
    typed = ["golden", PAIR, "--weights", str(weights), "--out", str(tmp_path), "--per-answer", "0"]
    assert main(typed) == 1
    assert "--per-answer: expected at least 1, got 0" in capsys.readouterr().err
