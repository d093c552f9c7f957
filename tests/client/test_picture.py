"""The picture of an answer, and the numbers under it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from crossfuse import CrossfuseError, Status, WeldInspection, save_picture
from crossfuse._attention import Span, even_spans, focus, heard_spans
from crossfuse._cli import main
from crossfuse._figure import weld_figure
from crossfuse._media import read_film, read_log, read_photo, read_sound
from crossfuse._panels import fitted
from PIL import Image

from tests.client.stand_ins import LENGTHS, Peer

pytestmark = pytest.mark.slow

COLUMNS = ("Pressure", "Flow", "Feed", "Current", "Wire", "Voltage")
RATE_HZ = 8_000


def video_bytes(frames: int = 24, width: int = 64, height: int = 48) -> bytes:
    """Frame i is a grey of 10 x i."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="avi") as container:
        stream = container.add_stream("mjpeg", rate=12)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        for index in range(frames):
            grey = np.full((height, width, 3), 10 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def photo_bytes() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (400, 200), (200, 30, 30)).save(buffer, "JPEG")
    return buffer.getvalue()


def sound_bytes(seconds: float = 2.0) -> bytes:
    buffer = io.BytesIO()
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)
    soundfile.write(buffer, np.stack([tone, -0.5 * tone], 1), RATE_HZ, format="FLAC")
    return buffer.getvalue()


def log_bytes(rows: int = 40) -> bytes:
    lines = [",".join(("Time", "Part", *COLUMNS, "Remarks"))]
    lines += [f"08:00:{row},7," + ",".join(str(row * (k + 1)) for k in range(6)) + "," for row in range(rows)]
    return "\n".join(lines).encode()


@pytest.fixture(scope="module")
def payloads() -> dict[str, Any]:
    return {
        "video": video_bytes(),
        "image": [photo_bytes()] * 5,
        "audio": sound_bytes(),
        "sensor": log_bytes(),
    }


def inspection(state: Status = Status.OK, **changed: Any) -> WeldInspection:
    rng = np.random.default_rng(5)
    fields: dict[str, Any] = {
        "scores": {"Porosity": 0.7, "Good": 0.2, "Lack_of_Fusion": 0.1},
        "anomaly_score": 0.8,
        "embedding": np.full(4, 0.5, np.float32),
        "attention": {n: rng.dirichlet(np.ones(k), 4).astype(np.float32) for n, k in LENGTHS.items()},
        "status": dict.fromkeys(LENGTHS, state),
        "image_status": (state,) * 5,
        "sent": tuple(LENGTHS),
        "version": "1",
        "audio_window_s": 1.0,
        "sensor_columns": COLUMNS,
    }
    return WeldInspection(**(fields | changed))


def words(weld: WeldInspection, payloads: dict[str, Any]) -> list[str]:
    """Every text of the picture."""
    figure = weld_figure(weld, payloads, "run 7")
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    return found + [axes.get_title(place) for axes in figure.axes for place in ("left", "right")]


