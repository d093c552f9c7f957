"""Every file of the pipelines that read words: graphs as PyTorch, tokenizers of their length."""

import functools
import json

import numpy as np
import onnx
import pytest
from tokenizers import Tokenizer

from export import artefacts, contract, engines, parity
from export.example_inputs import draw
from export.generator_graphs import graph_contracts
from export.jobs import Job
from export.pipelines import PRESETS, model_names

from .conftest import write_repository

pytestmark = pytest.mark.slow

PAIR, QUESTION = "vision_language_tiny", "visual_question_answering_tiny"
ANSWERS = f"{QUESTION}_answers"
ENGINES = [
    (preset, name)
    for preset in (PAIR, QUESTION)
    for name in model_names(preset)
    if not name.endswith(("_answers", "_tokenizer"))
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(preset, model) -> its contract, its folder and its parity rows; made when first asked for."""
    root = tmp_path_factory.mktemp("words")
    configurations = write_repository(root / "models")

    @functools.cache
    def export(preset: str, model: str, fusion: str = ""):
        job = Job(preset, model, None, configurations, root / f"{model}{fusion}", fusion=fusion)
        return contract.load(configurations, model), job.folder, artefacts.export_model(job)

    return export


@pytest.mark.parametrize(("preset", "name"), ENGINES)
def test_both_graphs_of_an_engine_answer_as_pytorch_does(exported, preset, name):
    promised, _, rows = exported(preset, name)
    assert [row.remark for row in rows] == [""] * 2 * len(promised.outputs)
    assert all(row.cosine > 0.999999 for row in rows)


@pytest.mark.parametrize("fusion", PRESETS[PAIR].fusions(PAIR))
def test_every_fusion_of_a_photo_and_a_text_is_exported(exported, fusion):
    promised, _, rows = exported(PAIR, f"{PAIR}_fusion", fusion)
    assert [row.remark for row in rows] == [""] * 2 * len(promised.outputs)


def test_every_graph_of_a_generation_answers_as_pytorch_does_at_other_batches_and_lengths(exported):
    _, folder, rows = exported(QUESTION, ANSWERS)
    assert [(row.engine, row.output, row.remark) for row in rows] == [
        ("answer_decoder.onnx", "logits", ""),
        ("caption_decoder.onnx", "logits", ""),
        ("reader_encoder.onnx", "states", ""),
        ("reader_decoder.onnx", "logits", ""),
    ]
    assert all(row.cosine > 0.999999 for row in rows)
    for row in rows:
        for value in onnx.load(folder / row.engine).graph.input:
            axes = [axis.HasField("dim_value") for axis in value.type.tensor_type.shape.dim[:2]]
            assert axes == [False, False], f"{row.engine}: {value.name} has a fixed batch or length"


def test_a_decoder_ignores_what_its_mask_hides(exported):
    promised, folder, _ = exported(QUESTION, ANSWERS)
    for file, graph in graph_contracts(promised, PRESETS[QUESTION].sizes(QUESTION)).items():
        if not file.endswith("_decoder.onnx"):
            continue
        width = graph.input("encoder_hidden_states").dims[-1]
        rng = np.random.default_rng(3)
        asked = {
            "input_ids": rng.integers(1, 50, (2, 4)),
            "encoder_hidden_states": rng.standard_normal((2, 6, width)).astype(np.float32),
            "encoder_attention_mask": np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]]),
        }
        run = parity.onnx_runtime(folder / file)
        before = run(asked)["logits"]
        asked["encoder_hidden_states"][1, 3:] = 9
        np.testing.assert_allclose(run(asked)["logits"], before, atol=1e-5)


def test_a_position_does_not_see_the_tokens_behind_it(exported):
    promised, folder, _ = exported(QUESTION, ANSWERS)
    run = parity.onnx_runtime(folder / "answer_decoder.onnx")
    width = promised.input("question_states").dims[-1]
    source = np.random.default_rng(1).standard_normal((1, 5, width)).astype(np.float32)
    seen = {"encoder_hidden_states": source, "encoder_attention_mask": np.ones((1, 5), np.int64)}
    whole = run({"input_ids": np.array([[4, 9, 7, 8]])} | seen)["logits"]
    begun = run({"input_ids": np.array([[4, 9]])} | seen)["logits"]
    np.testing.assert_allclose(whole[:, :2], begun, atol=1e-5)


@pytest.mark.parametrize("preset", [PAIR, QUESTION])
def test_a_tokenizer_cuts_and_pads_to_the_tokens_of_its_model(exported, preset):
    promised, folder, rows = exported(preset, f"{preset}_tokenizer")
    length = promised.output("input_ids").dims[0]
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert rows == []
    for text in ("is it red?", "is it red? " * 30):
        encoded = made.encode(text)
        assert len(encoded.ids) == len(encoded.attention_mask) == length
        assert bool(encoded.overflowing) == (len(text) > 20)


def test_the_generation_knows_the_lengths_of_its_preset(exported):
    _, folder, _ = exported(QUESTION, ANSWERS)
    told = json.loads((folder / "generation.json").read_text())
    sizes = PRESETS[QUESTION]
    assert {"caption", "answer", "reader", "captions", "patches"} <= told.keys()
    assert told["captions"] == contract_captions(folder, told)
    assert sizes.sizes(QUESTION).vocabulary > max(told["caption"]["prompt"])


def contract_captions(folder, told):
    """As many as the configuration's `captions` has places."""
    promised = contract.load(folder.parent / "models", ANSWERS)
    return promised.output("captions").dims[0]


def test_the_backend_loads_what_was_exported_and_answers_with_it(exported):
    from serving.backends.generator.answering import Answerer

    promised, folder, _ = exported(QUESTION, ANSWERS)
    asked = draw(promised, 3, seed=2)
    asked["image_status"][:] = asked["question_status"][:] = 0
    answers = Answerer(folder, {"name": ANSWERS})(asked)
    assert [one.status for one in answers] == [(0, 0)] * 3
    assert all(0 < one.probability <= 1 for one in answers)
    assert {len(one.captions) for one in answers} == {promised.output("captions").dims[0]}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("no tokenizer", "tokenizer.json: expected a tokenizer, got: "),
        (
            '{"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}',
            r"tokenizer.json: expected one that knows \[PAD\], got one without; add it",
        ),
    ],
)
def test_a_text_that_is_no_tokenizer_for_rows_of_one_length_is_refused(tmp_path, text, sentence):
    with pytest.raises(ValueError, match=sentence):
        artefacts.write_tokenizer(tmp_path, text, 8)


def test_a_model_of_a_backend_without_a_kind_is_refused(tmp_path):
    repository = write_repository(tmp_path / "models")
    job = Job(PAIR, f"{PAIR}_preprocess", None, repository, tmp_path / "out")
    with pytest.raises(ValueError, match=r"expected a model of the backend .*generator, got dali"):
        artefacts.export_model(job)


def test_absent_rows_cost_their_engine_nothing_and_are_zeros(exported):
    promised, folder, _ = exported(PAIR, f"{PAIR}_text_encoder")
    run = parity.onnx_runtime(folder / "model.onnx")
    asked = draw(promised, 3, seed=4)
    whole = run(asked)["text_features"]
    asked["text_valid"][1] = False
    asked["input_ids"][1] = asked["attention_mask"][1] = 0
    answered = run(asked)["text_features"]
    assert not answered[1].any()
    np.testing.assert_allclose(answered[[0, 2]], whole[[0, 2]], atol=1e-6)


def test_a_seeded_module_of_random_weights_is_the_same_twice():
    first, again = (engines.served_module(PAIR, f"{PAIR}_fusion", None) for _ in range(2))
    pairs = zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    assert all((one == other).all() for one, other in pairs)
