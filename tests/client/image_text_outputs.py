"""Recorded answers about an image and words, as arrays and parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ANSWERS = ("circle", "red", "no")
OK, ABSENT, PARTIAL, CORRUPT = range(4)
VISION_LANGUAGE = {"modalities": "image,text", "class_names": ",".join(ANSWERS)}
VISUAL_QUESTION = {"modalities": "image,question"}


def pair_outputs(status: Sequence[int] = (OK, OK)) -> dict[str, np.ndarray]:
    """Outputs of one image and one text, batch axis included: red wins, and the cosine is 0.6."""
    image, text = (state in (OK, PARTIAL) for state in status)
    return {
        "answer_probabilities": np.array([[0.2, 0.7, 0.1]], np.float32) * (image and text),
        "image_embedding": np.array([[1.0, 0.0]], np.float32) * image,
        "text_embedding": np.array([[0.6, 0.8]], np.float32) * text,
        "fused_embedding": np.full((1, 3), 0.5, np.float32) * (image and text),
        "modality_status": np.array([status], np.int32),
    }


def texts(*words: str) -> np.ndarray:
    """Texts as Triton gives them: bytes in an array of objects, batch axis included."""
    return np.array([[word.encode() for word in words]], object)


def told_outputs(status: Sequence[int] = (OK, OK)) -> dict[str, np.ndarray]:
    """Outputs of one question: red, seen in the top right of 2 x 2 parts."""
    usable = all(state in (OK, PARTIAL) for state in status)
    captions = ("a red circle", "a circle é", "a red circle") if usable else ("", "", "")
    return {
        "answer": texts("red" if usable else ""),
        "answer_probability": np.array([[0.875 * usable]], np.float32),
        "captions": texts(*captions),
        "caption_answer": texts("circle" if usable else ""),
        "relevance": np.array([[[0.0, 4.0], [1.0, 2.0]]], np.float32) * usable,
        "matching_score": np.array([[0.75 * usable]], np.float32),
        "modality_status": np.array([status], np.int32),
    }
