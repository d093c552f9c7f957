"""The tokenizer backend in this process: what it makes of texts, and of files that are no tokenizer."""

import re

import numpy as np
import pytest
from google.protobuf import json_format, text_format
from tokenizers import Tokenizer
from tritonclient.grpc.model_config_pb2 import ModelConfig

from model_repository import vision_language_models, visual_question_models
from model_repository.configuration import Model, render
from multimodal.vision_language import tokenizer as vision_language_tokenizer
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS
from multimodal.visual_question import tokenizer as visual_question_tokenizer
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS
from serving.backends.dali import contract as dali_contract
from serving.backends.tokenizer.texts import Contract, Reader, Status, load
from tests.serving.photo_and_text.words import END, START, TEXTS, UNKNOWN, encoded, row, tokenizer, write
from training import decoding
from training.photo_text_decoding import TextReader

LENGTH = 8
PRESENT = [False, True]
ABSENT = [False, False]


def vision_language() -> Tokenizer:
    preset = VISION_LANGUAGE_PRESETS["vision_language_small"]
    return Tokenizer.from_str(vision_language_tokenizer.tokenizer_json(preset))


def visual_question() -> Tokenizer:
    preset = VISUAL_QUESTION_PRESETS["visual_question_answering_small"]
    return Tokenizer.from_str(visual_question_tokenizer.tokenizer_json(preset))


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Reader:
    path = write(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json", LENGTH)
    return Reader(Contract("text", 1, LENGTH), load(path, LENGTH))


def read(reader: Reader, *texts: str | bytes) -> list[dict[str, np.ndarray]]:
    present = [PRESENT if text else ABSENT for text in texts]
    return reader([encoded(text) for text in texts], np.array(present))


@pytest.mark.parametrize(
    ("text", "ids", "status"),
    [
        ("What color is the circle?", row("what", "color", "is", "the", "circle", "?"), Status.OK),
        ("Cafés", row("cafe", "##s"), Status.OK),
        ("مر", row("م", "##ر"), Status.OK),
        ("red \N{GRINNING FACE}", row("red", UNKNOWN), Status.OK),
        ("red " * 6, row(*["red"] * 6), Status.OK),
        ("red " * 7, row(*["red"] * 6), Status.PARTIAL),
        ("the the the the the cafés", row(*["the"] * 5, "cafe"), Status.PARTIAL),
        ("[SEP] red", row("[", UNKNOWN, "]", "red"), Status.OK),
        ("\u0301", [0] * 8, Status.CORRUPT),
        (b"red \xff", [0] * 8, Status.CORRUPT),
        ("", [0] * 8, Status.ABSENT),
    ],
)
def test_a_text_becomes_a_row_that_can_be_read_by_eye(reader, text, ids, status):
    (answer,) = read(reader, text)
    assert answer["input_ids"].tolist() == ids
    assert answer["attention_mask"].tolist() == [int(number > 0) for number in ids]
    assert answer["text_valid"].tolist() == [status in (Status.OK, Status.PARTIAL)]
    assert answer["text_status"].tolist() == [status]
    assert [answer[name].dtype for name in answer] == [np.int64, np.int64, np.bool_, np.int32]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_reference_reads_every_text_alike(reader, text):
    (answer,) = read(reader, text)
    data = encoded(text).tobytes()
    reference = TextReader(tokenizer(), LENGTH)(data)
    assert answer["input_ids"].tolist() == reference.input_ids.tolist()
    assert answer["attention_mask"].tolist() == reference.attention_mask.tolist()
    assert answer["text_status"][0] == reference.status
    assert answer["text_valid"][0] == reference.status.usable


@pytest.mark.parametrize(("served", "length"), [(vision_language, 32), (visual_question, 24)])
def test_the_reference_reads_every_text_alike_with_the_tokenizers_that_are_served(tmp_path, served, length):
    """BERT's pieces as MiniLM's package has them, and the words that question answering learns."""
    given = served()
    given.enable_truncation(length)
    given.enable_padding(length=length)
    path = tmp_path / "tokenizer.json"
    path.write_text(given.to_str())
    backend = Reader(Contract("text", 1, length), load(path, length))
    reference = TextReader(given, length)
    for text, answer in zip(TEXTS.values(), read(backend, *TEXTS.values()), strict=True):
        expected = reference(encoded(text).tobytes())
        assert answer["input_ids"].tolist() == expected.input_ids.tolist(), text
        assert answer["text_status"][0] == expected.status, text


@pytest.mark.parametrize("text", [text for text in TEXTS.values() if len(text) > 30])
def test_a_text_that_is_cut_keeps_the_marks_at_both_ends(reader, text):
    (answer,) = read(reader, text)
    kept = answer["input_ids"][answer["attention_mask"] == 1]
    assert (kept[0], kept[-1]) == (START, END)


def test_every_text_of_a_batch_is_read_as_if_it_were_alone(reader):
    together = read(reader, *TEXTS.values())
    for text, answer in zip(TEXTS.values(), together, strict=True):
        (alone,) = read(reader, text)
        assert all(np.array_equal(answer[name], alone[name]) for name in alone), text


def test_bytes_that_the_gate_calls_absent_are_not_read(reader):
    (answer,) = reader([encoded("red")], np.array([ABSENT]))
    assert answer["text_status"].tolist() == [Status.ABSENT]


class Failing:
    """A tokenizer that breaks at one word, as a whole and alone."""

    def encode_batch(self, texts):
        if any("red" in text for text in texts):
            raise RuntimeError("broken")
        return tokenizer().encode_batch(texts)


def test_a_text_that_breaks_the_tokenizer_costs_its_neighbours_nothing():
    present = np.array([PRESENT] * 3)
    answers = Reader(Contract("text", 1, 3), Failing())([encoded(t) for t in ("the", "red", "a")], present)
    assert [int(answer["text_status"][0]) for answer in answers] == [Status.OK, Status.CORRUPT, Status.OK]


def test_the_statuses_are_those_of_every_other_step():
    assert [*Status] == [*dali_contract.Status] == [*decoding.Status]
    assert [one.name for one in Status] == [one.name for one in dali_contract.Status]


def config_of(model: Model) -> dict:
    parsed = text_format.Parse(render(model, "cpu"), ModelConfig())
    return json_format.MessageToDict(parsed, preserving_proto_field_name=True)


@pytest.mark.parametrize("models", [vision_language_models, visual_question_models])
def test_the_contract_is_read_from_the_committed_configuration(models):
    text = models.REQUESTS.text
    found = Contract.from_config(config_of(models.REQUESTS.tokenizer("some", 24)))
    assert found == Contract(text, 1, 24)


def described(**changes) -> dict:
    return config_of(vision_language_models.REQUESTS.tokenizer("some", 24)) | changes


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"input": [{"name": "present"}]},
            "some_tokenizer: expected one text beside present, got none; correct the config",
        ),
        (
            {"parameters": {"present": {"string_value": "image,question"}}},
            "some_tokenizer: present: expected text among the names of its columns, got image,question; "
            "correct the config",
        ),
        (
            {"output": [{"name": "input_ids", "dims": ["24"]}]},
            "some_tokenizer: expected the outputs input_ids, attention_mask, text_valid, text_status and one "
            "length of the first two, got {'input_ids': [24]}; correct the config",
        ),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(changes, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Contract.from_config(described(**changes))


def test_a_file_that_is_not_there_is_named_with_the_command_that_writes_it(tmp_path):
    with pytest.raises(ValueError, match=r"tokenizer\.json is missing; write it with `python -m export`$"):
        load(tmp_path / "tokenizer.json", 8)


def test_a_file_that_is_no_tokenizer_is_named(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer\.json: expected a tokenizer, got: .*; export it again$"):
        load(path, 8)


@pytest.mark.parametrize(
    ("length", "padding", "sentence"),
    [
        (9, 8, "expected a tokenizer that cuts at the 8 tokens of input_ids, got 9; export it again"),
        (8, 9, "expected a tokenizer that pads to the 8 tokens of input_ids, got 9; export it again"),
    ],
)
def test_a_tokenizer_of_another_length_is_refused(tmp_path, length, padding, sentence):
    path = write(tmp_path / "tokenizer.json", length, padding)
    with pytest.raises(ValueError, match=f"{re.escape(sentence)}$"):
        load(path, 8)


def test_a_tokenizer_without_lengths_is_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer().to_str())
    with pytest.raises(ValueError, match="cuts at the 8 tokens of input_ids, got no such length"):
        load(path, 8)
