"""The picture of a video's quality, and where its parts lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crossfuse import Client, FrameQuality, Fusion, NoUsableModality, Status, VideoQuality, save_picture
from crossfuse._cli import main
from crossfuse._fusion_panel import full_length
from crossfuse._media import announced_s, read_frames
from crossfuse._quality_figure import quality_figure, thumbnails_in
from crossfuse._quality_panels import Timeline
from PIL import Image

from tests.client.stand_ins import CORRUPT, Peer, quality_outputs, quality_response
from tests.client.test_picture import video_bytes

pytestmark = pytest.mark.slow

GATES = Fusion("gated", ("gate",), ("spatial", "temporal"), np.array([[0.4, 0.6]], np.float32))
NOTHING = Fusion("pyramid", (), (), np.zeros((0, 0), np.float32))
ATTENTION = Fusion("cross_attention", ("a asks b", "b asks a"), (), np.full((2, 8), 1 / 8, np.float32))
LARGEST = Fusion("x", tuple("abcd"), tuple(f"part {i}" for i in range(16)), np.ones((4, 16), np.float32))


def moments(count: int = 24, sampled: int = 8) -> tuple[FrameQuality, ...]:
    """`sampled` even moments of `count` frames, 12 a second; each scores ten less than the one before."""
    numbers = np.linspace(0, count - 1, sampled).round().astype(int)
    scores = range(90, 90 - 10 * sampled, -10)
    return tuple(FrameQuality(int(n), n / 12, s, 1 / sampled) for n, s in zip(numbers, scores, strict=True))


def judged(state: Status = Status.OK, fusion: Fusion = GATES, **changed: Any) -> VideoQuality:
    fields: dict[str, Any] = {"score": 66.0, "frames": moments(), "version": "1", "sent": ("video",)}
    return VideoQuality(fusion=fusion, status={"video": state}, **(fields | changed))


def words(clip: VideoQuality, video: bytes | None) -> list[str]:
    """Every text of the picture."""
    figure = quality_figure(clip, {"video": video}, "clip 7")
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    return found + [axes.get_title(place) for axes in figure.axes for place in ("left", "right")]


def test_a_picture_shows_the_frames_that_were_looked_at(tmp_path: Path) -> None:
    path = save_picture(tmp_path / "clip.png", judged(), {"video": video_bytes()}, title="clip 7")
    with Image.open(path) as picture:
        assert picture.width == 1800
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    for number in (7, 13, 20):  # frame i is a grey of 10 x i
        assert (np.abs(pixels - 10 * number).max(axis=2) < 4).sum() > 5_000


def test_it_names_the_score_the_clip_the_times_and_the_evidence() -> None:
    shown = set(words(judged(), video_bytes()))
    assert {"66  good", "0 worst, 100 best", "clip 7", "OK", "0.0 s", "1.9 s"} <= shown
    assert {"gated", "gate", "spatial", "temporal", "0.40", "0.60", "12%"} <= shown


@pytest.mark.parametrize("fusion", [GATES, NOTHING, ATTENTION, LARGEST], ids=lambda fusion: fusion.name)
def test_every_kind_of_evidence_can_be_drawn(fusion: Fusion) -> None:
    shown = words(judged(fusion=fusion), video_bytes())
    assert sum(text.count(".") == 1 and len(text) == 4 for text in shown) == fusion.weights.size
    assert any("without weighing them" in text for text in shown) == (fusion is NOTHING)


def test_unnamed_columns_of_the_evidence_are_the_frames() -> None:
    shown = words(judged(fusion=ATTENTION), video_bytes())
    assert shown.count("0.2 s") == shown.count("1.9 s") == 2  # over its thumbnail, and in the table


def test_a_file_that_ends_early_is_said_where_it_ends() -> None:
    shown = words(judged(Status.PARTIAL), video_bytes())
    assert "PARTIAL: the file ends early, soon after 1.9 s" in shown and "the file ends here" in shown


def test_the_length_that_was_announced_is_said_too() -> None:
    clip = judged(Status.PARTIAL, frames=moments(count=6))
    assert "the file ends here, of 2.0 s" in words(clip, video_bytes())


@pytest.mark.parametrize("state", Status)
@pytest.mark.parametrize("video", [None, b"junk"])
def test_any_state_can_be_drawn_with_nothing_to_show(state: Status, video: bytes | None, tmp_path) -> None:
    path = save_picture(tmp_path / "clip.png", judged(state), {"video": video})
    assert path.stat().st_size > 8_000


def test_a_frame_that_cannot_be_decoded_here_says_so_in_its_place() -> None:
    shown = words(judged(frames=moments(count=48)), video_bytes(frames=24))
    assert shown.count("cannot be\nshown here") == 4


def test_a_video_that_could_not_be_read_has_no_score() -> None:
    shown = words(judged(Status.CORRUPT), b"junk")
    assert {"no score", "CORRUPT: could not be read", "video: could not be read"} <= set(shown)
    assert not any("good" in text for text in shown)


def test_the_answer_that_an_error_carries_can_be_drawn(peer: Peer, tmp_path: Path) -> None:
    peer.response = quality_response(quality_outputs(CORRUPT))
    with Client(peer.url) as client, pytest.raises(NoUsableModality) as caught:
        client.infer("video_quality", video=b"junk")
    assert save_picture(tmp_path / "clip.png", caught.value.answer, {"video": b"junk"}).exists()


@pytest.mark.parametrize(("width", "height"), [(16, 16), (48, 96), (320, 32)])
@pytest.mark.parametrize("frames", [1, 3])
def test_tiny_tall_wide_and_short_videos_are_drawn(width: int, height: int, frames: int, tmp_path) -> None:
    clip, video = judged(frames=moments(count=frames)), video_bytes(frames, width, height)
    with Image.open(save_picture(tmp_path / "clip.png", clip, {"video": video})) as picture:
        assert picture.width == 1800 and 800 < picture.height < 1300


def test_the_command_draws_and_calls_the_picture_like_the_file(peer: Peer, tmp_path: Path, capsys) -> None:
    peer.response = quality_response()
    (tmp_path / "clip.avi").write_bytes(video_bytes())
    target = tmp_path / "clip.png"
    command = ["infer", "video_quality", "--video", f"{tmp_path}/clip.avi", "--picture", str(target)]
    assert main([*command, "--url", peer.url]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("good, 66.0 of 100") and err == f"picture: {target}\n"
    assert target.stat().st_size > 20_000


def test_evenly_spaced_frames_lie_over_their_columns() -> None:
    line = Timeline([FrameQuality(n, n / 2, 50.0, 0.25) for n in range(4)], False, width_in=8.0)
    assert line.limits_s == (-0.25, 1.75) and line.column_in == 2.0
    assert [line.middle_s(column) for column in range(4)] == [0.0, 0.5, 1.0, 1.5]


def test_a_file_that_ends_early_leaves_half_a_column_to_say_it() -> None:
    line = Timeline([FrameQuality(n, float(n), 50.0, 0.25) for n in range(4)], True, width_in=9.0)
    assert line.limits_s == (-0.5, 4.0) and line.end_s == 3.5 and line.column_in == 2.0


@pytest.mark.parametrize("frames", [[], [FrameQuality(5, 3.0, 50.0, 1.0)]])
def test_a_single_frame_and_none_have_an_axis_too(frames: list[FrameQuality]) -> None:
    line = Timeline(frames, False, width_in=8.0)
    assert line.limits_s[1] - line.limits_s[0] == 1.0 and line.column_in == 8.0


def test_thumbnails_follow_the_shape_of_the_video_within_limits() -> None:
    line = Timeline([FrameQuality(n, float(n), 50.0, 0.125) for n in range(8)], False, width_in=8.0)
    shapes = {(10, 10): 1.0, (30, 20): 1.5, (100, 10): 2.4, (10, 100): 0.8}
    for (high, wide), expected_in in shapes.items():
        assert thumbnails_in(line, {0: np.zeros((high, wide, 3))}) == pytest.approx(expected_in)
    assert thumbnails_in(line, {}) == pytest.approx(0.8)


def test_bars_of_gates_are_full_at_one_and_bars_of_thin_attention_earlier() -> None:
    assert [full_length(most, bars=True) for most in (0.62, 0.4, 0.1, 3.0)] == [1.0, 0.5, 0.25, 3.0]
    assert [full_length(most, bars=False) for most in (0.4, 0.0, -1.0)] == [0.4, 1.0, 1.0]


def test_frames_are_read_by_their_numbers() -> None:
    frames = read_frames(video_bytes(frames=24), [3, 20, 99])
    assert {number: round(float(frame.mean()) / 10) for number, frame in frames.items()} == {3: 3, 20: 20}


@pytest.mark.parametrize(("video", "numbers"), [(b"junk", [0]), (video_bytes(3), [7])])
def test_frames_that_do_not_decode_are_a_sentence(video: bytes, numbers: list[int]) -> None:
    with pytest.raises(ValueError, match=r"^video: expected frames, got none.*; send another file$"):
        read_frames(video, numbers)


def test_a_container_announces_its_length() -> None:
    assert announced_s(video_bytes(frames=24)) == pytest.approx(2.0) and announced_s(b"junk") is None
