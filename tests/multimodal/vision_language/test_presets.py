"""Presets say every size, refuse nonsense, and cost nothing to read."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from multimodal.vision_language.presets import (
    CLASS_NAMES,
    VISION_LANGUAGE_PRESETS,
    Photo,
    Words,
)
from training.easy_vqa import answer_names

TINY = VISION_LANGUAGE_PRESETS["vision_language_tiny"]


def test_classes_are_the_answers_of_easy_vqa_in_its_order():
    assert answer_names() == CLASS_NAMES
    for preset in VISION_LANGUAGE_PRESETS.values():
        assert preset.class_names == CLASS_NAMES


def test_reading_presets_imports_no_torch():
    script = "import sys, multimodal.vision_language.presets; print('torch' in sys.modules)"
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Photo("resnet-50", 100), "expected a side of whole 32 px, got 100"),
        (
            lambda: Photo("resnet-50", 96, grid=5),
            "expected a side of whole cells at stride 8, got 96 px for 5",
        ),
        (lambda: Words("bert-tiny", 2, "cls"), "expected room for one token and two marks, got 2"),
        (lambda: Words("bert-tiny", 8, "max"), "expected pooling by pooler, cls, mean, got max"),
        (
            lambda: Words("bert-tiny", 8, "cls", width=10, heads=4),
            "expected a width that 4 heads divide, got 10",
        ),
        (lambda: replace(TINY, heads=3), "expected widths that 3 heads divide, got 16 and 16"),
        (lambda: replace(TINY, class_names=("yes", "yes")), "classes repeat"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()


def test_every_number_that_a_contract_needs_is_there():
    small = VISION_LANGUAGE_PRESETS["vision_language_small"]
    assert (small.photo.size_px, small.words.tokens, small.classes) == (64, 32, 13)
    assert (small.feature_width, small.embedding_width, small.fused_width) == (256, 256, 256)
