"""Answer from text alone: each context encoded apart, their states side by side, decoded once.

Source: Izacard and Grave, 2020, "Leveraging Passage Retrieval with Generative Models for Open Domain Question
Answering" (Fusion-in-Decoder); Tiong et al., 2022, "Plug-and-Play VQA".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SEPARATOR = r"\n"  # a backslash and an n, as the reader was taught


def contexts(question: str, captions: Sequence[str], size: int) -> list[str]:
    """The texts that the reader is given about one question, one for every `size` captions, in lower case."""
    asked = question.strip().rstrip("?").strip()
    groups = [captions[start : start + size] for start in range(0, len(captions), size)]
    return [f"{asked} {SEPARATOR} {' '.join(f'{caption}.' for caption in group)}".lower() for group in groups]


def padded(token_ids: Sequence[Sequence[int]], pad: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids of several texts -> input_ids and attention_mask, (texts, length of the longest) int64.

    Of texts beyond `longest` tokens the last one stays: it ends them.
    """
    cut = [ids if len(ids) <= longest else [*ids[: longest - 1], ids[-1]] for ids in token_ids]
    input_ids = np.full((len(cut), max(map(len, cut))), pad, np.int64)
    mask = np.zeros_like(input_ids)
    for row, ids in enumerate(cut):
        input_ids[row, : len(ids)] = ids
        mask[row, : len(ids)] = 1
    return input_ids, mask


def side_by_side(states: np.ndarray, mask: np.ndarray, texts: int) -> tuple[np.ndarray, np.ndarray]:
    """(requests * texts, length, width) -> (requests, texts * length, width), and their masks alike."""
    _, length, width = states.shape
    return states.reshape(-1, texts * length, width), mask.reshape(-1, texts * length)
