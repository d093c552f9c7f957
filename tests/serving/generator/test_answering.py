"""A batch of questions: each gets what it would get alone, whatever its neighbours are."""

import json

import numpy as np
import pytest

from serving.backends.generator.answering import CORRUPT, Answerer
from serving.backends.generator.settings import read

from .small_generator import SETTINGS, rows, write_version

CONFIG: dict = {"name": "small_answers"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_version(tmp_path_factory.mktemp("answers") / "1")


@pytest.fixture(scope="module")
def answerer(folder):
    return Answerer(folder, CONFIG)


def only(asked, *chosen):
    return {name: array[list(chosen)] for name, array in asked.items()}


def same(one, other):
    assert (one.answer, one.captions, one.caption_answer, one.status) == (
        other.answer,
        other.captions,
        other.caption_answer,
        other.status,
    )
    assert one.probability == pytest.approx(other.probability, rel=1e-5)


def test_every_question_of_a_batch_is_answered_as_it_is_alone(answerer):
    asked = rows(8)
    together = answerer(asked)
    for row, answer in enumerate(together):
        same(answer, answerer(only(asked, row))[0])
    assert len({answer.answer for answer in together}) > 3
    assert all(0 < answer.probability <= 1 for answer in together)
    assert all(len(answer.captions) == SETTINGS["captions"] for answer in together)
    assert any(answer.caption_answer for answer in together)


def test_a_question_asked_twice_is_answered_the_same_twice(answerer):
    first, again = answerer(only(rows(4), 2, 2))
    same(first, again)


@pytest.mark.parametrize(("missing", "status"), [("image", (1, 0)), ("question", (0, 3))])
def test_what_is_not_valid_gets_empty_texts_and_keeps_its_status(answerer, missing, status):
    asked = rows(3)
    asked[f"{missing}_valid"][1] = False
    asked["image_status"][1], asked["question_status"][1] = status
    before = answerer(rows(3))
    answers = answerer(asked)
    assert (answers[1].answer, answers[1].caption_answer, answers[1].probability) == ("", "", 0.0)
    assert answers[1].captions == ("",) * SETTINGS["captions"]
    assert answers[1].status == status
    same(answers[0], before[0])
    same(answers[2], before[2])


def test_a_batch_without_a_valid_row_runs_nothing(answerer):
    asked = rows(2)
    asked["image_valid"][:] = False
    assert [answer.answer for answer in answerer(asked)] == ["", ""]


def test_padding_and_what_stands_in_it_do_not_matter(answerer):
    asked = rows(4)
    before = answerer(asked)
    hidden = asked["attention_mask"] == 0
    assert hidden.any()
    asked["question_states"][hidden] = 77.0
    for one, other in zip(answerer(asked), before, strict=True):
        same(one, other)


@pytest.mark.parametrize(
    ("name", "value"),
    [("relevance", np.nan), ("question_states", np.inf), ("fused_tokens", np.nan), ("input_ids", 999)],
)
def test_a_row_that_breaks_is_corrupt_and_its_neighbours_do_not_notice(answerer, name, value):
    asked = rows(4)
    before = answerer(asked)
    asked[name][1] = value
    answers = answerer(asked)
    assert answers[1].status == ((CORRUPT, CORRUPT) if name != "input_ids" else answers[1].status)
    for row in (0, 2, 3):
        same(answers[row], before[row])


def test_a_question_of_nothing_but_special_tokens_is_still_answered(answerer):
    asked = rows(1)
    asked["input_ids"][0] = [2, 1, 0, 0, 0, 0]
    asked["attention_mask"][0] = [1, 1, 0, 0, 0, 0]
    assert answerer(asked)[0].status == (0, 0)


@pytest.mark.parametrize(
    "name", ["answer_decoder.onnx", "reader_encoder.onnx", "tokenizer.json", "generation.json"]
)
def test_a_folder_without_one_of_its_files_says_which(tmp_path, name):
    folder = write_version(tmp_path / "1")
    (folder / name).unlink()
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        Answerer(folder, CONFIG)


def test_a_graph_with_other_inputs_is_refused(tmp_path):
    folder = write_version(tmp_path / "1")
    (folder / "reader_encoder.onnx").write_bytes((folder / "answer_decoder.onnx").read_bytes())
    with pytest.raises(
        ValueError, match=r"reader_encoder.onnx: expected the inputs input_ids, attention_mask"
    ):
        Answerer(folder, CONFIG)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda told: told.pop("top_k"), "missing or unknown: top_k"),
        (lambda told: told.update(beams=4), "missing or unknown: beams"),
        (lambda told: told.update(captions=0), "captions: expected at least 1, got 0"),
        (lambda told: told.update(reader_length=2), "reader_length: expected room for a token"),
        (lambda told: told["reader"].pop("end"), "reader: .*end"),
        (lambda told: told["answer"].update(shortest=5), "answer: .*expected 0 <= shortest <= longest"),
    ],
)
def test_settings_that_are_not_whole_or_make_no_sense_are_refused(tmp_path, change, sentence):
    told = json.loads(json.dumps(SETTINGS))
    change(told)
    path = tmp_path / "generation.json"
    path.write_text(json.dumps(told))
    with pytest.raises(ValueError, match=sentence):
        read(path)


def test_sessions_have_the_settings_of_the_onnxruntime_backend():
    from serving.backends.generator.sessions import options_of

    config = {
        "parameters": {
            "intra_op_thread_count": {"string_value": "3"},
            "session.disable_prepacking": {"string_value": "1"},
        }
    }
    options = options_of(config)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.get_session_config_entry("session.disable_prepacking") == "1"
    for pool in ("intra", "inter"):
        assert options.get_session_config_entry(f"session.{pool}_op.allow_spinning") == "0"
    with pytest.raises(ValueError, match="intra_op_thread_count: expected a whole number"):
        options_of({"parameters": {"intra_op_thread_count": {"string_value": "many"}}})
