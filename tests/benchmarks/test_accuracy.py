"""Accuracy on easy-VQA: what is counted, and both pipelines against PyTorch standing in for the server."""

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import serving
from benchmarks import accuracy
from benchmarks.__main__ import main
from benchmarks.accuracy import faults, judged, other_pictures, question_only, table
from benchmarks.vision_language_accuracy import VisionLanguageReference, recall_at_1
from benchmarks.visual_question_accuracy import VisualQuestionReference, heat_figures, is_shown
from tests.end_to_end.questions import served_models
from training.easy_vqa import answer_names, load_split
from training.easy_vqa_captions import describe, describe_all


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def test_split():
    return load_split("test")


@pytest.fixture(scope="module")
def few(test_split):
    return test_split.every(450)  # 22 questions


def wanted(asked):
    return [answer_names()[answer] for answer in asked.answers]


def test_right_answers_are_counted_by_kind_and_wrong_ones_are_listed(few):
    said = wanted(few)
    said[0] = "a dragon"
    found = judged(few, said)
    assert (found["right"], found["questions"]) == (21, 22)
    assert found["accuracy"] == pytest.approx(21 / 22)
    assert sum(kind["questions"] for kind in found["kinds"].values()) == 22
    assert found["kinds"][few.kinds[0]]["right"] == found["kinds"][few.kinds[0]]["questions"] - 1
    (wrong,) = found["wrong"]
    assert wrong["said"] == "a dragon"
    assert wrong["question"] == few.questions[0]
    assert wrong["picture"] == few.image_ids[few.rows[0]]


def test_a_kind_without_questions_has_no_accuracy(few):
    part = few.every(22)
    kinds = judged(part, wanted(part))["kinds"]
    assert [kind["accuracy"] for kind in kinds.values()].count(None) == 2


def test_two_thirds_can_be_answered_without_looking(test_split):
    found = judged(test_split, question_only(test_split))
    assert found["accuracy"] == pytest.approx(0.670, abs=0.005)
    assert found["kinds"]["colour"]["accuracy"] < 0.2


def test_the_control_shows_every_question_a_picture_of_another(test_split):
    other = other_pictures(test_split)
    assert (other != test_split.rows).all()
    first_of_each = np.unique(test_split.rows, return_index=True)[1]
    assert set(Counter(other[first_of_each].tolist()).values()) == {1}


@pytest.mark.parametrize(
    ("points", "questions", "sentences"), [(0.2, 9673, 0), (-0.21, 9673, 1), (4.0, 25, 0), (-8.0, 25, 1)]
)
def test_server_and_pytorch_may_lie_one_question_or_a_fifth_of_a_point_apart(points, questions, sentences):
    found = faults({"difference_points": points, "server": {"questions": questions}})
    assert len(found) == sentences
    assert all("points apart, got" in sentence for sentence in found)


def test_recall_counts_nearest_neighbours_that_fit():
    images = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)  # the last one is nearer to the second text
    texts = np.array([[1, 0], [0, 1]], np.float32)
    fits = np.array([[True, False], [False, True], [True, False]])
    assert recall_at_1(images, texts, fits) == {
        "image_to_text": pytest.approx(2 / 3),
        "text_to_image": 1.0,
    }


def as_server(reference, infer_one):
    """PyTorch in the place of a server: one request at a time, no batch."""

    def infer(**payloads):
        return infer_one(reference, **payloads)

    return infer


def vision_language_answer(reference, image=None, text=None):
    names, words = reference.preset.class_names, reference.texts([text or "a"])
    pictures = reference.images([image]) if image else torch.zeros_like(words)
    chances, seen, read = reference._fused(pictures, words, "stand-in")
    return SimpleNamespace(
        probabilities=dict(zip(names, chances[0], strict=True)),
        image_embedding=seen[0],
        text_embedding=read[0],
    )


def test_vision_language_answered_by_pytorch_itself_differs_in_nothing(few):
    reference = VisionLanguageReference.load("vision_language_tiny", None)
    found = reference.measure(as_server(reference, vision_language_answer), few)
    assert found["differences"]["answers"] == 0
    assert found["differences"]["largest_of_a_probability"] < 1e-5
    assert found["server"] == found["pytorch"]
    retrieval = found["retrieval"]
    assert retrieval["server"] == retrieval["pytorch"]
    assert retrieval["smallest_cosine_of_both"] > 0.9999
    assert retrieval["pictures"] == len(few.pictures)
    assert retrieval["chance"] == 1 / retrieval["captions"]
    assert "retrieval R@1 among" in found["remarks"][0]
    assert set(found["controls"]) == {"shuffled_images"}


def visual_answer(reference, image, question):
    matching, fused = reference.pictures([image])
    asked = SimpleNamespace(questions=(question,), rows=np.zeros(1, np.int64))
    said = reference.say(matching, fused, asked)
    return SimpleNamespace(
        answer=said.answers[0],
        caption_answer=said.from_text[0],
        captions=said.captions[0],
        relevance=said.heat[0],
    )


