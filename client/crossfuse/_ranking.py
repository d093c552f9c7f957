"""Ranking embeddings: which of many images is nearest to a text, or the other way round."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

Name = TypeVar("Name", bound=Hashable)


@overload
def rank(query: ArrayLike, embeddings: Mapping[Name, ArrayLike]) -> list[tuple[Name, float]]: ...


@overload
def rank(query: ArrayLike, embeddings: Sequence[ArrayLike] | NDArray[Any]) -> list[tuple[int, float]]: ...


def rank(query: ArrayLike, embeddings: Any) -> list[tuple[Any, float]]:
    """Order embeddings by their cosine with another one, most similar first; equals stay in their order.

    query: (width,), a text's embedding to find images, or an image's to find texts.
    embeddings: by name, such as {"a.jpg": ...}, or (count, width) in order; each (width,)
    returns: (name, cosine from -1 to 1) of each; the name is its place, from 0, where none were given
    raises: ValueError for other shapes, and for embeddings that are no directions: zeros, NaN, None
    """
    names = list(embeddings) if isinstance(embeddings, Mapping) else list(range(len(embeddings)))
    wanted = _direction("query", query)
    cosines = np.array(
        [_direction(f"embedding {name!r}", embeddings[name], wanted) @ wanted for name in names]
    )
    order = np.argsort(-cosines, kind="stable")
    return [(names[place], float(cosines[place])) for place in order]


def _direction(name: str, embedding: Any, like: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """The embedding at unit length; `like` has the width that it must have."""
    vector = np.asarray(np.nan if embedding is None else embedding, np.float64)
    if vector.ndim != 1 or (like is not None and vector.shape != like.shape):
        expected = "(width,)" if like is None else str(like.shape)
        came = "None" if embedding is None else f"shape {vector.shape}"
        raise ValueError(
            f"{name}: expected an embedding of shape {expected}, got {came}; "
            "rank what one pipeline gave, and leave out what it could not use"
        )
    length = np.linalg.norm(vector)
    if not 0.0 < length < np.inf:
        raise ValueError(
            f"{name}: expected a direction, got an embedding of length {length:g}; "
            "leave out what could not be used"
        )
    return vector / length
