"""Triton's entry points of the gate: one answer or one refusal per request, and counters of refusals."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import triton_python_backend_utils as pb_utils

sys.dont_write_bytecode = True
# The folder of all backends, in which this one is the package `gate`. Resolved: an installation links
# the packages, the module that they share lies beside them.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import admission  # noqa: E402

from gate.payloads import Limits, Refused, presence  # noqa: E402


class TritonPythonModel:
    """One instance of one gate; its only state is the limits and the counters."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the limits from the configuration; a nonsensical one refuses to load."""
        config = json.loads(args["model_config"])
        self.limits = Limits.from_parameters({k: v["string_value"] for k, v in config["parameters"].items()})
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.output = config["output"][0]["name"]
        family = pb_utils.MetricFamily(
            name="crossfuse_refused_requests",
            description="Requests that the gate refused, by the modality at fault",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self.refused = {
            name: family.Metric(labels={"model": args["model_name"], "modality": name})
            for name in ("request", *self.limits.modalities)
        }
        overload = pb_utils.MetricFamily(
            name="crossfuse_overload_refusals",
            description="Requests that the gate refused: too many under way, or too late an answer",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self.overload = overload.Metric(labels={"model": args["model_name"]})
        self.families = family, overload  # the metrics vanish with them
        self.admission = admission.Gate(args["model_name"], self.limits.max_under_way)

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer every request by itself: a refusal or a broken check leaves the others alone."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        if refusal := self.admission.refusal(request.timeout() / 1e6):
            self.overload.increment(1)
            return _refused(refusal, pb_utils.TritonError.UNAVAILABLE)
        try:
            tensors = {
                name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs
            }
            present = presence(tensors, self.limits)
        except Refused as fault:
            self.refused.get(fault.modality, self.refused["request"]).increment(1)
            return _refused(str(fault), pb_utils.TritonError.INVALID_ARG)
        except Exception as error:  # a hole in the checks must not fail the neighbours
            text = f"request: the gate failed with {type(error).__name__}: {error}; report this request"
            return _refused(text, pb_utils.TritonError.INTERNAL)
        self.admission.admit()
        return pb_utils.InferenceResponse([pb_utils.Tensor(self.output, present)])

    def finalize(self) -> None:
        """Stop listening for answers."""
        self.admission.close()


def _refused(text: str, code: int) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))
