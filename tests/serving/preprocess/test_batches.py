import logging
from functools import cache

import numpy as np
import pytest

from multimodal.presets import PRESETS
from multimodal.weld_classes import MODALITIES
from serving.backends.dali.contract import Contract, Status
from serving.backends.dali.preprocess import Preprocessor
from tests.serving.preprocess.conftest import REPOSITORY, committed_contract, pipelines_of
from tests.serving.preprocess.files import (
    csv_log,
    npy_log,
    payloads,
    photo,
    picture,
    recording,
    rows,
    sine,
    video,
)


@cache  # the H.264 encoder does not write the same file twice
def weld(seed: int) -> dict[str, np.ndarray]:
    images = [np.asarray(picture(64, 48, 100 * seed + number)) for number in range(8)]
    return payloads(
        video=video(images=images),
        images=[photo(seed=seed + number) for number in range(1 + seed % 5)],
        audio=recording(waveform=(0.1 + 0.1 * seed) * sine(seconds=1 + 0.1 * seed)),
        sensor=csv_log(rows(30 + seed, seed)) if seed % 2 else npy_log(rows(30 + seed, seed)),
    )


def spoiled(request: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    halves = {name: request[name][: request[name].size // 2] for name in ("video", "audio", "sensor")}
    halves["sensor"] = np.frombuffer(b"no log", np.uint8)
    first = int(request["image_sizes"][0])
    photos = np.concatenate([request["image"][: first // 2], request["image"][first:]])
    sizes = np.array([first // 2, *request["image_sizes"][1:]])
    return halves | {"image": photos, "image_sizes": sizes}


def assert_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert np.array_equal(one[name], other[name]), name


def test_seven_neighbours_of_a_spoiled_request_get_the_bits_they_would_have_got_alone(read):
    requests = [weld(seed) for seed in range(8)]
    requests[3] = spoiled(requests[3])
    answers = read(*requests)
    for request, answer in zip(requests, answers, strict=True):
        assert_equal(answer, read(request)[0])
    assert answers[3]["modality_status"].tolist() == [3, 2, 3, 3]
    healthy = [answer for row, answer in enumerate(answers) if row != 3]
    assert all(answer["modality_status"].tolist() == [0, 0, 0, 0] for answer in healthy)


def test_the_batch_after_a_spoiled_one_is_fine(read):
    before = read(weld(1), weld(2))
    read(spoiled(weld(1)), weld(2))
    for one, other in zip(read(weld(1), weld(2)), before, strict=True):
        assert_equal(one, other)


def test_a_batch_in_which_everything_is_spoiled_is_answered(read):
    answers = read(*[spoiled(weld(0)) for _ in range(8)])
    assert [answer["modality_status"].tolist() for answer in answers] == [[3, 3, 3, 3]] * 8


@pytest.mark.parametrize("column", range(4))
def test_an_absent_modality_is_zeros_and_says_so_in_a_mixed_batch(read, column):
    name = MODALITIES[column]
    without = weld(1) | {name: np.zeros(0, np.uint8)}
    without |= {"image_sizes": np.zeros(0, np.int64)} if name == "image" else {}
    answer, full = read(without, weld(1))
    assert answer["modality_status"].tolist() == [Status.ABSENT if row == column else 0 for row in range(4)]
    assert full["modality_status"].tolist() == [0, 0, 0, 0]
    assert not answer[f"{name}_valid"].any()
    decoded = {
        "video": "video_frames",
        "image": "image_pixels",
        "audio": "audio_waveform",
        "sensor": "sensor_series",
    }
    assert not answer[decoded[name]].any()


def test_every_output_has_the_shape_and_type_of_the_contract(read, read_base):
    for reader in (read, read_base):
        for answer in reader(weld(4), payloads(sensor=csv_log())):
            assert answer.keys() == reader.contract.outputs.keys()
            for name, (shape, dtype) in reader.contract.outputs.items():
                assert (answer[name].shape, answer[name].dtype) == (shape, np.dtype(dtype)), name


def test_the_contract_has_the_sizes_of_the_preset():
    for preset in (PRESETS["weld_small"], PRESETS["weld_base"]):
        contract = committed_contract(f"{preset.name}_preprocess")
        assert contract.modalities == MODALITIES
        assert contract.dims("video") == (preset.video.frames, preset.video.size_px, preset.video.size_px, 3)
        assert contract.dims("audio") == (preset.audio.samples,)
        assert contract.audio_rate_hz == preset.audio.sample_rate_hz


def test_both_presets_carry_the_same_pipelines():
    texts = {
        (REPOSITORY / f"{name}_preprocess/1/dali.py").read_text() for name in ("weld_small", "weld_base")
    }
    assert len(texts) == 1


def test_a_surprise_in_one_decoder_is_that_requests_own(read, monkeypatch, caplog):
    from serving.backends.dali import sensors

    real = sensors.read

    def surprising(payload, columns, steps):
        if payload.size == 3:
            raise MemoryError("of a hostile file")
        return real(payload, columns, steps)

    monkeypatch.setattr(sensors, "read", surprising)
    with caplog.at_level(logging.WARNING):
        bad, good = read(payloads(sensor=b"abc"), payloads(sensor=csv_log()))
    assert (bad["modality_status"][3], good["modality_status"][3]) == (Status.CORRUPT, Status.OK)
    assert "sensor is corrupt: MemoryError: of a hostile file" in caplog.text


def test_the_same_backend_serves_a_pipeline_of_video_alone():
    outputs = {"video_frames": ((4, 32, 32, 3), np.uint8), "modality_status": ((1,), np.int32)}
    preprocess = Preprocessor(Contract(("video",), outputs), pipelines_of("weld_small_preprocess"))
    (answer,) = preprocess([{"video": weld(1)["video"]}], np.array([[True]]))
    preprocess.close()
    assert answer.keys() == outputs.keys()
    assert answer["video_frames"].shape == (4, 32, 32, 3)
    assert answer["modality_status"].tolist() == [Status.OK]


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        ({}, "preprocess: expected an output 'video_frames', got none; add it to the config"),
        (
            {"video_frames": ((4, 32, 32, 3), np.uint8)},
            "preprocess: expected an output 'modality_status', got none; add it to the config",
        ),
        (
            {"video_frames": ((4, 32, 30, 3), np.uint8), "modality_status": ((1,), np.int32)},
            r"video_frames: expected dims \[n, size, size, 3\], got",
        ),
    ],
)
def test_a_contract_that_cannot_be_kept_is_refused(outputs, sentence):
    with pytest.raises(ValueError, match=sentence):
        Contract(("video",), outputs)
