"""`crossfuse infer` about an image and words: what it prints, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from crossfuse import Status, VisualAnswer
from crossfuse._cli import main
from crossfuse._visual_answer_report import visual_answer_lines

from tests.client.image_text_outputs import ABSENT, CORRUPT, OK, PARTIAL, pair_outputs, told_outputs
from tests.client.stand_ins import Peer, response_of


@pytest.fixture
def pair_peer(peer: Peer) -> Peer:
    peer.served, peer.response = ["vision_language"], response_of(pair_outputs())
    return peer


@pytest.fixture
def told_peer(peer: Peer) -> Peer:
    peer.served, peer.response = ["visual_question_answering"], response_of(told_outputs())
    return peer


@pytest.fixture
def image(tmp_path: Path) -> str:
    (tmp_path / "shape.png").write_bytes(b"PNG")
    return str(tmp_path / "shape.png")


def asked(pipeline: str, *words: str) -> int:
    return main(["infer", pipeline, *words])


def test_an_answered_question_is_told_with_its_evidence(told_peer: Peer, image: str, capsys) -> None:
    question = ["--image", image, "--question", "what colour is it?"]
    assert asked("visual_question_answering", *question, "--url", told_peer.url) == 0
    out, err = capsys.readouterr()
    assert out.startswith("red, 87.5%\n") and err == ""
    assert "  from captions alone  circle\n" in out and "   75.0%" in out
    assert "    a red circle  (2 times)\n    a circle é\n" in out
    map_of_shades = "row 1, column 2 of 2 x 2\n    +----+\n    |  ██|\n    |░░▒▒|\n    +----+\n"
    assert map_of_shades in out
    assert out.endswith("  image     OK       used\n  question  OK       used\n")


def test_the_best_answers_about_a_pair_are_bars(pair_peer: Peer, image: str, capsys) -> None:
    command = ["--image", image, "--text", "is it red?", "--url", pair_peer.url]
    assert asked("vision_language", *command) == 0
    out = capsys.readouterr().out
    assert out.startswith("red, 70.0%\n")
    assert [line.split()[0] for line in out.splitlines() if line.endswith("%")] == [
        "red,",
        "red",
        "circle",
        "no",
    ]
    assert "similarity" in out and "0.600" in out
    assert "  embeddings: image (2), text (2), fused (3)\n" in out


def test_an_image_alone_says_why_there_is_no_answer(pair_peer: Peer, image: str, capsys) -> None:
    pair_peer.response = response_of(pair_outputs((OK, ABSENT)))
    assert asked("vision_language", "--image", image, "--url", pair_peer.url) == 0
    assert capsys.readouterr().out == (
        "no answer: it takes an image and a text\n\n  embeddings: image (2)\n\n"
        "  image  OK       used\n  text   ABSENT   not sent\n"
    )


def test_words_that_were_cut_are_told(told_peer: Peer, image: str, capsys) -> None:
    told_peer.response = response_of(told_outputs((OK, PARTIAL)))
    command = ["--image", image, "--question", "what?", "--url", told_peer.url]
    assert asked("visual_question_answering", *command) == 0
    cut = "PARTIAL  used, but something was lost: it is longer than the model reads; its end was left out"
    assert f"  question  {cut}\n" in capsys.readouterr().out


def test_an_image_that_cannot_be_read_is_a_failure(told_peer: Peer, image: str, capsys) -> None:
    told_peer.response = response_of(told_outputs((CORRUPT, OK)))
    command = ["--image", image, "--question", "what?", "--url", told_peer.url]
    assert asked("visual_question_answering", *command) == 1
    assert "got image CORRUPT, question OK; send another image" in capsys.readouterr().err


@pytest.mark.parametrize("pipeline", ["vision_language", "visual_question_answering"])
def test_json_is_one_object(pipeline: str, peer: Peer, image: str, capsys) -> None:
    outputs, option = {
        "vision_language": (pair_outputs(), "--text"),
        "visual_question_answering": (told_outputs(), "--question"),
    }[pipeline]
    peer.response = response_of(outputs)
    assert asked(pipeline, "--image", image, option, "what?", "--json", "--url", peer.url) == 0
    assert json.loads(capsys.readouterr().out)["answer"] == "red"


def test_the_canary_is_named(told_peer: Peer, image: str, capsys) -> None:
    command = ["--image", image, "--question", "what?", "--url", told_peer.url, "--canary", "1"]
    assert asked("visual_question_answering", *command) == 0
    assert capsys.readouterr().out.startswith("red, 87.5%  (answered by the canary)\n")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (
            "visual_question_answering --image {image}",
            "infer: expected --image and --question, got --image; add --question",
        ),
        (
            "visual_question_answering --question what?",
            "infer: expected --image and --question, got --question; add --image",
        ),
        (
            "visual_question_answering",
            "infer: expected --image and --question, got none; add --image and --question",
        ),
        (
            "visual_question_answering --image {image} --text what?",
            "infer: expected --image, --question only for visual_question_answering, got --text; leave out",
        ),
        (
            "visual_question_answering --image {image} {image} --question what?",
            "infer: expected one file after --image for visual_question_answering, got 2; ask once for each",
        ),
        ("vision_language", "infer: expected at least one of --image, --text, got none; add one"),
        ("vision_language --text=", "argument --text: expected a visible character, got an empty text; send"),
        ("vision_language --image gone.png", "argument --image: expected an existing file, got gone.png"),
        ("video_quality --question what?", "expected --video only for video_quality, got --question; leave"),
    ],
)
def test_a_wrong_combination_is_named_in_one_sentence(
    command: str, sentence: str, image: str, capsys
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["infer", *command.format(image=image).split()])
    said = capsys.readouterr().err.splitlines()[-1]
    assert caught.value.code == 2 and sentence in said


def test_a_terminal_without_blocks_gets_letters_and_a_map_without_relevance_says_so() -> None:
    told = VisualAnswer(
        answer="yes",
        probability=0.5,
        captions=(),
        caption_answer="",
        relevance=np.array([[0.0, 0.3], [0.6, 1.0]], np.float32),
        matching_score=0.1,
        status={"image": Status.OK, "question": Status.OK},
        sent=("image", "question"),
        version="1",
    )
    lines = visual_answer_lines(told, "#")
    assert "    |  ..|" in lines and "    |::##|" in lines
    assert "  captions used: none" in lines and "  from captions alone  no answer" in lines
    flat = VisualAnswer(**(vars(told) | {"relevance": np.zeros((2, 2), np.float32)}))
    assert "  relevance: no part of the image stands out" in visual_answer_lines(flat)
