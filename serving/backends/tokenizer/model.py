"""Triton's entry points of the tokenizer: one batch in, every request answered, none refused.

What became of every text is counted beside what became of every photo, under the same name.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

sys.dont_write_bytecode = True  # the model repository holds releases, no caches
# Eight short texts take 0.1 ms on one thread; threads of the library would compete with the encoders' for it.
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# The folder of all backends, in which this one is the package `tokenizer`.
sys.path.append(str(Path(__file__).parent.parent))

from tokenizer.texts import Contract, Reader, Status, load  # noqa: E402


class TritonPythonModel:
    """One instance of one tokenizer model; its only state is the tokenizer and the counters."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load `<version>/<default_model_filename>`; an error here keeps the model from becoming ready."""
        config = json.loads(args["model_config"])
        filename = config.get("default_model_filename") or "tokenizer.json"
        path = Path(args["model_repository"], args["model_version"], filename)
        try:
            contract = Contract.from_config(config)
            self.reader = Reader(contract, load(path, contract.length))
        except ValueError as error:
            raise pb_utils.TritonModelException(str(error)) from error
        self.family = pb_utils.MetricFamily(  # kept: the metrics vanish with it
            name="crossfuse_modality_status_total",
            description="Payloads by what became of them: ok, absent, partial (used) or corrupt (left out)",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        model = {"model": args["model_name"], "version": args["model_version"], "modality": contract.modality}
        self.outcomes = {
            status: self.family.Metric(labels={**model, "status": status.name.lower()}) for status in Status
        }

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Tokenise all requests of a dynamic batch at once."""
        payloads = [_array(request, self.reader.contract.modality).reshape(-1) for request in requests]
        present = np.concatenate([_array(request, "present") for request in requests])
        answers = self.reader(payloads, present)
        for answer in answers:
            self.outcomes[self.reader.status(answer)].increment(1)
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(name, value[None]) for name, value in answer.items()])
            for answer in answers
        ]


def _array(request: pb_utils.InferenceRequest, name: str) -> np.ndarray:
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy()
