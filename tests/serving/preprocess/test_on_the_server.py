"""Gate and preprocess as a two-step ensemble on the real server: what no call in this process can show."""

import re
import shutil
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc import InferenceServerClient, InferInput, model_config_pb2
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

import serving
from model_repository import weld_models
from model_repository.configuration import TARGETS, Model, ensemble_section, render
from multimodal.presets import PRESETS
from serving.backends.dali.contract import Status
from tests.serving.preprocess.conftest import REPOSITORY
from tests.serving.preprocess.files import csv_log, npy_log, payloads, photo, recording, video

pytestmark = pytest.mark.server
PRESET = PRESETS["weld_small"]
WHOLE = payloads(video(), [photo(seed=seed) for seed in range(5)], recording(), csv_log())


def two_steps() -> Model:
    """The first two steps of the weld pipeline, answering with everything that they make."""
    steps = (weld_models.gate(), weld_models.preprocess(PRESET))
    return Model(
        "weld_decoding",
        weld_models.PAYLOADS,
        (weld_models.PRESENT, *steps[1].outputs),
        dict.fromkeys(TARGETS, ensemble_section(steps)),
        "",
        ensemble=True,
    )


def lay_out(repository: Path) -> None:
    for model in (two_steps(), weld_models.gate(), weld_models.preprocess(PRESET)):
        version = repository / model.name / "1"
        version.mkdir(parents=True)
        (version.parent / "config.pbtxt").write_text(render(model, "cpu"))
    shutil.copy(REPOSITORY / "weld_small_preprocess/1/dali.py", repository / "weld_small_preprocess/1")


def tensors(request: dict[str, np.ndarray]) -> list[InferInput]:
    inputs = []
    for name, tensor in request.items():
        batched = tensor if tensor.ndim == 2 else tensor[None]
        inputs.append(InferInput(name, batched.shape, np_to_triton_dtype(batched.dtype)))
        inputs[-1].set_data_from_numpy(batched)
    return inputs


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("repository")
    lay_out(repository)
    with serving.running(pipelines=["weld_decoding"], repository=repository) as address:
        yield address
    assert not list(repository.rglob("__pycache__")), "a backend wrote into the model repository"


@pytest.fixture(scope="module")
def ask(server):
    client = InferenceServerClient(server.grpc)

    def call(request: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        result = client.infer("weld_decoding", tensors(request))
        return {output.name: result.as_numpy(output.name)[0] for output in result.get_response().outputs}

    yield call
    client.close()


def test_a_whole_request_is_decoded_as_in_this_process(ask, read):
    answer = ask(WHOLE)
    assert answer.pop("present").tolist() == [True] * 4
    (here,) = read(WHOLE)
    assert answer.keys() == here.keys()
    for name, tensor in here.items():
        assert np.array_equal(answer[name], tensor), name


def test_every_subset_of_modalities_is_answered(ask):
    for subset in range(1, 16):
        chosen = [bool(subset >> place & 1) for place in range(4)]
        keep = dict(zip(("video", "image", "audio", "sensor"), chosen, strict=True))
        keep["image_sizes"] = keep["image"]
        answer = ask({name: tensor if keep[name] else tensor[:0] for name, tensor in WHOLE.items()})
        assert answer["present"].tolist() == chosen
        assert answer["modality_status"].tolist() == [Status.OK if came else Status.ABSENT for came in chosen]


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (
            payloads(),
            "request: expected at least one of video, image, audio, sensor, got only empty payloads",
        ),
        (payloads(video=b"hello"), "video: expected RIFF AVI, MP4/MOV"),
        (payloads(sensor=b"a,b\n1,2\n"), "sensor: expected CSV columns Pressure"),
        (
            WHOLE | {"image_sizes": np.array([3])},
            "image: expected image_sizes that sum to the length of image",
        ),
        (
            {name: np.stack([tensor] * 2) for name, tensor in WHOLE.items()},
            "expected one payload per request",
        ),
    ],
)
def test_a_refusal_is_an_invalid_argument_with_its_sentence(ask, request_, sentence):
    with pytest.raises(InferenceServerException) as caught:
        ask(request_)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert sentence in caught.value.message()


def test_good_requests_beside_refused_and_broken_ones_get_their_own_bits(ask, read):
    broken = payloads(audio=recording()[:3000], sensor=npy_log())
    refused = payloads(audio=b"junk")
    (good_here,), (broken_here,) = read(WHOLE), read(broken)

    def one(number: int) -> bool:
        if number % 4 == 3:
            with pytest.raises(InferenceServerException, match="audio: expected FLAC"):
                ask(refused)
            return True
        expected = broken_here if number % 4 == 1 else good_here
        answer = ask(broken if number % 4 == 1 else WHOLE)
        return all(np.array_equal(answer[name], tensor) for name, tensor in expected.items())

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(one, range(48)))


def test_refusals_are_counted_by_modality(ask, server):
    def counted() -> float:
        text = urllib.request.urlopen(server.metrics, timeout=10).read().decode()
        pattern = r'crossfuse_refused_requests\{[^}]*modality="video"[^}]*\} (\d+)'
        return float(re.search(pattern, text)[1])

    before = counted()
    with pytest.raises(InferenceServerException):
        ask(payloads(video=b"hello"))
    assert counted() == before + 1


def outcomes(server: serving.Address) -> Counter:
    """(version, modality, status) -> payloads, as the metrics page has it."""
    page = urllib.request.urlopen(server.metrics, timeout=10).read().decode()
    lines = re.findall(r"^crossfuse_modality_status_total\{(.*)\} (\d+)$", page, re.MULTILINE)
    series = [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), int(count)) for labels, count in lines]
    assert {labels["model"] for labels, _ in series} == {"weld_small_preprocess"}
    return Counter({(one["version"], one["modality"], one["status"]): count for one, count in series})


def test_what_became_of_every_payload_is_counted(ask, server):
    before = outcomes(server)
    assert {status for _, _, status in before} == {"ok", "absent", "partial", "corrupt"}
    ask(WHOLE)
    ask(payloads(audio=recording()[:3000], sensor=csv_log()))
    assert outcomes(server) - before == {
        ("1", "video", "ok"): 1,
        ("1", "video", "absent"): 1,
        ("1", "image", "ok"): 1,
        ("1", "image", "absent"): 1,
        ("1", "audio", "ok"): 1,
        ("1", "audio", "corrupt"): 1,
        ("1", "sensor", "ok"): 2,
    }


def test_two_versions_at_once_keep_counts_of_their_own(ask, server):
    model = Path(server.state().repository, "weld_small_preprocess")
    shutil.copytree(model / "1", model / "2")
    config = text_format.Parse((model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    config.version_policy.specific.versions.extend([1, 2])
    client = InferenceServerClient(server.grpc)
    client.load_model(model.name, config=json_format.MessageToJson(config, preserving_proto_field_name=True))
    before = outcomes(server)
    inputs = tensors(payloads(sensor=csv_log()) | {"present": np.array([[False, False, False, True]])})
    for version, times in (("1", 1), ("2", 3)):
        for _ in range(times):
            client.infer(model.name, inputs, model_version=version)
    client.close()
    counted = outcomes(server) - before
    assert counted["1", "sensor", "ok"] == 1
    assert counted["2", "sensor", "ok"] == 3
    assert counted.total() == (1 + 3) * 4
