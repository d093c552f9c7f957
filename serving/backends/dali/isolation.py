"""One bad sample fails a whole DALI batch: run the batch, and on failure each sample alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .handed_on import Rows, rows_of

log = logging.getLogger(__name__)


class IsolatedPipeline:
    """A built DALI pipeline of one output whose failures stay with the sample that caused them.

    pipeline: an `nvidia.dali.Pipeline` with prefetch_queue_depth 1 (2 wants two feeds per run)
    keep:     what becomes of an output before the next run writes into the same memory; a copy, by default
    """

    def __init__(self, pipeline: Any, keep: Callable[[np.ndarray], np.ndarray] = np.array) -> None:
        pipeline.build()
        self._pipeline, self._keep = pipeline, keep

    def __call__(self, samples: Sequence[Mapping[str, np.ndarray]]) -> list[np.ndarray | None]:
        """Run every sample (input name -> array) and keep its output; None where one did not decode.

        More samples than the pipeline's batch size are run in slices.
        """
        size = self._pipeline.max_batch_size
        outputs: list[np.ndarray | None] = []
        for start in range(0, len(samples), size):
            outputs += self._isolated(samples[start : start + size])
        return outputs

    def in_place(self, samples: Sequence[Mapping[str, np.ndarray]]) -> Rows | None:
        """All samples in one run, left where they were decoded: (samples, ...), valid until the next run.

        None when one of them did not decode or they are more than a run holds: then ask for each.
        """
        if not 0 < len(samples) <= self._pipeline.max_batch_size:
            return None
        try:
            return rows_of(self._output(samples))
        except RuntimeError as error:
            log.warning("one of %d does not decode: %s", len(samples), _cause(error))
            return None

    def _isolated(self, samples: Sequence[Mapping[str, np.ndarray]]) -> list[np.ndarray | None]:
        try:
            return list(self._run(samples))
        except RuntimeError as error:
            if len(samples) == 1:
                log.warning("%s does not decode: %s", "/".join(samples[0]), _cause(error))
                return [None]
        return [output for sample in samples for output in self._isolated([sample])]

    def _run(self, samples: Sequence[Mapping[str, np.ndarray]]) -> list[np.ndarray]:
        output = self._output(samples).as_cpu()
        return [self._keep(output.at(index)) for index in range(len(samples))]

    def _output(self, samples: Sequence[Mapping[str, np.ndarray]]) -> Any:
        feeds = {name: [sample[name] for sample in samples] for name in samples[0]}
        (output,) = self._pipeline.run(**feeds)
        return output


def _cause(error: Exception) -> str:
    """What DALI encountered: the first line after that word in its long message."""
    message = str(error).partition("encountered:")[2].strip() or str(error).strip() or type(error).__name__
    return message.splitlines()[0][:200]
