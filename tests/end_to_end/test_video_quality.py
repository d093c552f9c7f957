"""A video in, its quality out, on a server that serves the welds beside it."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from crossfuse import AsyncClient, Client, CrossfuseError, InvalidInput, NoUsableModality
from crossfuse import Status as State
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

import serving
from export.golden_network import Network
from export.golden_videos import VideoItem, VideoSet
from multimodal.quality_presets import QUALITY_PRESETS
from tests.serving.preprocess.files import picture, video
from training.decoding import Status
from training.quality_clips.scenes import dead_leaves

PRESET = QUALITY_PRESETS["video_quality_small"]
WEIGHTS = Path(__file__).parents[2] / "weights" / f"{PRESET.name}.safetensors"
REQUESTS = 64
PARITY = 2e-3  # points of 100: engines round differently in batches of other sizes
DECODERS = 1.0  # points of 100: whole frames are scaled by another library, fragments are equal to the bit
Answer = dict[str, np.ndarray]


def film(frames: int = 30, size: tuple[int, int] = (320, 240), blur: int = 1) -> list[np.ndarray]:
    """A flight over fallen leaves, four pixels a frame; blur: how many pixels become one."""
    width, height = size
    ground = dead_leaves(np.random.default_rng(7))[:height:blur, :].repeat(blur, axis=0)
    ground = np.tile(ground[:, ::blur].repeat(blur, axis=1), (1, 3, 1))
    return [np.ascontiguousarray(ground[:height, 4 * n : 4 * n + width]) for n in range(frames)]


def part_of_avi() -> bytes:
    data = video("mjpeg", "avi", images=film(), size=(320, 240))
    return data[: len(data) * 6 // 10]


CLIPS: dict[str, Callable[[], bytes]] = {
    "H.264": lambda: video(images=film(), size=(320, 240)),
    "VP9": lambda: video("libvpx-vp9", "webm", images=film(12, (176, 144)), size=(176, 144)),
    "MPEG-4": lambda: video("mpeg4", "avi", images=film(40), size=(320, 240)),
    "blurred": lambda: video(images=film(blur=8), size=(320, 240)),
    "portrait": lambda: video(images=film(9, (144, 256)), size=(144, 256)),
    "one frame": lambda: video(frames=1, size=(64, 48)),
    "smaller than a patch": lambda: video(
        size=(24, 20), images=[np.asarray(picture(24, 20, seed)) for seed in range(9)]
    ),
    "ends early": part_of_avi,
    "no index": lambda: video()[:-500],
}
CORRUPT = ("no index",)
PARTIAL = ("ends early",)


@pytest.fixture(scope="module")
def clips() -> dict[str, bytes]:
    return {name: made() for name, made in CLIPS.items()}


@pytest.fixture(scope="module")
def both(exported, exported_quality) -> Iterator[serving.Address]:
    """What `python -m serving start` serves after both exports."""
    assert exported == exported_quality
    with serving.running(repository=exported) as address:
        assert {"weld_inspection", "video_quality"} <= set(address.state().pipelines)
        yield address


@pytest.fixture(scope="module")
def ask(both) -> Iterator[Callable[[bytes], Answer]]:
    """Every tensor of an answer, whatever its status."""
    with InferenceServerClient(both.grpc) as client:

        def call(data: bytes) -> Answer:
            tensor = InferInput("video", [1, len(data)], "UINT8")
            tensor.set_data_from_numpy(np.frombuffer(data, np.uint8)[None])
            result = client.infer("video_quality", [tensor])
            return {output.name: result.as_numpy(output.name)[0] for output in result.get_response().outputs}

        yield call


@pytest.fixture(scope="module")
def expected(clips) -> dict[str, Answer]:
    """PyTorch on the reference decoder's tensors."""
    items = [VideoItem(name, data) for name, data in clips.items()]
    answers = VideoSet().answers(items, Network(PRESET.name, WEIGHTS, ""))
    return dict(zip(clips, answers, strict=True))


