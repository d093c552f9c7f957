"""Searching with embeddings."""

import numpy as np
import pytest
from crossfuse import rank

EAST, NORTH = (1.0, 0.0), (0.0, 1.0)


def test_the_most_similar_comes_first_whatever_the_lengths() -> None:
    found = rank(EAST, {"north": NORTH, "west": (-5.0, 0.0), "far east": (100.0, 0.0), "between": (0.6, 0.8)})
    assert [name for name, _ in found] == ["far east", "between", "north", "west"]
    assert [cosine for _, cosine in found] == pytest.approx([1.0, 0.6, 0.0, -1.0])


@pytest.mark.parametrize("embeddings", [[NORTH, EAST], np.array([NORTH, EAST], np.float32)])
def test_embeddings_without_names_are_known_by_their_places(embeddings) -> None:
    assert rank(np.array(EAST, np.float32), embeddings) == [(1, 1.0), (0, 0.0)]


def test_equals_keep_their_order_and_nothing_ranks_as_nothing() -> None:
    assert [name for name, _ in rank(EAST, {"b": EAST, "a": EAST})] == ["b", "a"]
    assert rank(EAST, {}) == []


@pytest.mark.parametrize(
    ("query", "embeddings", "sentence"),
    [
        (None, {}, r"query: expected an embedding of shape \(width,\), got None; rank what one"),
        ([[1.0]], {}, r"query: expected an embedding of shape \(width,\), got shape \(1, 1\)"),
        (EAST, {"a.png": None}, r"embedding 'a.png': expected an embedding of shape \(2,\), got None"),
        (
            EAST,
            {"a.png": [1.0]},
            r"embedding 'a.png': expected an embedding of shape \(2,\), got shape \(1,\)",
        ),
        (
            EAST,
            [EAST, (0.0, 0.0)],
            "embedding 1: expected a direction, got an embedding of length 0; leave out",
        ),
        ((np.nan, 1.0), [EAST], "query: expected a direction, got an embedding of length nan"),
    ],
)
def test_what_is_no_direction_is_named(query, embeddings, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        rank(query, embeddings)
