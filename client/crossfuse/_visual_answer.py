"""What `visual_question_answering` answers, and reading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._reading import Reading
from ._results import Answer


@dataclass(frozen=True, eq=False, kw_only=True)
class VisualAnswer(Answer):
    """The answer of `visual_question_answering` to one question about one image."""

    pipeline = "visual_question_answering"
    remedies = ("send another image", "send a whole image, or a shorter question")

    answer: str
    """Empty only in an answer that an error carries."""
    probability: float
    """Of `answer`, 0 to 1."""
    captions: tuple[str, ...]
    """What was seen in the parts of the image that the question is about; some may be equal."""
    caption_answer: str
    """The answer of a model that reads the question and the captions and never sees the image."""
    relevance: NDArray[np.float32]
    """(rows, columns), not negative: how much each part of the image has to do with the question, from its
    top left to its bottom right."""
    matching_score: float
    """Probability, 0 to 1, that image and question belong together, by the model that made `relevance`."""

    @property
    def peak(self) -> tuple[int, int] | None:
        """(row, column) of the most relevant part, counted from 0; None where no part is relevant."""
        if not self.relevance.size or self.relevance.max() <= 0:
            return None
        row, column = np.unravel_index(int(self.relevance.argmax()), self.relevance.shape)
        return int(row), int(column)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values for `json.dumps`; states become their names."""
        return {
            "answer": self.answer,
            "probability": self.probability,
            **super().as_dict(),
            "captions": list(self.captions),
            "caption_answer": self.caption_answer,
            "matching_score": self.matching_score,
            "peak": None if self.peak is None else list(self.peak),
            "relevance": self.relevance.tolist(),
        }


def read_visual_answer(reading: Reading) -> VisualAnswer:
    """Answer of `visual_question_answering` -> VisualAnswer.

    raises: ServerFault when tensors or names do not fit together
    """
    side = reading.output("relevance", (-1, -1)).shape[0]
    return VisualAnswer(
        answer=reading.texts("answer", 1)[0],
        probability=float(reading.output("answer_probability", (1,))[0]),
        captions=tuple(caption for caption in reading.texts("captions", -1) if caption),
        caption_answer=reading.texts("caption_answer", 1)[0],
        relevance=reading.output("relevance", (side, side)),
        matching_score=float(reading.output("matching_score", (1,))[0]),
        **reading.about(),
    )
