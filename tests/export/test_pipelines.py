"""What export knows of pipelines and their presets."""

import pytest

from export.pipelines import PIPELINES, PRESETS, pipeline_of


def test_every_preset_belongs_to_one_pipeline():
    assert pipeline_of("weld_small") == "weld_inspection" and pipeline_of("weld_base") == "weld_inspection"
    for preset, pipeline in PRESETS.items():
        assert PIPELINES[pipeline_of(preset)] is pipeline


def test_a_preset_of_no_pipeline_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"preset: expected one of .*weld_small, .*, got weld_smal$"):
        pipeline_of("weld_smal")
