"""The job of all peers is PyTorch's answer to the reference decoder's tensors, for any subset and batch."""

import json
from itertools import combinations

import numpy as np
import pytest
import torch

from benchmarks.peers import settings
from benchmarks.peers.checking import PARTS, differences, precision_of, served_engines
from benchmarks.peers.job import WEIGHTS, Job
from benchmarks.peers.settings import SAME_ENGINES, EngineFile, Settings
from benchmarks.peers.wire import LAYOUT, PRESET, files_of, unpacked
from export.tolerances import tolerance_of
from multimodal.build import build
from multimodal.weld_classes import MODALITIES
from training.decoding import Status, decode_audio, decode_photos, decode_video, read_sensor

SUBSETS = [subset for size in (1, 2, 4) for subset in combinations(MODALITIES, size)]
TOLERANCE = 2e-5  # rows beside each other are rounded in another order


@pytest.fixture(scope="module")
def job():
    return Job(Settings(port=0))


@pytest.fixture(scope="module")
def model():
    return build(PRESET, WEIGHTS)


def asked(job, *requests):
    return [unpacked(reply) for reply in job.answer([files_of(each) for each in requests])]


def by_the_model(model, weld):
    """PyTorch on the reference decoder's tensors, all rows computed."""
    video, _ = decode_video(weld.get("video", b""), PRESET.video)
    image, photos, _, _ = decode_photos(weld.get("image", []), PRESET.image)
    audio, samples, _ = decode_audio(weld.get("audio", b""), PRESET.audio)
    sensor, _ = read_sensor(weld.get("sensor", b""), PRESET.sensor)
    arrays = {"video": video, "image": image, "audio": audio, "sensor": sensor}
    raw = {name: torch.from_numpy(array)[None] for name, array in arrays.items()}
    raw["audio_samples"] = torch.tensor([[samples]], dtype=torch.int32)
    valid = {name: torch.tensor([[name in weld]]) for name in MODALITIES}
    valid["image"] = torch.from_numpy(photos)[None]
    with torch.no_grad():
        return model(raw, valid)


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_any_subset_is_answered_as_by_the_whole_model(job, model, weld_payloads, subset):
    weld = {name: weld_payloads[1][name] for name in subset}
    answer, expected = asked(job, weld)[0], by_the_model(model, weld)
    assert answer["probabilities"] == pytest.approx(expected.probabilities[0].numpy(), abs=TOLERANCE)
    assert answer["anomaly_score"] == pytest.approx(expected.anomaly_score.numpy(), abs=TOLERANCE)
    assert answer["embedding"] == pytest.approx(expected.features[0].numpy(), abs=TOLERANCE)
    for name in MODALITIES:
        attention = expected.attention[name][0].numpy()
        assert answer[f"{name}_attention"] == pytest.approx(attention, abs=TOLERANCE)
    absent = [Status(status) is Status.ABSENT for status in answer["modality_status"]]
    assert absent == [name not in subset for name in MODALITIES]


def test_rows_of_a_batch_are_answered_as_alone_whatever_lies_beside_them(job, weld_payloads):
    good, bad = weld_payloads
    requests = [good, {"sensor": bad["sensor"]}, bad, {"image": good["image"][:2]}, {"audio": good["audio"]}]
    together = asked(job, *requests)
    for request, answer in zip(requests, together, strict=True):
        alone = asked(job, request)[0]
        for name in LAYOUT:
            assert answer[name] == pytest.approx(alone[name], abs=TOLERANCE), name


def test_more_than_a_batch_is_answered_in_order(job, weld_payloads):
    requests = [{"sensor": weld_payloads[number % 2]["sensor"]} for number in range(11)]
    scores = [float(answer["anomaly_score"][0]) for answer in asked(job, *requests)]
    assert scores == pytest.approx(scores[:2] * 5 + scores[:1], abs=TOLERANCE)
    assert abs(scores[0] - scores[1]) > 10 * TOLERANCE


def test_a_corrupt_file_is_a_status_and_harms_nobody(job, weld_payloads):
    broken = weld_payloads[0] | {"audio": b"not a sound"}
    answers = asked(job, weld_payloads[1], broken)
    alone = asked(job, weld_payloads[1])[0]
    assert answers[1]["modality_status"].tolist() == [0, 0, Status.CORRUPT, 0]
    assert answers[0]["probabilities"] == pytest.approx(alone["probabilities"], abs=TOLERANCE)


@pytest.mark.slow
def test_the_engines_that_we_serve_answer_as_pytorch(job, exported_welds, weld_payloads):
    engines = served_engines(exported_welds)
    assert tuple(engines) == PARTS and all(file.path.startswith("/") for file in engines.values())
    same = Job(Settings(port=0, variant=SAME_ENGINES, engines=engines))
    requests = [*weld_payloads, {"image": weld_payloads[0]["image"]}]
    for ours, theirs in zip(asked(same, *requests), asked(job, *requests), strict=True):
        for name in LAYOUT:
            allowed = tolerance_of(name, precision_of(engines))
            assert ours[name] == pytest.approx(theirs[name], abs=allowed.atol, rel=allowed.rtol), name


def test_another_answer_than_pytorchs_is_another_job():
    expected = np.array([[0.2, 0.8, 0.5]], np.float32)
    widths = {"probabilities": 2, "anomaly_score": 1}
    near = differences(expected + np.float32(1e-6), expected, widths, "fp32")
    assert near == pytest.approx({"probabilities": 1e-6, "anomaly_score": 1e-6}, rel=0.1)
    with pytest.raises(ValueError, match=r"^anomaly_score: expected PyTorch's answer .* another job"):
        differences(expected + np.array([[0, 0, 0.01]], np.float32), expected, widths, "fp32")


def test_settings_travel_through_the_environment(monkeypatch):
    engines = {"video": EngineFile("a.onnx", "openvino", "bf16")}
    told = Settings(8123, SAME_ENGINES, 2, 1, engines=engines)
    monkeypatch.setenv(settings.VARIABLE, told.to_json())
    assert settings.from_environment() == told
    monkeypatch.delenv(settings.VARIABLE)
    with pytest.raises(LookupError, match=r"found none; run `python -m benchmarks peers`"):
        settings.from_environment()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"variant": "tensorflow"}, "expected one of torch, same-engines, got tensorflow"),
        ({"workers": 0}, "expected at least one worker"),
        ({"variant": SAME_ENGINES}, "expected engine files, got none; run `python -m export weld_small`"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        Settings(**json.loads(Settings(1).to_json()) | wrong)
