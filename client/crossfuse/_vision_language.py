"""What `vision_language` answers, and reading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._reading import Reading
from ._results import Answer

Vector = NDArray[np.float32]


@dataclass(frozen=True, eq=False, kw_only=True)
class VisionLanguage(Answer):
    """The answer of `vision_language` for one image, one text, or both."""

    pipeline = "vision_language"
    remedies = ("send another image", "send a whole image, or a shorter text")

    probabilities: dict[str, float]
    """Answer -> probability, most probable first; they sum to 1. Empty unless image and text were usable."""
    image_embedding: Vector | None
    """(width,) of unit length, comparable with texts; None without a usable image."""
    text_embedding: Vector | None
    """(width,) of unit length, comparable with images; None without a usable text."""
    fused_embedding: Vector | None
    """(fused width,) of both together; None unless both were usable."""

    @property
    def answer(self) -> str | None:
        """The most probable answer; None unless image and text were usable."""
        return next(iter(self.probabilities), None)

    @property
    def probability(self) -> float | None:
        """Of `answer`."""
        return next(iter(self.probabilities.values()), None)

    @property
    def similarity(self) -> float | None:
        """Cosine of the two embeddings, -1 to 1; None unless both are there."""
        if self.image_embedding is None or self.text_embedding is None:
            return None
        return float(self.image_embedding @ self.text_embedding)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values for `json.dumps`; states become their names, what is absent null."""
        vectors = {name: getattr(self, f"{name}_embedding") for name in ("image", "text", "fused")}
        return {
            "answer": self.answer,
            "probability": self.probability,
            "probabilities": self.probabilities,
            "similarity": self.similarity,
            **super().as_dict(),
            **{
                f"{name}_embedding": None if vector is None else vector.tolist()
                for name, vector in vectors.items()
            },
        }


def read_vision_language(reading: Reading) -> VisionLanguage:
    """Answer of `vision_language` -> VisionLanguage.

    raises: ServerFault when tensors or names do not fit together
    """
    classes = reading.names("class_names")
    probabilities = reading.output("answer_probabilities", (len(classes),))
    image = reading.output("image_embedding", (-1,))
    text = reading.output("text_embedding", image.shape)
    fused = reading.output("fused_embedding", (-1,))
    about = reading.about()
    usable = {name for name, state in about["status"].items() if state.usable}
    both = {"image", "text"} <= usable
    order = np.argsort(-probabilities, kind="stable") if both else ()
    return VisionLanguage(
        probabilities={classes[index]: float(probabilities[index]) for index in order},
        image_embedding=image if "image" in usable else None,
        text_embedding=text if "text" in usable else None,
        fused_embedding=fused if both else None,
        **about,
    )
