"""What tests of question answering share."""

from __future__ import annotations

import pytest
import torch

from multimodal.visual_question.build import settings_of
from multimodal.visual_question.tokenizer import build_tokenizer

from .random_blip import PRESET, lively_model, random_model


@pytest.fixture(scope="session")
def preset():
    return PRESET


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer(PRESET)


@pytest.fixture
def model():
    return random_model()


@pytest.fixture
def lively():
    return lively_model()


@pytest.fixture
def settings(model, tokenizer):
    return settings_of(PRESET, model, tokenizer)


@pytest.fixture(scope="session")
def pixels():
    """(2, 3, 64, 64)."""
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def asked(tokenizer):
    """Ids and mask of two questions of different length, (2, 9)."""
    questions = ["is there a red circle?", "what color is it?"]
    ids = torch.zeros(2, 9, dtype=torch.int64)
    for row, encoding in enumerate(tokenizer.encode_batch(questions)):
        ids[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
    return ids, (ids != 0).long()
