"""The pictures of answers about an image and words, and the heat map in them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crossfuse import Status, VisionLanguage, VisualAnswer, save_picture
from crossfuse._cli import main
from crossfuse._heat_map import blended, enlarged, glowing, smooth
from crossfuse._image_text_panels import fitted_words, shorten_file
from crossfuse._media import read_photo
from crossfuse._presentations import PRESENTATIONS
from crossfuse._visual_answer_figure import listed
from PIL import Image

from tests.client.image_text_outputs import told_outputs
from tests.client.stand_ins import Peer, response_of

pytestmark = pytest.mark.slow

GREEN = np.full((64, 64, 3), (20, 200, 60), np.uint8)
CORNER = np.zeros((8, 8), np.float32)
CORNER[1, 6] = 3.0


def told(state: Status = Status.OK, **changed: Any) -> VisualAnswer:
    fields: dict[str, Any] = {
        "answer": "green",
        "probability": 0.875,
        "captions": ("a green square", "a square", "a green square"),
        "caption_answer": "yellow",
        "relevance": CORNER,
        "matching_score": 0.6,
        "status": {"image": state, "question": Status.OK},
        "sent": ("image", "question"),
        "version": "1",
    }
    return VisualAnswer(**(fields | changed))


def pair(image: Status = Status.OK, text: Status = Status.OK, **changed: Any) -> VisionLanguage:
    both = image.usable and text.usable
    fields: dict[str, Any] = {
        "probabilities": {"green": 0.75, "circle": 0.25} if both else {},
        "image_embedding": np.array([1.0, 0.0], np.float32) if image.usable else None,
        "text_embedding": np.array([0.6, 0.8], np.float32) if text.usable else None,
        "fused_embedding": np.ones(3, np.float32) if both else None,
        "status": {"image": image, "text": text},
        "sent": ("image", "text"),
        "version": "1",
    }
    return VisionLanguage(**(fields | changed))


def words(answer: VisualAnswer | VisionLanguage, payloads: dict[str, Any]) -> set[str]:
    """Every text of the picture."""
    figure = PRESENTATIONS[answer.pipeline].figure(answer, payloads, "shape.png")
    found = {text.get_text() for axes in figure.axes for text in axes.texts}
    return found | {axes.get_title(place) for axes in figure.axes for place in ("left", "right")}


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.width == 1800
        return np.asarray(picture.convert("RGB")).astype(int)


def test_a_question_is_shown_with_its_answer_and_all_that_speaks_for_it() -> None:
    shown = words(told(), {"image": GREEN, "question": "what colour is it?"})
    assert {"shape.png", "“what colour is it?”", "green", "with probability 87.5%"} <= shown
    assert {"a green square  (2 times)", "a square", "yellow", "60.0%", "OK"} <= shown


def test_the_picture_holds_the_image_and_a_glow_at_its_peak(tmp_path: Path) -> None:
    path = save_picture(tmp_path / "told.png", told(), {"image": GREEN, "question": "what colour?"})
    found = pixels_of(path)
    assert (np.abs(found - (20, 200, 60)).max(axis=2) < 4).sum() > 300_000  # the image: 594 x 594 pixels
    bright = found[240:820, 710:1290].sum(axis=2)  # the panel of the map
    row, column = np.unravel_index(int(bright.argmax()), bright.shape)
    assert 0.1 < row / 580 < 0.3 and 0.7 < column / 580 < 0.95


def test_a_pair_is_shown_with_bars_and_its_similarity() -> None:
    shown = words(pair(), {"image": GREEN, "text": "what colour is it?"})
    assert {"green  75%", "75.0%", "circle", "25.0%", "0.60", "“what colour is it?”"} <= shown
    assert "image (2), text (2), fused (3)" in shown


def test_what_was_left_out_is_said_in_its_place() -> None:
    shown = words(pair(text=Status.ABSENT), {"image": GREEN})
    assert {"no answer", "text: not sent", "an answer takes an image and a text", "image (2)"} <= shown
    assert "image: not sent" in words(pair(image=Status.ABSENT), {"text": "a circle"})


@pytest.mark.parametrize("state", Status)
@pytest.mark.parametrize("image", [None, b"junk", GREEN])
def test_any_state_can_be_drawn(state: Status, image: Any, tmp_path: Path) -> None:
    usable = state.usable
    answer = told(state) if usable else told(state, answer="", relevance=CORNER * 0, captions=())
    payloads = {"image": image, "question": "what?", "text": "what?"}
    assert save_picture(tmp_path / "told.png", answer, payloads).stat().st_size > 8_000
    assert save_picture(tmp_path / "pair.png", pair(state, state), payloads).stat().st_size > 8_000


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 200), (900, 30)])
def test_tiny_tall_and_wide_images_are_drawn(width: int, height: int, tmp_path: Path) -> None:
    image = np.full((height, width, 3), 90, np.uint8)
    pixels_of(save_picture(tmp_path / "told.png", told(), {"image": [image], "question": "what?"}))
    pixels_of(save_picture(tmp_path / "pair.png", pair(), {"image": image, "text": "what?"}))


@pytest.mark.parametrize("said", ["$5 or $6 and {x}_2?", "色 は?", "long " * 800, "w" * 4000, b"\xff\xfe"])
def test_any_words_can_be_drawn(said: Any, tmp_path: Path) -> None:
    answer = told(answer="a $very$ long answer " * 9, captions=(f"{said!r}",) * 2 + ("b",) * 30)
    pixels_of(save_picture(tmp_path / "told.png", answer, {"image": GREEN, "question": said}))
    pixels_of(save_picture(tmp_path / "pair.png", pair(), {"image": GREEN, "text": said}))


def test_the_command_draws_and_calls_the_picture_like_the_file(peer: Peer, tmp_path: Path, capsys) -> None:
    peer.response = response_of(told_outputs())
    Image.fromarray(GREEN).save(tmp_path / "shape.png")
    target = tmp_path / "told.png"
    command = [
        "infer",
        "visual_question_answering",
        "--image",
        f"{tmp_path}/shape.png",
        "--question",
        "what?",
    ]
    assert main([*command, "--picture", str(target), "--url", peer.url]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("red, 87.5%") and err == f"picture: {target}\n"
    assert target.stat().st_size > 20_000


def test_a_smooth_map_peaks_where_the_part_lies() -> None:
    fine = smooth(CORNER, 80, 160)
    assert fine.shape == (80, 160) and fine.max() == 1.0 and fine.min() == 0.0
    row, column = np.unravel_index(int(fine.argmax()), fine.shape)
    assert abs(row - 14.5) <= 1 and abs(column - 129.5) <= 1  # the middle of part (1, 6), each 10 x 20


def test_a_map_of_nothing_stays_nothing() -> None:
    assert not smooth(np.zeros((4, 4)), 8, 8).any()
    assert np.allclose(
        glowing(GREEN[:8, :8], np.zeros((8, 8))), glowing(GREEN[:8, :8], np.zeros((8, 8)))[0, 0]
    )


@pytest.mark.parametrize("lightness", [0.0, 0.2, 0.42])
def test_more_relevance_is_never_darker_for_any_eye(lightness: float) -> None:
    colours = blended(np.full((256, 1), lightness), np.linspace(0, 1, 256))
    luminance = colours @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(luminance) > -1e-3).all() and luminance[-1] - luminance[0] > 0.4


def test_shapes_as_light_as_their_ground_can_still_be_told_apart() -> None:
    yellow, ground = np.full((1, 1, 3), (239, 239, 0), np.uint8), np.full((1, 1, 3), 212, np.uint8)
    seen = glowing(yellow, np.zeros((1, 1))) - glowing(ground, np.zeros((1, 1)))
    assert np.abs(seen).max() > 0.15


def test_letters_wider_than_most_stay_within_their_place() -> None:
    figure = PRESENTATIONS["visual_question_answering"].figure(
        told(answer="W" * 30, captions=("W" * 70,)), {"image": GREEN, "question": "W" * 400}, "w.png"
    )
    wide = [text for axes in figure.axes for text in axes.texts if "WW" in text.get_text()]
    places_in = [text.get_window_extent().width / figure.dpi for text in wide]
    assert len(wide) == 3 and max(places_in) < 9.6 and min(places_in) < 3.5


def test_few_pixels_are_enlarged_and_many_are_left() -> None:
    assert enlarged(GREEN[:32]).shape == (256, 512, 3)
    assert enlarged(np.zeros((10, 600, 3), np.uint8)).shape == (10, 600, 3)


def test_words_shrink_until_they_fit_and_then_end_in_dots() -> None:
    assert fitted_words("“red?”", 5.0, 1.0, 22.0) == (22.0, ["“red?”"])
    points, lines = fitted_words("word " * 60, 5.0, 1.0, 22.0)
    assert 10.5 <= points < 22.0 and " ".join(lines).count("word") == 60
    points, lines = fitted_words("word " * 600, 5.0, 1.0, 22.0)
    assert points == 10.5 and lines[-1].endswith(" …")


def test_captions_that_do_not_fit_are_counted() -> None:
    placed = listed([f"caption {number}" for number in range(20)], 2.0)
    last = placed[-1][1][0]
    assert len(placed) == 5 and last == "and 16 others" and placed[-1][0] + 0.2 <= 2.0
    assert listed([], 2.0)[0][1] == ["none"]


def test_a_long_name_of_a_file_loses_its_middle() -> None:
    assert shorten_file("a.png") == "a.png" and len(shorten_file("a" * 300 + ".png")) == 78


def test_an_array_is_a_photo_and_large_ones_are_made_smaller() -> None:
    np.testing.assert_array_equal(read_photo(GREEN), GREEN)
    buffer = io.BytesIO()
    Image.new("RGB", (1400, 700)).save(buffer, "PNG")
    assert read_photo(buffer.getvalue(), 700).shape == (350, 700, 3)
