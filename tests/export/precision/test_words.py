"""Answers of the exported generator, which judges the engines before it: those of PyTorch."""

import numpy as np
import pytest
import torch

from export import artefacts
from export.engines import RANDOM_SEED
from export.jobs import Job
from export.precision.tasks import CALIBRATION, task_of
from export.precision.words import ROWS, Answerer
from multimodal.visual_question.build import build_visual_question, settings_of
from multimodal.visual_question.generation import greedy
from multimodal.visual_question.plug_and_play import _texts
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS
from multimodal.visual_question.tokenizer import load_tokenizer

pytestmark = pytest.mark.slow

TINY = VISUAL_QUESTION_PRESETS["visual_question_answering_tiny"]


def generator(repository, folder):
    """The answers model of the tiny preset with random weights, in `folder`/MODEL."""
    model = f"{TINY.name}_answers"
    artefacts.export_model(Job(TINY.name, model, None, repository, folder / model))
    return folder / model


def states(rows, seed=0):
    rng = np.random.default_rng(seed)
    drawn = rng.normal(0, 1, (rows, TINY.question_length, TINY.state_width)).astype(np.float32)
    mask = (np.arange(TINY.question_length)[None] < rng.integers(2, 9, (rows, 1))).astype(np.int64)
    return drawn, mask


def test_words_are_those_of_pytorch_in_any_number_of_questions(repository, tmp_path):
    said = Answerer(generator(repository, tmp_path)).answers(*states(ROWS + 3))
    torch.manual_seed(RANDOM_SEED)
    model = build_visual_question(TINY, None).eval()
    tokenizer = load_tokenizer(TINY, None)
    decoding = settings_of(TINY, model, tokenizer).answer
    seen, mask = map(torch.from_numpy, states(ROWS + 3))
    with torch.no_grad():
        tokens, _ = greedy(model._step(model.qa.text_decoder, seen, mask), len(seen), decoding)
    assert said == _texts(tokens, decoding.pad, tokenizer)
    assert len(set(said)) > 1


def test_a_generator_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"answer_decoder.onnx: expected the generator's file"):
        Answerer(tmp_path)


def test_questions_are_judged_by_the_words_that_the_generator_writes(repository, tmp_path):
    folder = generator(repository, tmp_path).parent
    task = task_of(TINY.name, tmp_path, items=20, engines=folder)
    drawn, mask = states(20)
    answers = {"question_states": drawn, "attention_mask": mask}
    assert len(task.calibration["input_ids"]) == CALIBRATION
    assert 0 <= task.figures(answers)["accuracy"] <= 1
    with pytest.raises(ValueError, match="expected the folder of its engines, got none"):
        task_of(TINY.name, tmp_path, items=20).figures(answers)
