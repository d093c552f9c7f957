"""The served answer is PyTorch's answer, for every subset of modalities."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from crossfuse import Status

from export.budgets import budget_of
from multimodal.build import build
from multimodal.presets import PRESETS
from multimodal.weld_classes import CLASS_NAMES, MODALITIES
from serving.control import REPOSITORY
from serving.required import precision_of
from tests.end_to_end.weld_files import TOLERANCE
from training.decoding import decode_audio, decode_photos, decode_video, read_sensor

PRESET = PRESETS["weld_small"]
PIXELS = 0.05  # codecs and resizers of the two decoders round differently
# What both decoders read alike, by the precision of the encoders: 2e-4 was measured in bf16, 5e-7 in fp32.
PARITY = budget_of("weld_inspection", precision_of(REPOSITORY, "weld_inspection")).lossless_tolerance
SUBSETS = [subset for size in range(1, 5) for subset in combinations(MODALITIES, size)]


@pytest.fixture(scope="module")
def model():
    return build(PRESET, Path(__file__).parents[2] / "weights" / "weld_small.safetensors")


def reference(model, weld, subset):
    """PyTorch on the reference decoder's tensors."""
    video, _ = decode_video(weld.video, PRESET.video)
    image, photos, _, _ = decode_photos(list(weld.image), PRESET.image)
    audio, samples, _ = decode_audio(weld.audio, PRESET.audio)
    sensor, _ = read_sensor(weld.sensor, PRESET.sensor)
    arrays = {"video": video, "image": image, "audio": audio, "sensor": sensor}
    raw = {name: torch.from_numpy(np.asarray(array))[None] for name, array in arrays.items()}
    raw["audio_samples"] = torch.tensor([[int(np.asarray(samples).item())]], dtype=torch.int32)
    valid = {name: torch.tensor([[name in subset]]) for name in MODALITIES}
    valid["image"] = torch.from_numpy(np.asarray(photos))[None] & ("image" in subset)
    with torch.no_grad():
        return model(raw, valid)


def assert_same_answer(served, expected, tolerance):
    for index, name in enumerate(CLASS_NAMES):
        assert served.scores[name] == pytest.approx(float(expected.probabilities[0, index]), abs=tolerance)
    assert served.anomaly_score == pytest.approx(float(expected.anomaly_score[0]), abs=tolerance)


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_any_subset_of_modalities_is_answered_as_by_pytorch(client, welds, model, subset):
    weld = welds[1]
    served = client.infer("weld_inspection", **weld.payloads(*subset))
    expected = reference(model, weld, subset)
    decoding = PIXELS if {"video", "image"} & set(subset) else PARITY
    assert_same_answer(served, expected, decoding)
    assert {name for name, status in served.status.items() if status is Status.OK} == set(subset)
    assert all(served.status[name] is Status.ABSENT for name in set(MODALITIES) - set(subset))


def test_attention_rows_are_distributions_and_absent_modalities_get_none(client, welds):
    served = client.infer("weld_inspection", **welds[0].payloads("video", "sensor"))
    for name in ("video", "sensor"):
        assert served.attention[name].sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    for name in ("image", "audio"):
        assert not served.attention[name].any()


def test_fewer_photos_are_fewer_tokens_and_no_other_answer_than_pytorchs(client, welds, model):
    two = replace(welds[2], image=welds[2].image[:2])
    served = client.infer("weld_inspection", **two.payloads("image"))
    assert_same_answer(served, reference(model, two, ("image",)), PIXELS)
    assert len(served.image_status) == 2
    assert not served.attention["image"][:, 2:].any()


def test_sensors_as_an_array_answer_as_the_same_sensors_in_a_file(client, welds):
    rows = np.genfromtxt(
        welds[0].sensor.decode().splitlines(), delimiter=",", names=True, dtype=None, encoding=None
    )
    columns = [name for name in rows.dtype.names if name not in ("Date", "Time", "Part_No", "Remarks")]
    array = np.stack([rows[name] for name in columns], axis=1).astype(np.float32)
    from_file = client.infer("weld_inspection", sensor=welds[0].sensor)
    from_array = client.infer("weld_inspection", sensor=array)
    assert from_array.anomaly_score == pytest.approx(from_file.anomaly_score, abs=TOLERANCE)


def test_the_embedding_has_unit_length_and_the_scores_sum_to_one(client, welds):
    served = client.infer("weld_inspection", **welds[3].payloads())
    assert np.linalg.norm(served.embedding) == pytest.approx(1.0, abs=1e-5)
    assert sum(served.scores.values()) == pytest.approx(1.0, abs=1e-5)
    assert list(served.scores.values()) == sorted(served.scores.values(), reverse=True)
