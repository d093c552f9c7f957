import json

import pytest

from multimodal.quality_presets import QUALITY_PRESETS
from serving.releases.origin import Origin, origin_of
from serving.releases.record import Member, Release

WEIGHTS = "ab" * 32
USUAL = QUALITY_PRESETS["video_quality_small"].default_fusion


def release(*models: str) -> Release:
    members = {model: Member(2, {"model.onnx": "0" * 64}, WEIGHTS) for model in models}
    members = {"video_quality_gate": Member(1), **members}
    return Release(2, "prepared", members, models, "candidate", "me", "", "2026-01-01T00:00:00+00:00")


def describe(repository, model, **content):
    folder = repository / model / "2"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(content))


@pytest.mark.parametrize(("fusion", "other"), [("gated", "gated"), (USUAL, ""), ("", "")], ids=str)
def test_a_fusion_is_named_where_it_is_not_the_one_of_its_preset(tmp_path, fusion, other):
    describe(tmp_path, "encoder", preset="video_quality_small")
    describe(tmp_path, "fusion", preset="video_quality_small", fusion=fusion)
    assert origin_of(release("encoder", "fusion"), tmp_path) == Origin(WEIGHTS, other)


def test_engines_that_nothing_describes_have_weights_and_no_fusion(tmp_path):
    assert origin_of(release("encoder"), tmp_path) == Origin(WEIGHTS, "")
