"""The backend's loops and those beside the PyTorch models: on the same graphs both say the same."""

import dataclasses

import numpy as np
import onnxruntime as ort
import pytest

from multimodal.visual_question import generation as beside_pytorch
from serving.backends.generator import generation, patches
from serving.backends.generator.answering import Answerer, tokenizer
from serving.backends.generator.reading import contexts, padded
from serving.backends.generator.settings import from_json

from .small_generator import SETTINGS, rows, write_version

OURS = from_json(SETTINGS)
THEIRS = beside_pytorch.GenerationSettings.from_dict(SETTINGS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_version(tmp_path_factory.mktemp("agree") / "1")


def running(path):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(*arrays):
        names = [node.name for node in session.get_inputs()]
        return session.run(None, dict(zip(names, arrays, strict=True)))[0][:, -1]

    return run


def test_settings_have_the_same_fields():
    assert dataclasses.asdict(OURS) == dataclasses.asdict(THEIRS)


@pytest.mark.parametrize("decoder", ["answer", "caption", "reader"])
def test_the_likeliest_tokens_and_their_probability_are_the_same(folder, decoder):
    run, asked = running(folder / f"{decoder}_decoder.onnx"), rows(8, seed=2)
    states, mask = asked["question_states"], asked["attention_mask"]
    how = getattr(OURS, decoder)
    ours = generation.greedy(lambda ids, live: run(ids, states[live], mask[live]), 8, how)
    tokens, probability = beside_pytorch.greedy(
        lambda ids: run(ids, states, mask), 8, getattr(THEIRS, decoder)
    )
    assert [one.tokens for one in ours] == [tuple(row[row != how.pad]) for row in tokens]
    assert len({one.tokens for one in ours}) > 2
    np.testing.assert_allclose([one.probability for one in ours], probability, rtol=1e-5)


def test_drawn_tokens_are_the_same(folder):
    run, asked = running(folder / "caption_decoder.onnx"), rows(16, seed=4)
    states, mask = asked["question_states"], asked["attention_mask"]
    uniforms = np.random.default_rng(1).random((16, OURS.caption.longest + 1))
    ours = generation.sample(
        lambda ids, live: run(ids, states[live], mask[live]), uniforms, OURS.top_k, OURS.caption
    )
    tokens = beside_pytorch.sample_top_k(
        lambda ids: run(ids, states, mask), uniforms, THEIRS.caption, THEIRS.top_k
    )
    assert [one.tokens for one in ours] == [tuple(row[row != OURS.caption.pad]) for row in tokens]
    assert len({one.tokens for one in ours}) > 8


def test_random_numbers_and_drawn_patches_are_the_same():
    ids = np.array([2, 7, 9, 1, 0])
    ours, theirs = patches.stream(5, ids, 0), np.random.default_rng(beside_pytorch.seed_of(ids, 5, 0))
    relevance = np.random.default_rng(0).random(9)
    for _ in range(20):
        drawn = patches.draw(relevance, 4, ours.random(9))
        assert (1 + drawn).tolist() == beside_pytorch.draw_patches(relevance, 4, theirs.random(9)).tolist()


def test_what_the_reader_is_given_is_the_same():
    captions = ["a red circle", "it is Blue", ""]
    for question in ("Is it red?", "what"):
        assert contexts(question, captions, 2) == beside_pytorch.reader_contexts(question, captions, 2)
    ids = [[1, 2, 3, 4, 5], [1, 9]]
    for ours, theirs in zip(padded(ids, 0, 4), beside_pytorch.padded(ids, 0, 4), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_captions_of_a_batch_are_the_same(folder):
    asked = rows(6, seed=8)
    fused, relevance = asked["fused_tokens"], asked["relevance"].reshape(6, -1)
    run, words = running(folder / "caption_decoder.onnx"), tokenizer(folder / "tokenizer.json")

    def step_of(chosen, places):
        states = np.take_along_axis(fused[chosen], places[:, :, None], axis=1)
        seen = np.ones(states.shape[:2], np.int64)
        return lambda ids: run(ids, states, seen)

    def text_of(tokens):
        return words.decode(tokens, skip_special_tokens=True).strip()

    theirs = beside_pytorch.sample_captions(step_of, relevance, asked["input_ids"], THEIRS, text_of)
    ours = Answerer(folder, {"name": "small"})(asked)
    assert [list(one.captions) for one in ours] == theirs
    assert len({caption for captions in theirs for caption in captions}) > 5