def test_question_answering_by_pytorch_itself_differs_in_nothing(few):
    reference = VisualQuestionReference.load("visual_question_answering_tiny", None)
    found = reference.measure(as_server(reference, visual_answer), few)
    differences = dict(found["differences"])
    assert differences.pop("largest_heat") > 0
    assert differences.pop("largest_of_heat") < 1e-5
    assert set(differences.values()) == {0}
    assert found["server"] == found["pytorch"]
    assert found["text_mode"]["server"] == found["text_mode"]["pytorch"]
    assert found["heat_map"]["grid"] == 4
    assert set(found["heat_map"]["all"]) == {"questions", "chance", "server", "pytorch", "untrained"}
    assert any("peak of the heat map" in line for line in found["remarks"])


@pytest.mark.parametrize(
    ("question", "shown"),
    [
        ("is there a blue shape?", True),
        ("is no rectangle present?", True),
        ("what color is the shape?", True),
        ("is there a red shape?", False),
        ("is a circle present?", False),
    ],
)
def test_a_question_is_about_what_is_shown_when_it_names_it_or_asks_what(question, shown):
    image = np.full((64, 64, 3), 240, np.uint8)
    image[8:32, 8:40] = (0, 0, 255)
    assert is_shown(question, describe(image)) == shown


def test_a_peak_is_on_the_shape_next_to_it_or_elsewhere(few):
    asked, depicted = few.every(22), describe_all(few.images[few.rows[:1]])
    row, column = np.argwhere(depicted[0].mask).mean(0).astype(int) // 8  # the cell in its middle
    far = [7 if row < 4 else 0, 7 if column < 4 else 0]
    heat = {"server": np.zeros((1, 8, 8), np.float32), "pytorch": np.zeros((1, 8, 8), np.float32)}
    heat["server"][0, row, column] = 1
    heat["pytorch"][0, far[0], far[1]] = 1
    found = heat_figures(heat, asked, depicted)["all"]
    assert found["server"] == {"on": 1.0, "near": 1.0}
    assert found["pytorch"] == {"on": 0.0, "near": 0.0}
    assert 0 < found["chance"]["on"] < found["chance"]["near"] < 1


def test_the_table_names_server_pytorch_controls_and_goal(few):
    row = judged(few, wanted(few))
    result = {
        "server": row,
        "pytorch": row,
        "controls": {"question_only": row, "shuffled_images": row},
        "goal": {"accuracy": 0.99, "reached": True},
        "difference_points": 0.0,
        "remarks": ["and so on"],
    }
    lines = table(result).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == [
        "server",
        "PyTorch",
        "question_only",
        "shuffled_images",
    ]
    assert lines[5] == "22 of 22 right; goal 99%: reached; server minus PyTorch +0.00 points"
    assert lines[6] == "and so on"


@pytest.mark.parametrize(
    "arguments", [["accuracy", "weld_inspection"], ["accuracy", "vision_language", "--every", "0"]]
)
def test_a_pipeline_without_a_test_split_and_a_step_below_one_are_mistyped(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


def test_missing_weights_are_one_sentence(tmp_path, capsys):
    missing = ["--url", "127.0.0.1:1", "--weights", str(tmp_path / "none.safetensors")]
    assert main(["accuracy", "vision_language", *missing]) == 1
    assert "benchmarks accuracy: weights: expected a safetensors file at" in capsys.readouterr().err


@pytest.fixture(scope="module", params=list(accuracy.REFERENCES))
def served(request, tmp_path_factory):
    """A pipeline, its weights, and where a server with its models answers."""
    repository, weights = served_models(request.param, tmp_path_factory.mktemp("models"))
    with serving.running([request.param], repository) as address:
        yield request.param, weights, address.grpc


@pytest.mark.server
@pytest.mark.slow
def test_the_command_asks_a_server_and_finds_that_it_says_what_pytorch_says(
    served, tmp_path, monkeypatch, capsys
):
    pipeline, weights, url = served
    monkeypatch.chdir(tmp_path)
    assert main(["accuracy", pipeline, "--every", "500", "--url", url, "--weights", str(weights)]) == 0
    printed = capsys.readouterr()
    path = Path(printed.out.strip())
    assert path == Path(f"build/benchmarks/accuracy_{pipeline}.json")
    assert "of 20 right; goal" in printed.err
    written = json.loads(path.read_text())
    assert written["seed"] == accuracy.SEED
    result = written["result"]
    assert result["server"]["questions"] == 20
    assert result["differences"]["answers"] <= 1
    assert set(result["controls"]) == {"question_only", "shuffled_images"}


def test_every_pipeline_has_a_goal_and_a_reference():
    from benchmarks.commands.accuracy import PIPELINES

    assert set(PIPELINES) == set(accuracy.GOALS) == set(accuracy.REFERENCES)
    assert json.dumps(accuracy.GOALS)
