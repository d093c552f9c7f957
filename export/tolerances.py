"""How far an engine may be from PyTorch: a table of outputs by precision."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """|engine - PyTorch| <= atol + rtol * |PyTorch|, element by element.

    apart: of int8, which has no such bound: the norm of all differences over that of PyTorch's answers, on
           real items that its ranges do not come from
    """

    atol: float
    rtol: float
    apart: float = math.inf


EXACT = Tolerance(0.0, 0.0)


def _together(apart: float) -> Tolerance:
    return Tolerance(math.inf, 0.0, apart)


# Rows: precision; columns: an output's name, or what it is, from the end of its name. Measured in fp32 on
# random weights, batches of 1 to 8: tokens within 5e-6 of values up to 5, all behind a softmax or sigmoid
# within 3e-7. The margin is for sharper attention and other processors.
TOLERANCES: dict[str, dict[str, Tolerance]] = {
    "fp32": {
        "tokens": Tolerance(1e-4, 1e-4),
        "attention": Tolerance(1e-5, 1e-4),
        "probabilities": Tolerance(1e-5, 1e-4),
        "score": Tolerance(1e-5, 1e-4),
        "embedding": Tolerance(1e-5, 1e-4),
        # Stages of convolutions, behind which nothing is normalised: values reach 70, 1.2e-4 apart.
        "maps": Tolerance(1e-3, 1e-4),
        "levels": Tolerance(1e-3, 1e-4),
        "weights": Tolerance(1e-5, 1e-4),
        # In label units, 0 to 100: the head's answer times about 20, plus a mean. A thousandth of a unit is
        # what rounding gives, and a hundredth of what anybody could see.
        "quality_score": Tolerance(5e-4, 1e-5),
        "scores": Tolerance(5e-4, 1e-5),
        "shape": EXACT,
        "index": EXACT,
        "status": EXACT,
        # Of photos and texts, behind no norm: values to 10, measured 3e-6 apart.
        "features": Tolerance(1e-4, 1e-4),
        "states": Tolerance(1e-4, 1e-4),
        "logits": Tolerance(1e-4, 1e-4),
        # A product of an attention and a gradient: small itself, and sums of them have to keep their order.
        "relevance": Tolerance(1e-6, 1e-3),
    },
    # Measured on the trained weights of the small presets (visual_question_answering_small: random), dense
    # graphs in batches of 2 and 4, rounded as matrix units do; OpenVINO's bf16 is as far off. What was found
    # is doubled for other batches and processors. These catch a broken engine; what a precision may cost the
    # task is in `export.budgets.PRECISION_BUDGETS`.
    "bf16": {
        "tokens": Tolerance(0.15, 0.02),  # 0.071 of 5.2
        "attention": Tolerance(3e-3, 0.02),  # 1.4e-3 of 1
        "probabilities": Tolerance(0.03, 0.0),  # 0.013
        "score": Tolerance(0.01, 0.0),  # 3.9e-3
        "embedding": Tolerance(5e-3, 0.02),  # 1.8e-3 of 0.21
        "maps": Tolerance(1.5, 0.05),  # 0.98 of 31
        "levels": Tolerance(0.3, 0.05),  # 0.17 of 11
        "weights": Tolerance(5e-3, 0.02),  # 2.2e-3 of 0.76
        "quality_score": Tolerance(0.8, 0.0),  # 0.30 of 70
        "scores": Tolerance(0.8, 0.01),  # 0.34 of 95
        "shape": EXACT,
        "index": EXACT,
        "status": EXACT,
        "features": Tolerance(0.6, 0.05),  # 0.41 of 13
        "states": Tolerance(0.08, 0.02),  # 0.035 of 3.3
        "logits": Tolerance(0.3, 0.02),  # none measured: as features, behind a norm
        "relevance": Tolerance(5e-5, 0.05),  # 2.7e-5 of 1.4e-3
    },
    "fp16": {
        "tokens": Tolerance(0.06, 5e-3),  # 0.028 of 3.6
        "attention": Tolerance(4e-4, 5e-3),  # 1.2e-4 of 1
        "probabilities": Tolerance(4e-3, 0.0),  # 3.9e-4
        "score": Tolerance(1e-3, 0.0),  # 2.8e-4
        "embedding": Tolerance(5e-4, 5e-3),  # 1.6e-4 of 0.42
        "maps": Tolerance(0.15, 0.01),  # 0.088 of 31
        "levels": Tolerance(0.03, 0.01),  # 0.016 of 11
        "weights": Tolerance(1e-3, 5e-3),  # 3.4e-4 of 0.76
        "quality_score": Tolerance(0.1, 0.0),  # 0.011 of 84
        "scores": Tolerance(0.1, 2e-3),  # 0.056 of 95
        "shape": EXACT,
        "index": EXACT,
        "status": EXACT,
        "features": Tolerance(0.08, 0.01),  # 0.046 of 13
        "states": Tolerance(0.01, 5e-3),  # 4.9e-3 of 3.3
        "logits": Tolerance(0.04, 5e-3),
        "relevance": Tolerance(1e-5, 0.02),  # 1.7e-6 of 1.4e-3
    },
    # A step of int8 may be a large part of one element and says nothing of the others, and beyond the ranges
    # of real inputs it says nothing at all: so all elements of real items together. Measured on the trained
    # small presets, nothing kept in fp32, 32 items that no range came from; an answer of a pipeline has the
    # 0.1 of its `export.budgets.PRECISION_BUDGETS`, what is further off on its way there is doubled. What it
    # costs the task is judged by the search; an engine whose convolutions were ruined was 0.45 and 0.60 off.
    "int8": {
        "tokens": _together(0.2),  # 0.085 of EfficientNet, 0.015 of Transformers
        "attention": _together(0.1),  # 0.0051
        "probabilities": _together(0.1),  # 0.0026
        "score": _together(0.1),  # 0.0027
        "embedding": _together(0.1),  # 0.029
        "maps": _together(0.2),  # 0.097
        "levels": _together(0.35),  # 0.16
        "weights": _together(0.1),  # 0.0032
        "quality_score": _together(0.1),  # 0.0047
        "scores": _together(0.1),  # 0.0023
        "shape": EXACT,
        "index": EXACT,
        "status": EXACT,
        "features": _together(0.3),  # 0.15 of EfficientNet, all of it by its weights; 0.10 of texts
        "states": _together(0.1),  # 0.031
        "logits": _together(0.1),  # none measured: as states
        "relevance": _together(0.35),  # 0.16: a product of an attention and a gradient
    },
}


def tolerance_of(output: str, precision: str) -> Tolerance:
    """The tolerance for an output of this name; LookupError for a precision or kind it has no row for."""
    if precision not in TOLERANCES:
        raise LookupError(f"precision: expected one of {', '.join(TOLERANCES)}, got {precision}")
    table = TOLERANCES[precision]
    kind = output if output in table else output.rsplit("_", 1)[-1]
    if kind not in table:
        raise LookupError(
            f"{output}: expected a name that is or ends in one of {', '.join(table)}; add a row to TOLERANCES"
        )
    return table[kind]
