"""Absent modalities: which models a branch has, ratios by arithmetic, mixtures, and a run of the verb."""

import pytest

from benchmarks import absent
from benchmarks.__main__ import main
from benchmarks.absent import branch_models, mixture, row
from benchmarks.record import ROOT
from export import contract

REPOSITORY = ROOT / "model_repository"


@pytest.mark.parametrize(
    ("pipeline", "modality", "models"),
    [
        ("weld_inspection", "audio", ["weld_small_preprocess", "weld_small_audio_encoder"]),
        ("weld_inspection", "image", ["weld_small_preprocess", "weld_small_image_encoder"]),
        (
            "vision_language",
            "text",
            ["vision_language_small_tokenizer", "vision_language_small_text_encoder"],
        ),
    ],
)
def test_a_branch_is_a_decoder_and_an_encoder(pipeline, modality, models):
    whole = contract.load(REPOSITORY, pipeline)
    contracts = {step.model: contract.load(REPOSITORY, step.model) for step in whole.steps}
    assert branch_models(whole, contracts, modality) == models


def test_the_branch_alone_takes_the_time_of_its_models_together():
    rates = {"served": [4.0], "decoder": [20.0], "encoder": [20.0], "fusion": [10.0]}
    found = row(rates, ["decoder", "encoder"])
    assert found["branch_hz"]["median"] == 5.0 and found["ratio"]["median"] == 0.8
    assert found["own_hz"]["median"] == 10.0 and found["own_ratio"]["median"] == 0.4


def test_a_mixture_has_every_subset_and_never_nothing():
    payloads = [{"video": b"v", "audio": b"a"}] * 200
    found = mixture(payloads, 7, ("video", "audio"))
    kinds = [tuple(one) for one in found]
    assert set(kinds) == {("video",), ("audio",), ("video", "audio")}
    assert found == mixture(payloads, 7, ("video", "audio")) != mixture(payloads, 8, ("video", "audio"))


@pytest.mark.parametrize(
    ("ratio", "batch", "both"), [(0.86, 0.91, True), (0.84, 0.91, False), (0.86, 0.89, False)]
)
def test_the_worst_modality_and_the_mean_batch_are_judged(ratio, batch, both):
    rows = {"video": {"ratio": {"median": 0.99}}, "audio": {"ratio": {"median": ratio}}}
    found = absent.goals(rows, {"ratio": batch})
    assert all(one["reached"] for one in found.values()) is both


@pytest.mark.parametrize("pipeline", ["video_quality", "visual_question_answering"])
def test_a_pipeline_that_needs_all_modalities_is_mistyped(pipeline, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["absent", pipeline])
    assert stop.value.code == 2
    assert "PIPELINE: expected weld_inspection or vision_language, got" in capsys.readouterr().err


@pytest.mark.server
@pytest.mark.slow
def test_the_verb_compares_every_modality_with_its_branch(exported, measured, capsys):
    found = measured("absent", "--repository", str(exported))
    assert "mean batch: uniform" in capsys.readouterr().err
    assert list(found["modalities"]) == ["video", "image", "audio", "sensor"]
    for one in found["modalities"].values():
        assert one["ratio"]["median"] > 0 and len(one["models_hz"]) == 4
    assert found["batches"]["mean"]["uniform"] >= 1 and found["batches"]["mean"]["mixed"] >= 1
