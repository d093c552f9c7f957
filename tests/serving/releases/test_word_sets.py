"""Sets with a tokenizer and a generation: every fault told before anything is touched, then brought whole."""

from pathlib import Path

import pytest

from serving.releases.prepare import adopt, prepare
from serving.releases.room import Room
from serving.releases.sets import read_set
from serving.releases.store import Store
from tests.serving.generator.small_generator import decoder, encoder
from tests.serving.releases.small_sets import describe
from tests.serving.releases.small_words import (
    ANSWERS,
    PIPELINE,
    TOKENIZER,
    edit_settings,
    files_of,
    put_graph,
    write_repository,
    write_set,
    write_tokenizer,
)

FILES = [
    "answer_decoder.onnx",
    "caption_decoder.onnx",
    "generation.json",
    "reader_decoder.onnx",
    "reader_encoder.onnx",
    "tokenizer.json",
]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return write_repository(tmp_path / "repository")


@pytest.fixture
def source(tmp_path: Path, repository: Path) -> Path:
    return write_set(tmp_path / "export", repository)


def only_fault_of(source: Path, repository: Path) -> str:
    with pytest.raises(ValueError) as refused:
        read_set(source, PIPELINE, repository, "cpu")
    (fault,) = str(refused.value).splitlines()
    return fault


def test_a_good_set_counts_every_file_that_a_server_loads(source, repository):
    found = read_set(source, PIPELINE, repository, "cpu")
    assert list(found) == [TOKENIZER, ANSWERS]
    assert sorted(found[ANSWERS].files) == FILES
    for one in found.values():
        assert one.engine_bytes == one.bytes == sum(one.folder.joinpath(n).stat().st_size for n in one.files)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_is_named(source, repository, name):
    (source / ANSWERS / name).unlink()
    describe(source / ANSWERS, ANSWERS, repository, weights="2")
    assert f"{ANSWERS}: expected {name}, which target cpu loads" in only_fault_of(source, repository)


def test_a_tokenizer_of_another_length_is_refused(source, repository):
    write_tokenizer(source / TOKENIZER, repository, weights="2", length=9)
    assert only_fault_of(source, repository) == (
        f"{TOKENIZER}: tokenizer.json: expected a tokenizer that cuts at the 6 tokens of "
        "input_ids, got 9; export it again"
    )


def test_a_tokenizer_that_is_none_is_refused(source, repository):
    (source / TOKENIZER / "tokenizer.json").write_text("{}")
    describe(source / TOKENIZER, TOKENIZER, repository, weights="2")
    assert "tokenizer.json: expected a tokenizer, got" in only_fault_of(source, repository)


def test_settings_that_a_server_would_refuse_are_refused(source, repository):
    edit_settings(source / ANSWERS, repository, lambda told: told.update(captions=0))
    assert "captions: expected at least 1, got 0" in only_fault_of(source, repository)


def test_settings_with_words_that_the_tokenizer_does_not_have_are_refused(source, repository):
    edit_settings(source / ANSWERS, repository, lambda told: told["caption"].update(prompt=[2, 99]))
    assert only_fault_of(source, repository) == (
        f"{ANSWERS}: generation.json: expected tokens of caption below the 13 of tokenizer.json, got 99; "
        "export both from the same weights"
    )


def test_a_decoder_that_takes_another_width_than_its_source_has_is_refused(source, repository):
    put_graph(source / ANSWERS, repository, "caption_decoder.onnx", decoder(width=5))
    assert only_fault_of(source, repository) == (
        f"{ANSWERS}: caption_decoder.onnx: input encoder_hidden_states: expected [-1, 4] after the batch, "
        "the graph has [-1, 5]; export the model for this configuration"
    )


def test_a_reader_whose_halves_do_not_fit_is_refused(source, repository):
    put_graph(source / ANSWERS, repository, "reader_encoder.onnx", encoder(width=5))
    assert only_fault_of(source, repository) == (
        f"{ANSWERS}: reader_decoder.onnx: expected states of width 5, as reader_encoder.onnx gives, it takes "
        "4; export both from the same weights"
    )


def test_a_graph_in_the_place_of_another_is_refused(source, repository):
    put_graph(source / ANSWERS, repository, "answer_decoder.onnx", encoder())
    with pytest.raises(ValueError, match=r"answer_decoder.onnx: expected the inputs input_ids, encoder_hid"):
        read_set(source, PIPELINE, repository, "cpu")


def test_a_set_is_brought_with_all_its_files_and_what_did_not_change_keeps_its_version(source, repository):
    store = Store(repository)
    record = adopt(store, PIPELINE, "cpu", by="ann@here")
    assert record.release(1).members[ANSWERS].files.keys() == set(FILES)
    assert record.release(1).members["gate"].files == {}
    done = prepare(
        store, PIPELINE, source, target="cpu", by="ann@here", why="", room=Room(1 << 40, 1 << 40, None)
    )
    new = done.newest
    assert (new.changed, new.versions) == ((ANSWERS,), {"gate": 1, TOKENIZER: 1, ANSWERS: 2})
    assert files_of(repository / ANSWERS / "2") == FILES
