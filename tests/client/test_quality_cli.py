"""`crossfuse infer video_quality`: what it prints, what it refuses, and which pipelines a server has."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crossfuse import PIPELINES, Client, FrameQuality, Fusion, Status, VideoQuality
from crossfuse._cli import main
from crossfuse._conversation import Reply
from crossfuse._quality_report import quality_lines, time_labels
from tritonclient.grpc import service_pb2

from tests.client.stand_ins import CORRUPT, PARTIAL, Peer, quality_outputs, quality_response


@pytest.fixture
def quality_peer(peer: Peer) -> Peer:
    peer.served, peer.response = ["video_quality"], quality_response()
    return peer


@pytest.fixture
def video(tmp_path: Path) -> str:
    (tmp_path / "clip.mp4").write_bytes(b"ftyp")
    return str(tmp_path / "clip.mp4")


def test_the_answer_is_a_table_on_stdout(quality_peer: Peer, video: str, capsys) -> None:
    assert main(["infer", "video_quality", "--video", video, "--url", quality_peer.url]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "good, 66.0 of 100" and err == ""
    assert "scale: bad below 20, poor below 40, fair below 60, good below 80, excellent from 80" in out
    frames = [line.split() for line in lines if line.endswith("%")]
    assert [frame[0] for frame in frames] == ["0.0", "0.7", "1.4", "2.1", "2.8", "3.5", "4.2", "4.9"]
    assert (frames[0][4], frames[0][-1]) == ("80.0", "5.0%") and frames[-1][-1] == "25.0%"
    assert lines[-1] == "  video   OK       used"


def test_the_evidence_has_its_labels(quality_peer: Peer, video: str, capsys) -> None:
    assert main(["infer", "video_quality", "--video", video, "--url", quality_peer.url]) == 0
    out = capsys.readouterr().out
    table = "  fusion: gated\n              gate  views differ\n    detail   0.010         0.030\n"
    assert table + "    change   0.020         0.040\n" in out


def test_a_file_that_ends_early_is_told_with_its_place(quality_peer: Peer, video: str, capsys) -> None:
    quality_peer.response = quality_response(quality_outputs(PARTIAL))
    assert main(["infer", "video_quality", "--video", video, "--url", quality_peer.url]) == 0
    said = "  video   PARTIAL  used, but something was lost: the file ends early, soon after 4.9 s\n"
    assert capsys.readouterr().out.endswith(said)


def test_a_file_that_cannot_be_read_is_a_failure(quality_peer: Peer, video: str, capsys) -> None:
    quality_peer.response = quality_response(quality_outputs(CORRUPT))
    assert main(["infer", "video_quality", "--video", video, "--url", quality_peer.url]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "got video CORRUPT; send another file" in err


def test_strict_fails_with_the_state(quality_peer: Peer, video: str, capsys) -> None:
    quality_peer.response = quality_response(quality_outputs(PARTIAL))
    assert main(["infer", "video_quality", "--video", video, "--strict", "--url", quality_peer.url]) == 1
    assert "strict expects every modality sent to be OK, got video PARTIAL" in capsys.readouterr().err


def test_json_is_one_object(quality_peer: Peer, video: str, capsys) -> None:
    assert main(["infer", "video_quality", "--video", video, "--json", "--url", quality_peer.url]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["score"], answer["fusion"]["name"], len(answer["frames"])) == (66.0, "gated", 8)


def test_the_canary_is_named(quality_peer: Peer, video: str, capsys) -> None:
    command = ["infer", "video_quality", "--video", video, "--url", quality_peer.url, "--canary", "1"]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("good, 66.0 of 100  (answered by the canary)\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "infer: expected --video, got none"),
        (["--image", "{video}"], "infer: expected --video only for video_quality, got --image; leave out"),
        (
            ["--video", "{video}", "--audio", "{video}", "--sensors", "{video}"],
            "got --audio, --sensors; leave",
        ),
    ],
)
def test_options_of_another_pipeline_are_a_mistyped_command(
    words: list[str], sentence: str, video: str, capsys
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["infer", "video_quality", *(word.format(video=video) for word in words)])
    assert caught.value.code == 2 and sentence in capsys.readouterr().err


def test_status_lists_what_the_server_was_told_to_serve(peer: Peer, capsys) -> None:
    peer.served = ["weld_inspection", "video_quality"]
    assert main(["status", "--url", peer.url]) == 0
    names = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert names == [["weld_inspection", "ready"], ["video_quality", "ready"]]


def test_a_server_that_serves_none_of_ours_has_all_of_them_missing(peer: Peer, capsys) -> None:
    peer.served = []
    assert main(["status", "--url", peer.url, "--json"]) == 1
    pipelines = json.loads(capsys.readouterr().out)["pipelines"]
    assert pipelines == dict.fromkeys(PIPELINES, False) and len(pipelines) >= 4


def test_a_pipeline_that_failed_to_load_is_missed() -> None:
    index = service_pb2.RepositoryIndexResponse()
    index.models.add(name="video_quality", state="UNAVAILABLE", reason="no such engine")
    index.models.add(name="weld_inspection")
    replies: dict[str, Any] = {
        "ServerLive": service_pb2.ServerLiveResponse(live=True),
        "ServerReady": service_pb2.ServerReadyResponse(ready=True),
        "ServerMetadata": service_pb2.ServerMetadataResponse(version="2.51.0"),
        "RepositoryIndex": index,
        "ModelReady": service_pb2.ModelReadyResponse(ready=False),
    }

    class Failing:
        def send(self, step):
            return Reply(replies[step.method])

        def close(self, wait_s: float) -> bool:
            return True

    assert Client("host:1", transport=Failing()).status().pipelines == {"video_quality": False}


def a_clip(**changed: Any) -> VideoQuality:
    """Two frames of a two-minute video."""
    fields: dict[str, Any] = {
        "score": 104.0,
        "frames": (FrameQuality(0, 0.0, 90.0, 0.75), FrameQuality(3000, 120.0, 118.0, 0.25)),
        "fusion": Fusion("pyramid", (), (), np.zeros((0, 0), np.float32)),
        "status": {"video": Status.OK},
        "sent": ("video",),
        "version": "1",
    }
    return VideoQuality(**(fields | changed))


def test_bars_end_where_the_scale_ends() -> None:
    lines = quality_lines(a_clip(), "#")
    assert lines[0] == "excellent, 104.0 of 100" and lines[2].count("#") == 24
    assert [line.count("#") for line in lines if line.endswith("%")] == [22 + 12, 24 + 4]


def test_a_fusion_that_weighs_nothing_says_so() -> None:
    assert "  fusion: pyramid (weighs nothing)" in quality_lines(a_clip())


def test_unnamed_columns_are_the_frames_where_there_are_as_many() -> None:
    frames = Fusion("cross", ("detail asks",), (), np.array([[0.25, 0.75]], np.float32))
    parts = Fusion("mixture", (), (), np.array([[0.2, 0.3, 0.5]], np.float32))
    assert "    2:00        0.750" in quality_lines(a_clip(fusion=frames))
    assert "    3   0.500" in quality_lines(a_clip(fusion=parts))


@pytest.mark.parametrize(
    ("times_s", "labels"),
    [
        ([0.0, 0.04, 0.08], ["0.00 s", "0.04 s", "0.08 s"]),
        ([0.0, 2.46], ["0.0 s", "2.5 s"]),
        ([0.0, 65.2, 3723.0], ["0:00", "1:05", "1:02:03"]),
        ([3.0, 3.0], ["3.0 s", "3.0 s"]),
        ([], []),
    ],
)
def test_times_are_told_as_finely_as_they_differ(times_s: list[float], labels: list[str]) -> None:
    assert time_labels(times_s) == labels