def test_a_picture_shows_everything_that_was_sent(payloads: dict[str, Any], tmp_path: Path) -> None:
    path = save_picture(tmp_path / "weld.png", inspection(), payloads, title="run 7")
    with Image.open(path) as picture:
        assert picture.size == (1800, 1392)
        pixels = np.asarray(picture.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 500
    assert (np.abs(pixels.astype(int) - (200, 30, 30)).max(axis=2) < 12).sum() > 50_000  # the red photos


def test_it_names_the_verdict_the_run_and_every_channel(payloads: dict[str, Any]) -> None:
    shown = words(inspection(), payloads)
    assert {"Porosity  70%", "run 7", "0.80", "Lack of Fusion  10.0%"} <= set(shown)
    assert set(COLUMNS) <= set(shown) and shown.count("OK") == 4


def test_a_lost_modality_is_said_in_its_place(payloads: dict[str, Any]) -> None:
    lost = inspection(
        status={
            "video": Status.CORRUPT,
            "image": Status.PARTIAL,
            "audio": Status.ABSENT,
            "sensor": Status.OK,
        },
        image_status=(Status.OK, Status.CORRUPT),
    )
    broken = {
        "video": b"no video",
        "image": [photo_bytes(), b"no photo"],
        "audio": None,
        "sensor": log_bytes(),
    }
    shown = set(words(lost, broken))
    assert {"video: could not be read", "sound: not sent"} <= shown
    assert {"photo 2: could not be read", "photo 3: not sent"} <= shown
    assert "CORRUPT: could not be read; the answer was made without it" in shown


@pytest.mark.parametrize("status", Status)
def test_any_state_can_be_drawn_with_nothing_at_hand(status: Status, tmp_path: Path) -> None:
    assert save_picture(tmp_path / "weld.png", inspection(status), {}).stat().st_size > 20_000


def test_the_command_draws_and_says_where(
    peer: Peer, payloads: dict[str, Any], tmp_path: Path, capsys
) -> None:
    folder = tmp_path / "run 12"
    folder.mkdir()
    (folder / "weld.avi").write_bytes(payloads["video"])
    (folder / "a.jpg").write_bytes(payloads["image"][0])
    target = tmp_path / "weld.png"
    command = ["infer", "weld_inspection", "--video", f"{folder}/weld.avi", "--image", f"{folder}/a.jpg"]
    assert main([*command, "--url", peer.url, "--picture", str(target)]) == 0
    out, err = capsys.readouterr()
    assert (
        out.startswith("Porosity, 70.0%") and err == f"picture: {target}\n" and target.stat().st_size > 20_000
    )


def test_a_picture_that_cannot_be_written_is_a_sentence(payloads: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        CrossfuseError, match=r"^picture: expected a writable file, got .*; choose another place"
    ):
        save_picture(tmp_path / "nowhere" / "weld.png", inspection(), payloads)


def test_focus_counts_in_even_shares() -> None:
    assert focus(np.array([[0.5, 0.25, 0.25], [0.5, 0.0, 0.5]])).tolist() == [1.5, 0.375, 1.125]
    assert focus(np.full((4, 8), 1 / 8)).tolist() == [1.0] * 8
    assert focus(np.zeros((4, 5))).tolist() == [0.0] * 5


def test_a_short_recording_ends_before_its_padding() -> None:
    spans = heard_spans(np.array([1.0, 2.0, 3.0, 4.0]), duration_s=3.0, window_s=6.0)
    assert spans == [Span(0.0, 0.5, 1.0), Span(0.5, 1.0, 2.0)]


def test_a_long_recording_is_heard_in_four_excerpts_from_start_to_end() -> None:
    spans = heard_spans(np.arange(4.0), duration_s=10.0, window_s=4.0)
    assert [(round(s.start, 9), round(s.end, 9)) for s in spans] == [
        (0.0, 0.1),
        (0.3, 0.4),
        (0.6, 0.7),
        (0.9, 1.0),
    ]
    assert [s.weight for s in spans] == [0.0, 1.0, 2.0, 3.0]


def test_a_bin_across_two_excerpts_lies_on_both() -> None:
    spans = heard_spans(np.array([1.0, 2.0, 3.0]), duration_s=8.0, window_s=4.0)
    assert [s.weight for s in spans] == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert sum(s.end - s.start for s in spans) == pytest.approx(0.5)


def test_without_a_window_the_bins_are_spread_evenly() -> None:
    assert heard_spans(np.ones(2), 9.0, None) == even_spans(np.ones(2)) == [Span(0, 0.5, 1), Span(0.5, 1, 1)]


def test_a_film_shows_the_middle_of_each_slice() -> None:
    film = read_film(video_bytes(frames=24), 4)
    assert [round(float(frame.mean()) / 10) for frame in film.frames] == [3, 9, 15, 21]
    assert film.at_s == [0.25, 0.75, 1.25, 1.75] and film.duration_s == 2.0


def test_a_film_shorter_than_its_slices_repeats_frames() -> None:
    assert len(read_film(video_bytes(frames=3), 8).frames) == 8


def test_a_frame_keeps_its_shape_in_its_cell() -> None:
    assert fitted(np.zeros((10, 20, 3)), 0.0, 0.5, cell=1.0) == (0.0, 0.5, 0.25, 0.75)
    assert fitted(np.zeros((20, 10, 3)), 0.0, 0.5, cell=1.0) == (0.125, 0.375, 0.0, 1.0)


def test_a_sound_is_the_mean_of_its_channels() -> None:
    sound = read_sound(sound_bytes(1.0))
    assert sound.duration_s == 1.0 and np.abs(sound.samples).max() == pytest.approx(0.025, abs=0.001)


def test_a_log_has_the_columns_the_server_reads() -> None:
    log = read_log(log_bytes(), ("Voltage", "Feed"))
    assert log.names == ("Voltage", "Feed") and log.rows[2].tolist() == [12.0, 6.0]


def test_without_named_columns_a_log_has_those_that_change() -> None:
    assert read_log(log_bytes(), ()).names == COLUMNS


def test_an_array_is_a_log_too() -> None:
    log = read_log(np.arange(18.0).reshape(3, 6), COLUMNS)
    assert log.names == COLUMNS and log.rows.shape == (3, 6)


def test_rows_that_are_no_numbers_are_dropped() -> None:
    assert len(read_log(log_bytes(10) + b"\n08:01,7,1,2,x,4,5,6,", COLUMNS).rows) == 10


@pytest.mark.parametrize(
    "read",
    [
        lambda: read_film(b"junk", 8),
        lambda: read_photo(b"junk"),
        lambda: read_sound(b"junk"),
        lambda: read_log(b"junk", COLUMNS),
        lambda: read_log(b"a,b\nx,y\n", ()),
        lambda: read_log(log_bytes(1), ()),
    ],
)
def test_what_does_not_decode_is_a_sentence(read) -> None:
    with pytest.raises(ValueError, match=r": expected .*, got .*; "):
        read()
