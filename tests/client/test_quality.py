"""A video's quality: what travels, how the answer is read, and whose fault it is when it cannot be."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from crossfuse import (
    PIPELINES,
    AsyncClient,
    Client,
    DegradedModality,
    FrameQuality,
    InvalidInput,
    NoUsableModality,
    ServerFault,
    Status,
    UnknownPipeline,
    VideoQuality,
)
from crossfuse._conversation import Reply
from crossfuse._payloads import InputTensor, quality_tensors
from crossfuse._presentations import PRESENTATIONS
from crossfuse._quality import grade_of, merged

from tests.client.stand_ins import (
    CORRUPT,
    PARTIAL,
    AsyncRecorded,
    Recorded,
    quality_config_response,
    quality_outputs,
    quality_response,
    refused,
)

URL = "127.0.0.1:8001"


def ask_blocking(recorded: Recorded, **options: Any) -> VideoQuality:
    with Client(URL, transport=recorded, **options) as client:
        return client.infer("video_quality", video=b"v")


def ask_awaiting(recorded: Recorded, **options: Any) -> VideoQuality:
    async def ask() -> VideoQuality:
        async with AsyncClient(URL, transport=AsyncRecorded(recorded), **options) as client:
            return await client.infer("video_quality", video=b"v")

    return asyncio.run(ask())


Ask = Callable[..., VideoQuality]
both_clients = pytest.mark.parametrize("ask", [ask_blocking, ask_awaiting])


def answered(*args: Any, config: dict[str, str] | None = None, **changed: np.ndarray) -> Recorded:
    """The outputs of `quality_outputs(*args)`, some of them changed."""
    reply = Reply(quality_response(quality_outputs(*args) | changed))
    return Recorded(reply, config=Reply(quality_config_response(**(config or {}))))


@both_clients
def test_an_answer_is_read_whole(ask: Ask) -> None:
    recorded = answered()
    clip = ask(recorded)
    assert (clip.score, clip.grade) == (66.0, "good")
    assert len(clip.frames) == 8 and sum(frame.weight for frame in clip.frames) == pytest.approx(1)
    assert clip.frames[1] == FrameQuality(7, pytest.approx(0.7), 75.0, pytest.approx(0.05))
    assert clip.status == {"video": Status.OK} and clip.usable == clip.sent == ("video",)
    assert (clip.version, clip.population, clip.pipeline) == ("3", "live", "video_quality")
    assert [step.method for step in recorded.asked] == ["ModelConfig", "ModelInfer"]


@both_clients
def test_the_fusion_says_what_its_figures_stand_for(ask: Ask) -> None:
    fusion = ask(answered()).fusion
    assert (fusion.name, fusion.rows, fusion.columns) == (
        "gated",
        ("gate", "views differ"),
        ("detail", "change"),
    )
    np.testing.assert_allclose(fusion.weights, [[0.01, 0.02], [0.03, 0.04]])


@pytest.mark.parametrize(
    ("index", "shape", "name", "rows", "columns"),
    [
        (1, (2, 8), "cross_attention", ("detail asks", "change asks"), ()),
        (2, (1, 3), "mixture_of_experts", (), ("expert 1", "expert 2", "expert 3")),
        (3, (0, 0), "pyramid", (), ()),
    ],
)
def test_every_kind_of_evidence_is_read(index, shape, name, rows, columns) -> None:
    fusion = ask_blocking(answered(0, index, shape)).fusion
    assert (fusion.name, fusion.rows, fusion.columns, fusion.weights.shape) == (name, rows, columns, shape)


def test_a_canary_answers_videos_too() -> None:
    recorded = answered()
    assert ask_blocking(recorded, canary=1.0).population == "canary"
    assert recorded.inferences[0].request.model_name == "video_quality_canary"


@both_clients
def test_a_video_that_ends_early_is_judged_and_said(ask: Ask) -> None:
    clip = ask(answered(PARTIAL))
    assert clip.score == 66.0 and clip.status == {"video": Status.PARTIAL}


@both_clients
def test_strict_refuses_a_video_that_ends_early_and_hands_the_answer_over(ask: Ask) -> None:
    with pytest.raises(
        DegradedModality,
        match=r"^video_quality: strict expects every modality sent to be OK, got video PARTIAL; "
        r"send the whole file, or accept the answer with strict=False$",
    ) as caught:
        ask(answered(PARTIAL), strict=True)
    assert caught.value.answer.score == 66.0 and caught.value.answer is caught.value.inspection


@both_clients
@pytest.mark.parametrize("strict", [False, True])
def test_a_video_that_cannot_be_read_is_always_an_error(ask: Ask, strict: bool) -> None:
    with pytest.raises(
        NoUsableModality,
        match=r"^video_quality: expected at least one usable modality, got video CORRUPT; send another file$",
    ) as caught:
        ask(answered(CORRUPT), strict=strict)
    assert caught.value.status == {"video": Status.CORRUPT} and caught.value.answer.score == 0


@both_clients
def test_a_result_becomes_plain_json(ask: Ask) -> None:
    plain = json.loads(json.dumps(ask(answered(0, 1, (2, 8))).as_dict()))
    assert (plain["score"], plain["grade"], plain["status"]) == (66.0, "good", {"video": "OK"})
    assert plain["frames"][0] == {"number": 0, "time_s": 0.0, "score": 80.0, "weight": pytest.approx(0.05)}
    assert plain["fusion"]["name"] == "cross_attention" and plain["fusion"]["columns"] == []
    assert np.shape(plain["fusion"]["weights"]) == (2, 8)


@both_clients
@pytest.mark.parametrize(
    ("recorded", "sentence"),
    [
        (
            answered(quality_score=np.ones((1, 2), np.float32)),
            r"expected output quality_score of shape \(1,\), got",
        ),
        (
            answered(frame_weights=np.ones((1, 7), np.float32)),
            r"frame_weights of shape \(8,\), got \(7,\); server",
        ),
        (answered(frame_scores=np.ones((1, 8, 1), np.float32)), r"expected output frame_scores of shape"),
        (
            answered(fusion_index=np.zeros((1, 2), np.int32)),
            r"expected output fusion_index of shape \(1,\), got",
        ),
        (
            answered(modality_status=np.array([[9]], np.int32)),
            "expected status codes 0-3, got another",
        ),
        (answered(config={"fusions": ""}), "expected the parameter fusions in its configuration, got none"),
        (answered(config={"fusions": "gated"}), "expected entry 0 of the parameter fusions as name:rows"),
        (answered(0, 4), "expected entry 4 of the parameter fusions as name:rows:columns, got 'gated:gate"),
        (answered(0, -1), "expected entry -1 of the parameter fusions"),
        (
            answered(fusion_shape=np.array([[2, 3]], np.int32)),
            r"expected evidence of gated that fits \(4, 16\) and its labels 'gate\|views differ', "
            r"'detail\|change', got \(2, 3\); server",
        ),
        (answered(fusion_shape=np.array([[5, 2]], np.int32)), r"expected evidence of gated .*got \(5, 2\)"),
        (answered(fusion_shape=np.array([[-1, 2]], np.int32)), r"expected evidence of gated .*got \(-1, 2\)"),
    ],
)
def test_an_answer_outside_the_contract_is_the_servers_fault(
    ask: Ask, recorded: Recorded, sentence: str
) -> None:
    with pytest.raises(ServerFault, match=sentence):
        ask(recorded)


@both_clients
def test_an_output_that_is_missing_is_named(ask: Ask) -> None:
    outputs = quality_outputs()
    del outputs["frame_times"]
    recorded = Recorded(Reply(quality_response(outputs)), config=Reply(quality_config_response()))
    with pytest.raises(ServerFault, match=r"expected output frame_times of shape \(8,\), got nothing"):
        ask(recorded)


@both_clients
def test_a_server_without_the_pipeline_says_so_once(ask: Ask) -> None:
    missing = refused(grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'video_quality' is not found")
    recorded = Recorded(missing, config=missing)
    with pytest.raises(
        UnknownPipeline,
        match=r"^video_quality at 127\.0\.0\.1:8001: expected an answer, got NOT_FOUND .*has not loaded it",
    ):
        ask(recorded)
    assert len(recorded.asked) == 1


@pytest.mark.parametrize("name", ["audio", "image", "sensor"])
def test_a_payload_of_another_pipeline_is_refused(name: str) -> None:
    with pytest.raises(
        InvalidInput, match=rf"^video_quality: expected payloads video, got '{name}'; leave it out$"
    ):
        Client(URL, transport=Recorded()).infer("video_quality", **{name: b"x"})


def test_a_mistyped_payload_is_answered_with_the_right_spelling() -> None:
    with pytest.raises(InvalidInput, match="got 'vidoe'; did you mean video"):
        Client(URL, transport=Recorded()).infer("video_quality", vidoe=b"x")


def test_the_video_is_all_that_travels(tmp_path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"ftyp")
    for form in (tmp_path / "clip.mp4", b"ftyp"):
        assert quality_tensors({"video": form}) == [InputTensor("video", "UINT8", (1, 4), b"ftyp")]


@pytest.mark.parametrize(
    ("payloads", "sentence"),
    [
        ({}, "video_quality: expected a video, got none; pass one"),
        ({"video": None}, "video_quality: expected a video, got none; pass one"),
        ({"video": b""}, "video: expected a recording, got an empty bytes object"),
        ({"video": "gone.mp4"}, "video: expected a readable file, got gone.mp4"),
        ({"video": 7}, "video: expected a path or the file's bytes, got int"),
    ],
)
def test_what_cannot_be_sent_is_refused(payloads: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{sentence}"):
        quality_tensors(payloads)


def test_a_grade_is_a_fifth_of_the_scale() -> None:
    scores = (-3, 0, 19.9, 20, 40, 60, 79.9, 80, 100, 104)
    grades = ["bad", "bad", "bad", "poor", "fair", "good", "good", "excellent", "excellent", "excellent"]
    assert [grade_of(score) for score in scores] == grades


def test_a_frame_that_was_sampled_twice_is_one_frame_with_both_weights() -> None:
    frames = [
        FrameQuality(0, 0.0, 50.0, 0.2),
        FrameQuality(0, 0.0, 70.0, 0.3),
        FrameQuality(1, 0.1, 80.0, 0.5),
    ]
    assert merged(frames) == [FrameQuality(0, 0.0, 60.0, 0.5), FrameQuality(1, 0.1, 80.0, 0.5)]


def test_every_pipeline_has_its_lines_and_its_picture() -> None:
    assert set(PRESENTATIONS) == set(PIPELINES)
