"""The gate of video quality is that of the welds with other parameters: no photos, no sizes, one column."""

import numpy as np
import pytest

from serving.backends.gate.payloads import Limits, Refused, presence
from tests.serving.preprocess import files

LIMITS = Limits.from_parameters({"modalities": "video", "video_max_bytes": "100000"})


def one(data: bytes) -> dict[str, np.ndarray]:
    return {"video": np.frombuffer(data, np.uint8)[None]}


def refusal(tensors: dict[str, np.ndarray]) -> Refused:
    with pytest.raises(Refused) as caught:
        presence(tensors, LIMITS)
    return caught.value


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", "mp4"), ("mjpeg", "avi"), ("libvpx-vp9", "webm")])
def test_a_video_is_present(codec, suffix):
    assert presence(one(files.video(codec, suffix, frames=2)), LIMITS).tolist() == [[True]]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "video: expected the bytes of a file, got an empty payload; send a whole file"),
        (
            b"hello",
            "video: expected RIFF AVI, MP4/MOV (ftyp) or Matroska/WebM (EBML), got a file that starts with "
            "68 65 6c 6c 6f; send the bytes of a whole video file",
        ),
        (
            b"\x1a\x45\xdf\xa3" + bytes(100_000),
            "video: expected at most 100000 bytes, got 100004 bytes; shorten or compress the recording",
        ),
    ],
)
def test_a_refusal_speaks_of_the_video_alone(data, sentence):
    refused = refusal(one(data))
    assert (str(refused), refused.modality) == (sentence, "video")


def test_two_videos_in_one_request_are_refused():
    two = {"video": np.zeros((2, 9), np.uint8)}
    assert str(refusal(two)).startswith("video: expected one payload per request (batch 1), got shape 2x9;")
