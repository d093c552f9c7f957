"""A whole training of question answering in small, and what its evaluation counts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from multimodal.visual_question.build import build_visual_question
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS
from multimodal.visual_question.tokenizer import build_tokenizer
from training.easy_vqa import load_split
from training.easy_vqa_captions import describe_all
from training.visual_question_evaluate import Judge, Peaks, caption_shares
from training.visual_question_pictures import Scene
from training.visual_question_training import evaluate, recipe_of, train
from training.workplace import Workplace

NAME = "visual_question_answering_tiny"
TINY = VISUAL_QUESTION_PRESETS[NAME]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("training")
    place = Workplace(root / "work", root / "weights")
    assert train(NAME, place) == root / "weights" / f"{NAME}.safetensors"
    return place


@pytest.mark.slow
def test_a_training_leaves_weights_a_card_and_a_picture(place):
    names = {path.name for path in place.weights.iterdir()}
    assert names == {f"{NAME}{suffix}" for suffix in (".safetensors", ".md", ".json", "_answers.png")}
    assert "easy-VQA" in (place.weights / f"{NAME}.md").read_text()


@pytest.mark.slow
def test_finished_stages_are_not_learnt_again(place):
    before = (place.weights / f"{NAME}.safetensors").read_bytes()
    stages = {path: path.stat().st_mtime_ns for path in place.work.iterdir()}
    assert {path.stem for path in stages} == {"sight", "together", "apart", "fused", "reader"}
    train(NAME, place)
    assert (place.weights / f"{NAME}.safetensors").read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in place.work.iterdir()} == stages


@pytest.mark.slow
def test_matching_and_captioning_end_with_vision_models_of_their_own(place):
    model = build_visual_question(TINY, place.weights / f"{NAME}.safetensors")
    one, other = (vision.state_dict() for vision in (model.itm.vision_model, model.captioner.vision_model))
    assert any(not torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert model.gate != 0


@pytest.mark.slow
def test_judging_again_gives_the_same_figures(place):
    figures = json.loads((place.weights / f"{NAME}.json").read_text())
    evaluate(NAME, place)
    assert json.loads((place.weights / f"{NAME}.json").read_text()) == figures
    assert figures["looking"]["all"]["questions"] == figures["questions"]


def test_presets_without_a_recipe_are_refused_by_name():
    with pytest.raises(
        ValueError, match=r"expected one with a recipe .* got 'visual_question_answering_base'"
    ):
        recipe_of("visual_question_answering_base")


def test_captions_are_right_when_they_name_shape_and_colour():
    scene = Scene("circle", "red", "small", "at the top")
    lines = ["a red circle", "a small red circle at the top", "a blue circle", "there is a circle"]
    assert caption_shares([scene], [lines]) == (0.5, 0.25)


def test_a_peak_is_on_the_shape_or_next_to_it():
    data = load_split("test").only(range(3))
    shown = describe_all(data.images)
    rows, columns = zip(*(np.argwhere(one.mask).mean(axis=0) // 8 for one in shown), strict=True)
    heats = torch.zeros(len(data.questions), 8, 8)
    for question, row in enumerate(data.rows):
        heats[question, int(rows[row]), int(columns[row])] = 1
    looked = Peaks(data, [one.mask for one in shown]).of(heats)
    assert (looked.on, looked.near) == (1.0, 1.0)
    assert looked.on_chance < looked.chance < 1.0
    far = torch.zeros_like(heats)
    far[:, 0, 0] = 1
    there = np.array([bool(one.mask[:16, :16].any()) for one in shown])[data.rows]
    assert Peaks(data, [one.mask for one in shown]).of(far).near == pytest.approx(there.mean())


def test_no_questions_are_no_figure():
    data = load_split("test").only(range(1))
    peaks = Peaks(data, [one.mask for one in describe_all(data.images)])
    heats = torch.zeros(len(data.questions), 8, 8)
    with pytest.raises(ValueError, match="expected some questions to look at, got none"):
        peaks.of(heats, np.zeros(len(data.questions), bool))


def test_a_judge_pads_questions_to_the_length_of_the_server():
    preset = replace(TINY, text=replace(TINY.text, length=12))
    judge = Judge(build_visual_question(preset), preset, build_tokenizer(preset))
    texts = judge.texts(["what shape is present?", "is there a red shape?"])
    assert texts.ids.shape == (2, 12)
    assert texts.mask.sum(dim=1).tolist() == [6, 7]
