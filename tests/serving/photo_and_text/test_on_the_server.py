"""Gate, preprocess and tokenizer of both image-text pipelines on the real server, all rows mixed."""

import re
import shutil
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

import serving
from model_repository import vision_language_models, visual_question_models
from model_repository.configuration import TARGETS, Model, ensemble_section, render
from model_repository.photo_and_text import PRESENT
from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS
from serving.backends.dali.contract import Status
from tests.serving.photo_and_text.words import TEXTS, encoded, tokenizer, write
from tests.serving.preprocess.conftest import REPOSITORY
from tests.serving.preprocess.files import photo
from training.photo_text_decoding import TextReader, decode_pair

pytestmark = pytest.mark.server
PIPELINES = {"text": vision_language_models, "question": visual_question_models}
LENGTHS = {
    "text": VISION_LANGUAGE_PRESETS["vision_language_small"].words.tokens,
    "question": VISUAL_QUESTION_PRESETS["visual_question_answering_small"].question_length,
}
SIZES_PX = {
    "text": VISION_LANGUAGE_PRESETS["vision_language_small"].photo.size_px,
    "question": VISUAL_QUESTION_PRESETS["visual_question_answering_small"].image_px,
}
READERS = {name: TextReader(tokenizer(), length) for name, length in LENGTHS.items()}
CUT = photo()[:700]


def steps_of(models: ModuleType) -> tuple[Model, Model, Model]:
    preset = models.PRESET_OF_TARGET["cpu"]
    presets = VISION_LANGUAGE_PRESETS | VISUAL_QUESTION_PRESETS
    preprocess, tokens, *_ = models.preset_models(presets[preset])
    return models.gate(), preprocess, tokens


def lay_out(repository: Path, name: str) -> str:
    """The first three steps of a pipeline, in an ensemble that answers with everything that they make."""
    models = PIPELINES[name]
    _, preprocess, tokens = steps = steps_of(models)
    outputs = (PRESENT, *preprocess.outputs, *tokens.outputs)
    sections = dict.fromkeys(TARGETS, ensemble_section(steps))
    ensemble = Model(f"{name}_reading", models.REQUESTS.payloads, outputs, sections, "", ensemble=True)
    for model in (ensemble, *steps):
        version = repository / model.name / "1"
        version.mkdir(parents=True)
        (version.parent / "config.pbtxt").write_text(render(model, "cpu"))
    shutil.copy(REPOSITORY / preprocess.name / "1/dali.py", repository / preprocess.name / "1")
    write(repository / tokens.name / "1/tokenizer.json", LENGTHS[name])
    return ensemble.name


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("repository")
    names = [lay_out(repository, name) for name in PIPELINES]
    with serving.running(pipelines=names, repository=repository) as address:
        yield address
    assert not list(repository.rglob("__pycache__")), "a backend wrote into the model repository"


@pytest.fixture(scope="module")
def ask(server):
    client = InferenceServerClient(server.grpc)

    def call(name: str, image: bytes, text: str | bytes) -> dict[str, np.ndarray]:
        inputs = []
        for key, payload in {"image": encoded(image), name: encoded(text)}.items():
            inputs.append(InferInput(key, (1, payload.size), np_to_triton_dtype(payload.dtype)))
            inputs[-1].set_data_from_numpy(payload[None])
        result = client.infer(f"{name}_reading", inputs)
        return {output.name: result.as_numpy(output.name)[0] for output in result.get_response().outputs}

    yield call
    client.close()


def check(answer: dict[str, np.ndarray], name: str, image: bytes, text: str | bytes) -> None:
    """Every tensor of an answer is what the reference makes of the two payloads."""
    data = text.encode() if isinstance(text, str) else text
    pair = decode_pair(image, data, SIZES_PX[name], READERS[name])
    assert answer["present"].tolist() == [bool(image), bool(text)]
    assert (answer["image_status"][0], answer[f"{name}_status"][0]) == (pair.photo, pair.text.status)
    assert (answer["image_valid"][0], answer[f"{name}_valid"][0]) == (
        pair.photo.usable,
        pair.text.status.usable,
    )
    assert np.abs(answer["image_pixels"].astype(int) - pair.pixels).max() <= 1
    assert np.array_equal(answer["input_ids"], pair.text.input_ids)
    assert np.array_equal(answer["attention_mask"], pair.text.attention_mask)


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_and_a_text_arrive_as_in_the_reference(ask, name, kind):
    data = photo(kind)
    check(ask(name, data, "What color is the circle?"), name, data, "What color is the circle?")


