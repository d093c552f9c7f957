"""Triton's entry points of the generator: one batch in, every request answered, none refused."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

sys.dont_write_bytecode = True  # the model repository holds releases, no caches
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a few short texts: threads would cost more than they save
# The folder of all backends, in which this one is the package `generator`. Resolved: an installation links
# the packages, the module that they share lies beside them.
sys.path.append(str(Path(__file__).resolve().parents[1]))

import admission  # noqa: E402

from generator.answering import Answer, Answerer  # noqa: E402


class TritonPythonModel:
    """One instance of one answers model; its only state is what `initialize` loads."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graphs, the tokenizer and the settings of the version folder."""
        config = json.loads(args["model_config"])
        if args["model_instance_kind"] == "GPU":
            raise pb_utils.TritonModelException(
                f"{config['name']}: the generator runs on the CPU, instance_group says KIND_GPU; say KIND_CPU"
            )
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._teller = admission.Teller.from_config(config)
        try:
            self._answer = Answerer(Path(args["model_repository"], args["model_version"]), config)
        except ValueError as error:
            raise pb_utils.TritonModelException(str(error)) from error

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer the rows of all requests together."""
        feeds = [
            {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
            for request in requests
        ]
        rows = {name: np.concatenate([feed[name] for feed in feeds]) for name in self._inputs}
        answers = iter(self._answer(rows))
        responses = [_response([next(answers) for _ in feed["image_valid"]]) for feed in feeds]
        self._teller.answered(len(requests))
        return responses


def _response(answers: list[Answer]) -> pb_utils.InferenceResponse:
    """The tensors of one request."""
    columns = {
        "answer": _texts([[one.answer] for one in answers]),
        "answer_probability": np.asarray([[one.probability] for one in answers], np.float32),
        "captions": _texts([one.captions for one in answers]),
        "caption_answer": _texts([[one.caption_answer] for one in answers]),
        "modality_status": np.asarray([one.status for one in answers], np.int32),
    }
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in columns.items()])


def _texts(rows: list) -> np.ndarray:
    """(rows, texts) strings as Triton takes them: objects of UTF-8 bytes."""
    return np.asarray([[text.encode() for text in row] for row in rows], np.object_)