@pytest.mark.parametrize("name", CLIPS)
def test_the_served_answer_is_pytorchs(ask, clips, expected, name):
    served, reference = ask(clips[name]), expected[name]
    assert served.keys() == reference.keys()
    for tensor in ("modality_status", "frame_numbers", "frame_times", "fusion_shape", "fusion_index"):
        assert np.array_equal(served[tensor], reference[tensor]), tensor
    for tensor in ("quality_score", "frame_scores"):
        assert served[tensor] == pytest.approx(reference[tensor], abs=DECODERS), tensor
    for tensor in ("frame_weights", "fusion_weights"):
        assert served[tensor] == pytest.approx(reference[tensor], abs=0.02), tensor


def test_a_whole_clip_says_which_frames_it_was_judged_on(ask, clips):
    answer = ask(clips["H.264"])
    assert answer["modality_status"].tolist() == [Status.OK]
    assert answer["frame_numbers"].tolist() == [0, 4, 8, 12, 16, 20, 24, 28]
    assert answer["frame_times"] == pytest.approx(answer["frame_numbers"] / 10, abs=1e-4)
    assert answer["frame_weights"].sum() == pytest.approx(1, abs=1e-5)
    assert answer["quality_score"].tolist() != ask(clips["blurred"])["quality_score"].tolist()


def test_a_video_of_one_frame_is_that_frame_eight_times(ask, clips):
    answer = ask(clips["one frame"])
    assert answer["modality_status"].tolist() == [Status.OK]
    assert not answer["frame_numbers"].any()
    assert np.ptp(answer["frame_scores"]) == pytest.approx(0, abs=PARITY)
    assert answer["frame_weights"] == pytest.approx(1 / 8, abs=1e-4)


def test_a_video_that_ends_early_is_answered_and_called_partial(ask, clips, both):
    answer = ask(clips["ends early"])
    assert answer["modality_status"].tolist() == [Status.PARTIAL]
    assert 10 < answer["frame_numbers"][-1] < 20
    with Client(both.grpc) as client:
        assert client.infer("video_quality", video=clips["ends early"]).status == {"video": State.PARTIAL}


def test_a_video_that_does_not_decode_is_zeros_and_called_corrupt(ask, clips, both):
    answer = ask(clips["no index"])
    assert answer.pop("modality_status").tolist() == [Status.CORRUPT]
    assert not any(tensor.any() for tensor in answer.values())
    with Client(both.grpc) as client, pytest.raises(NoUsableModality, match="video"):
        client.infer("video_quality", video=clips["no index"])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"not a video at all", "video: expected RIFF AVI, MP4/MOV .* got a file that starts with 6e 6f 74"),
        (b"", "video: expected the bytes of a file, got an empty payload; send a whole file"),
    ],
)
def test_what_is_no_video_is_refused_by_the_gate(ask, data, sentence):
    with pytest.raises(InferenceServerException, match=sentence) as caught:
        ask(data)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


async def outcome(client: AsyncClient, data: bytes):
    try:
        return await client.infer("video_quality", video=data)
    except CrossfuseError as error:
        return error


async def ask_together(url: str, videos: list[bytes]) -> list:
    async with AsyncClient(url, timeout_s=300) as client:
        return await asyncio.gather(*(outcome(client, data) for data in videos))


def test_sixty_four_mixed_requests_get_what_they_would_have_got_alone(both, clips):
    kinds = {**clips, "no video": b"not a video at all"}
    names = [list(kinds)[index % len(kinds)] for index in range(REQUESTS)]
    alone = {name: asyncio.run(ask_together(both.grpc, [data]))[0] for name, data in kinds.items()}
    together = asyncio.run(ask_together(both.grpc, [kinds[name] for name in names]))
    for name, answer in zip(names, together, strict=True):
        if isinstance(alone[name], CrossfuseError):
            assert (type(answer), str(answer)) == (type(alone[name]), str(alone[name]))
            continue
        assert not isinstance(answer, CrossfuseError), f"{name}: {answer}"
        assert answer.status == alone[name].status
        assert answer.score == pytest.approx(alone[name].score, abs=PARITY), name
        assert [frame.number for frame in answer.frames] == [frame.number for frame in alone[name].frames]
    refused = [type(answer) for answer in together if isinstance(answer, CrossfuseError)]
    assert refused.count(NoUsableModality) == names.count("no index") == 6
    assert refused.count(InvalidInput) == names.count("no video") == 6


def test_a_weld_is_still_inspected_by_the_same_server(both, welds):
    with Client(both.grpc) as client:
        assert set(client.infer("weld_inspection", **welds[0].payloads()).status.values()) == {State.OK}