@pytest.mark.parametrize(("image", "text"), [(b"", "red"), (photo(), ""), (CUT, ""), (CUT, "red")])
def test_one_of_two_is_a_request_like_any_other(ask, image, text):
    check(ask("text", image, text), "text", image, text)


@pytest.mark.parametrize(
    ("name", "image", "text", "sentence"),
    [
        ("text", b"", "", "request: expected at least one of image, text, got only empty payloads"),
        ("text", photo(), b"red \xff", "text: expected UTF-8 text, got byte 0xff at 4; encode the text"),
        ("text", b"", " \n", "text: expected a visible character, got 2 blank characters; send a text"),
        ("text", b"", "x" * 4097, "text: expected at most 4096 bytes, got 4097 bytes; shorten the text"),
        ("text", b"GIF89a", "red", "image: expected JPEG, PNG or WebP, got a file that starts with 47 49"),
        ("question", b"", "red?", "image: expected image and question in every request, got an empty"),
        ("question", photo(), "", "question: expected image and question in every request, got an empty"),
    ],
)
def test_a_refusal_is_an_invalid_argument_with_its_sentence(ask, name, image, text, sentence):
    with pytest.raises(InferenceServerException) as caught:
        ask(name, image, text)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert sentence in caught.value.message()


MIXED = (
    (photo(seed=1), "What color is the circle?"),
    (CUT, "red"),
    (photo("PNG", seed=2), "the " * 900),
    (photo("WEBP", seed=3), "\u0301"),
    (b"\x89PNG\r\n\x1a\n", "مر"),
    (photo(seed=4), TEXTS["emoji"]),
)
LONE = ((photo(seed=5), ""), (b"", "cafés"), (CUT, ""))
REFUSED = ((photo(), b"red \xff"), (b"junk", "red"), (b"", ""))


@pytest.mark.parametrize("name", PIPELINES)
def test_good_requests_beside_refused_broken_and_absent_ones_get_their_own(ask, name):
    lone = LONE if name == "text" else ()
    requests = [*MIXED, *lone, *REFUSED] * 6

    def one(request: tuple[bytes, str | bytes]) -> None:
        if request in REFUSED:
            with pytest.raises(InferenceServerException, match="expected"):
                ask(name, *request)
        else:
            check(ask(name, *request), name, *request)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, requests))


def outcomes(server: serving.Address, model: str) -> Counter:
    """(modality, status) -> payloads, as the metrics page has it."""
    page = urllib.request.urlopen(server.metrics, timeout=10).read().decode()
    lines = re.findall(r"^crossfuse_modality_status_total\{(.*)\} (\d+)$", page, re.MULTILINE)
    series = [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), int(count)) for labels, count in lines]
    ours = [(labels, count) for labels, count in series if labels["model"] == model]
    assert {labels["version"] for labels, _ in ours} == {"1"}
    return Counter({(labels["modality"], labels["status"]): count for labels, count in ours})


@pytest.mark.parametrize("name", PIPELINES)
def test_what_became_of_every_photo_and_text_is_counted(ask, server, name):
    _, preprocess, tokens = (step.name for step in steps_of(PIPELINES[name]))
    before = {model: outcomes(server, model) for model in (preprocess, tokens)}
    assert {status for _, status in before[tokens]} == {status.name.lower() for status in Status}
    ask(name, photo(), "red")
    ask(name, CUT, "the " * 900)
    ask(name, CUT, "\u0301")
    assert outcomes(server, preprocess) - before[preprocess] == {("image", "ok"): 1, ("image", "corrupt"): 2}
    assert outcomes(server, tokens) - before[tokens] == {
        (name, "ok"): 1,
        (name, "partial"): 1,
        (name, "corrupt"): 1,
    }


def test_a_tokenizer_of_another_length_keeps_the_server_from_starting(tmp_path):
    ensemble = lay_out(tmp_path, "text")
    path = tmp_path / "vision_language_small_tokenizer/1/tokenizer.json"
    write(path, LENGTHS["text"] + 1)
    sentence = f"expected a tokenizer that cuts at the {LENGTHS['text']} tokens of input_ids, got"
    with (
        pytest.raises(RuntimeError, match=sentence),
        serving.running(pipelines=[ensemble], repository=tmp_path),
    ):
        pass
