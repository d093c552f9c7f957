"""Golden requests to the live pipeline: one at a time, each answer compared with what it should be."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.budgets import Budget
from serving.releases.compared import ABSENT, CORRUPT, PARTIAL, is_readable
from serving.releases.golden import Golden
from serving.releases.replay import Asker, Silent

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray]

DEGRADED = (PARTIAL, CORRUPT)
SUM_TOLERANCE = 1e-3
ANSWER_S = 10.0  # what the gate admits is answered within


@dataclass(frozen=True)
class Probe:
    """A golden request that ended.

    wrong:  what is wrong with its answer; failed: why there was none; both empty when all is well
    payloads, degraded: modalities that it brought, and those of them that were read in part or not at all
    """

    wrong: str = ""
    failed: str = ""
    payloads: int = 0
    degraded: int = 0
    took_ns: int = 0


class Prober:
    """Sends the items of a golden set in turn to a pipeline, and says what became of each.

    Answers are compared with `expected`, PyTorch's with the weights and the fusion of the release. Where
    nobody asked it, as for a release with engines from several weights, it is None: then only their form is
    judged.

    errors: ValueError for a set that is not whole
    """

    def __init__(
        self, url: str, pipeline: str, golden: Golden, budget: Budget, expected: Arrays | None
    ) -> None:
        self._pipeline, self._golden, self._budget = pipeline, golden, budget
        self._requests = list(golden.requests())
        self._expected = expected or {}
        self._asker = Asker(url, ANSWER_S)
        self._number = 0
        self._late = False

    @property
    def knows_answers(self) -> bool:
        """Whether there is something to compare the answers with."""
        return bool(self._expected)

    def probe(self) -> Probe:
        """Send the next request and wait for its answer."""
        row = self._number % len(self._requests)
        self._number += 1
        started = time.perf_counter_ns()
        try:
            answer, _ = self._asker.ask(self._pipeline, self._requests[row])
        except Silent as error:
            self._late = True
            return Probe(failed=str(error))
        except RuntimeError as error:
            return Probe(failed=str(error))
        took_ns = time.perf_counter_ns() - started
        item, expected = self._golden.items[row], {name: rows[row] for name, rows in self._expected.items()}
        wrong = fault(answer, expected, self._budget, item.modalities)
        status = answer.get("modality_status")
        return Probe(
            wrong=f"{item.id}: {wrong}" if wrong else "",
            payloads=0 if status is None else int((status != ABSENT).sum()),
            degraded=0 if status is None else sum(int((status == one).sum()) for one in DEGRADED),
            took_ns=took_ns,
        )

    def close(self) -> None:
        """Let go of the connection, but for a late request: cancelling one can crash the server (2.51)."""
        if not self._late:
            self._asker.__exit__(None, None, None)


def fault(answer: Arrays, expected: Arrays, budget: Budget, modalities: tuple[str, ...]) -> str:
    """What is wrong with an answer, empty when nothing is.

    expected: empty where nobody knows it; modalities: those that were sent
    """
    import numpy as np

    for name, array in answer.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return f"{name}: expected finite numbers, got {int((~np.isfinite(array)).sum())} that are not"
    for name in budget.distributions if is_readable(answer, budget.needed) else ():
        if abs(float(answer[name].sum(-1)) - 1) > SUM_TOLERANCE:
            return f"{name}: expected a sum of 1, got {float(answer[name].sum(-1)):.3f}"
    for name in budget.tolerances:
        if name in expected:
            tolerance = budget.tolerance(name, modalities)
            apart = float(np.abs(answer[name] - expected[name]).max(initial=0))
            if apart > tolerance:
                return f"{name}: expected PyTorch's within {tolerance}, got {apart:.3g} apart"
    for name in budget.exact:
        if name in expected and not np.array_equal(answer[name], expected[name]):
            return f"{name}: expected {expected[name].tolist()}, got {answer[name].tolist()}"
    return ""
