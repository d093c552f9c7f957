"""An answer of `vision_language` as text for a terminal."""

from __future__ import annotations

from ._report import SHOWN_CLASSES, bar
from ._states_report import answered_by, state_lines
from ._vision_language import VisionLanguage

SIMILARITY = "similarity"


def vision_language_lines(pair: VisionLanguage, cell: str = "█") -> list[str]:
    """Answer, the best of them, similarity of image and text, what there is to search with, the states."""
    return [
        f"{verdict(pair)}{answered_by(pair)}",
        "",
        *answer_lines(pair, cell),
        *similarity_lines(pair, cell),
        f"  embeddings: {', '.join(embedding_words(pair)) or 'none'}",
        "",
        *state_lines(pair),
    ]


def verdict(pair: VisionLanguage) -> str:
    """The answer and its probability, or why there is none."""
    if pair.answer is None or pair.probability is None:
        return "no answer: it takes an image and a text"
    return f"{pair.answer}, {pair.probability:.1%}"


def answer_lines(pair: VisionLanguage, cell: str) -> list[str]:
    """The best answers as bars, the others as one."""
    best = list(pair.probabilities.items())[:SHOWN_CLASSES]
    wide = name_width(pair)
    lines = [f"  {name:<{wide}}  {bar(share, cell)}  {share:6.1%}" for name, share in best]
    others = len(pair.probabilities) - len(best)
    if others:
        rest = max(0.0, sum(pair.probabilities.values()) - sum(share for _, share in best))
        lines.append(f"  {f'{others} others':<{wide}}  {bar(rest, cell)}  {rest:6.1%}")
    return [*lines, ""] if lines else []


def similarity_lines(pair: VisionLanguage, cell: str) -> list[str]:
    """How near image and text are to each other, where both came; a negative cosine has no bar."""
    if pair.similarity is None:
        return []
    filled = bar(min(max(pair.similarity, 0.0), 1.0), cell)
    return [f"  {SIMILARITY:<{name_width(pair)}}  {filled}  {pair.similarity:6.3f}", ""]


def name_width(pair: VisionLanguage) -> int:
    """Letters of the longest name in the first column."""
    return max(len(name) for name in (SIMILARITY, *list(pair.probabilities)[:SHOWN_CLASSES]))


def embedding_words(pair: VisionLanguage) -> list[str]:
    """Each embedding that came, with its width."""
    vectors = {"image": pair.image_embedding, "text": pair.text_embedding, "fused": pair.fused_embedding}
    return [f"{name} ({len(vector)})" for name, vector in vectors.items() if vector is not None]
