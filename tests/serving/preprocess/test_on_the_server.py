"""Gate and preprocess as a two-step ensemble on the real server: what no call in this process can show."""

import re
import shutil
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

import serving
from model_repository import describe
from multimodal.presets import PRESETS
from serving.backends.dali.contract import Status
from tests.serving.preprocess.conftest import REPOSITORY
from tests.serving.preprocess.files import csv_log, npy_log, payloads, photo, recording, video

pytestmark = pytest.mark.server
PRESET = PRESETS["weld_small"]
WHOLE = payloads(video(), [photo(seed=seed) for seed in range(5)], recording(), csv_log())


def two_steps() -> describe.Model:
    """The first two steps of the weld pipeline, answering with everything that they make."""
    steps = (describe.gate(), describe.preprocess(PRESET))
    lines = ['platform: "ensemble"', "ensemble_scheduling {"]
    for model in steps:
        maps = [("input_map", tensor.name) for tensor in model.inputs]
        maps += [("output_map", tensor.name) for tensor in model.outputs]
        lines.append(f'  step [ {{ model_name: "{model.name}"  model_version: -1')
        lines += [f'    {kind} {{ key: "{name}" value: "{name}" }}' for kind, name in maps]
        lines.append("  } ]")
    sections = dict.fromkeys(describe.TARGETS, "\n".join([*lines, "}", ""]))
    outputs = (describe.PRESENT, *steps[1].outputs)
    return describe.Model(
        "weld_decoding",
        describe.PAYLOADS,
        outputs,
        sections,
        "",
        ensemble=True,
    )


def lay_out(repository: Path) -> None:
    for model in (two_steps(), describe.gate(), describe.preprocess(PRESET)):
        version = repository / model.name / "1"
        version.mkdir(parents=True)
        (version.parent / "config.pbtxt").write_text(describe.render(model, "cpu"))
    shutil.copy(REPOSITORY / "weld_small_preprocess/1/dali.py", repository / "weld_small_preprocess/1")


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
        inputs = []
        for name, tensor in request.items():
            batched = tensor if tensor.ndim == 2 else tensor[None]
            inputs.append(InferInput(name, batched.shape, np_to_triton_dtype(batched.dtype)))
            inputs[-1].set_data_from_numpy(batched)
        result = client.infer("weld_decoding", inputs)
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
