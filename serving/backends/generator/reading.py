"""Answer from text alone: each context encoded apart, their states side by side, decoded once.

Source: Izacard and Grave, 2020, "Leveraging Passage Retrieval with Generative Models for Open Domain Question
Answering" (Fusion-in-Decoder); Tiong et al., 2022, "Plug-and-Play VQA".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .settings import Settings


def contexts(question: str, captions: Sequence[str], settings: Settings) -> list[str]:
    """The texts that the reader is given about one question, all of them lower case.

    Without any caption there is one text, the question's.
    """
    size = settings.captions_per_context
    told = [captions[start : start + size] for start in range(0, len(captions), size)]
    texts = [" ".join(f"{caption}." for caption in some if caption) for some in told]
    return [settings.context.format(question=question, captions=text).lower().strip() for text in texts]


def padded(token_ids: Sequence[Sequence[int]], pad_id: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Token ids of several texts -> input_ids and attention_mask, (texts, length of the longest) int64."""
    length = max(len(ids) for ids in token_ids)
    input_ids = np.full((len(token_ids), length), pad_id, np.int64)
    mask = np.zeros_like(input_ids)
    for row, ids in enumerate(token_ids):
        input_ids[row, : len(ids)] = ids
        mask[row, : len(ids)] = 1
    return input_ids, mask


def side_by_side(states: np.ndarray, mask: np.ndarray, texts: int) -> tuple[np.ndarray, np.ndarray]:
    """(requests * texts, length, width) -> (requests, texts * length, width), and their masks alike."""
    _, length, width = states.shape
    return states.reshape(-1, texts * length, width), mask.reshape(-1, texts * length)
