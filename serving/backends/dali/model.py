"""Triton's entry points of the preprocess backend: one batch in, every request answered, none refused.

What became of every payload is counted on the metrics page, since an answer from three of four modalities is
still an answer and no other counter shows it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

sys.dont_write_bytecode = True  # the model repository holds releases, no caches
# The folder of all backends, in which this one is the package `dali`. Resolved: an installation links the
# packages, the module that they share lies beside them.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import admission  # noqa: E402

from dali.contract import Contract, Status  # noqa: E402
from dali.handed_on import Rows  # noqa: E402
from dali.preprocess import Preprocessor  # noqa: E402
from dali.serialised import pipelines_of  # noqa: E402

# Decoding is the first step: with an equal share of busy cores it would begin new requests while those that
# are nearly done wait. At 46 welds a second on two cores the slowest in a hundred took 478 instead of 577 ms.
NICENESS = 10


class TritonPythonModel:
    """One instance of one preprocess model; its only state is the built pipelines and the counters."""

    def initialize(self, args: dict[str, str]) -> None:
        """Build the pipelines of `<version>/dali.py` for the sizes of the configuration."""
        config = json.loads(args["model_config"])
        contract = Contract.from_config(config)
        self.status_output = contract.status_output
        self.inputs = [tensor["name"] for tensor in config["input"] if tensor["name"] != "present"]
        source = Path(args["model_repository"], args["model_version"], "dali.py")
        device = "gpu" if args["model_instance_kind"] == "GPU" else "cpu"
        number = int(args["model_instance_device_id"])
        if device == "cpu":
            os.nice(NICENESS)  # of this thread, and of all that the decoders start
        self.preprocess = Preprocessor(contract, pipelines_of(source), device, number)
        self.teller = admission.Teller.from_config(config)
        self.family = pb_utils.MetricFamily(  # kept: the metrics vanish with it
            name="crossfuse_modality_status_total",
            description="Payloads by what became of them: ok, absent, partial (used) or corrupt (left out)",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        model = {"model": args["model_name"], "version": args["model_version"]}
        self.outcomes = [
            [
                self.family.Metric(labels={**model, "modality": name, "status": status.name.lower()})
                for status in Status
            ]
            for name in contract.modalities
        ]

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Decode all requests of a dynamic batch at once."""
        payloads = [{name: _array(request, name).reshape(-1) for name in self.inputs} for request in requests]
        present = np.concatenate([_array(request, "present") for request in requests])
        answers = self.preprocess(payloads, present)
        self._count(np.stack([answer[self.status_output] for answer in answers]))
        self.teller.answered(len(requests))
        return [
            pb_utils.InferenceResponse([_tensor(name, value) for name, value in answer.items()])
            for answer in answers
        ]

    def _count(self, statuses: np.ndarray) -> None:
        """Add (batch, modalities) statuses; one message to the server per modality and status that occurs."""
        for outcomes, column in zip(self.outcomes, statuses.T, strict=True):
            for status, count in zip(*np.unique(column, return_counts=True), strict=True):
                outcomes[status].increment(float(count))

    def finalize(self) -> None:
        """Stop the decoder threads."""
        self.preprocess.close()


def _array(request: pb_utils.InferenceRequest, name: str) -> np.ndarray:
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy()


def _tensor(name: str, value: np.ndarray | Rows) -> pb_utils.Tensor:
    """One output with its batch axis; what lies on a GPU is passed by address."""
    if isinstance(value, Rows):
        return pb_utils.Tensor.from_dlpack(name, value.reshaped(1, *value.shape))
    return pb_utils.Tensor(name, value[None])
