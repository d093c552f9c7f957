"""Clips of known quality, three contents of them, one for each split: made once for all tests here."""

import pytest

from training.quality_clips import Amount, generate

CONTENTS = ("leaves 0", "leaves 30", "leaves 33")


@pytest.fixture(scope="session")
def small_clips(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("clips"), amount=Amount(1, 1, CONTENTS))
