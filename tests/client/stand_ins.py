"""Stand-ins for the world outside the client: a transport recorded by hand, and a real gRPC peer.

`python -m tests.client.stand_ins PORT` runs the peer as a process of its own, so that it can be killed.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from typing import Any

import grpc
import numpy as np
from crossfuse._conversation import Outcome, Refusal, Reply, Send
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import serialize_byte_tensor

from tests.client.image_text_outputs import VISION_LANGUAGE, VISUAL_QUESTION

CLASSES = ("Good", "Porosity", "Undercut")
MODALITIES = ("video", "image", "audio", "sensor")
LENGTHS = {"video": 8, "image": 5, "audio": 12, "sensor": 256}
OK, ABSENT, PARTIAL, CORRUPT = range(4)


def stated(parameters: Mapping[str, str]) -> Any:
    """What a server states about a pipeline, as the message that travels."""
    response = service_pb2.ModelConfigResponse()
    for key, value in parameters.items():
        response.config.parameters[key].string_value = value
    return response


def config_response(**changed: str) -> Any:
    """What the server states about `weld_inspection`."""
    return stated({"class_names": ",".join(CLASSES), "modalities": ",".join(MODALITIES)} | changed)


def weld_outputs(
    status: Sequence[int] = (OK,) * 4, photos: Sequence[int] = (OK,) * 5
) -> dict[str, np.ndarray]:
    """Outputs of one weld, batch axis included: Porosity wins."""
    rng = np.random.default_rng(7)
    attention = {
        f"{name}_attention": rng.dirichlet(np.ones(length), (1, 4)).astype(np.float32)
        for name, length in LENGTHS.items()
    }
    return {
        "probabilities": np.array([[0.2, 0.7, 0.1]], np.float32),
        "anomaly_score": np.array([[0.8]], np.float32),
        "embedding": np.full((1, 4), 0.5, np.float32),
        **attention,
        "modality_status": np.array([status], np.int32),
        "image_status": np.array([photos], np.int32),
    }


def weld_response(outputs: dict[str, np.ndarray] | None = None) -> Any:
    """Outputs as the message that travels."""
    return response_of(weld_outputs() if outputs is None else outputs)


def response_of(outputs: Mapping[str, np.ndarray]) -> Any:
    """Any pipeline's outputs as the message that travels; texts as Triton packs them."""
    response = service_pb2.ModelInferResponse(model_name="weld_inspection", model_version="3")
    for name, array in outputs.items():
        datatype = {"float32": "FP32", "int32": "INT32", "object": "BYTES"}[array.dtype.name]
        response.outputs.add(name=name, datatype=datatype, shape=array.shape)
        packed = serialize_byte_tensor(array).item() if datatype == "BYTES" else array.tobytes()
        response.raw_output_contents.append(packed)
    return response


MOMENTS = 8
FUSIONS = (
    "gated:gate|views differ:detail|change;"
    "cross_attention:detail asks|change asks:;"
    "mixture_of_experts::expert 1|expert 2|expert 3;"
    "pyramid::"
)


def quality_config_response(**changed: str) -> Any:
    """What the server states about `video_quality`."""
    return stated({"modalities": "video", "fusions": FUSIONS} | changed)


def quality_outputs(
    status: int = OK, fusion: int = 0, shape: Sequence[int] = (2, 2)
) -> dict[str, np.ndarray]:
    """Outputs of one video, batch axis included: 66 of 100, frames 0, 7, ... of 10 a second.

    shape: of the fusion's evidence, which counts up in hundredths
    """
    evidence = np.zeros((1, 4, 16), np.float32)
    rows, columns = shape
    evidence[0, :rows, :columns] = np.arange(1, rows * columns + 1).reshape(rows, columns) / 100
    usable = status in (OK, PARTIAL)
    weights = np.array([[0.05, 0.05, 0.1, 0.1, 0.1, 0.15, 0.2, 0.25]], np.float32)
    return {
        "quality_score": np.array([[66.0 * usable]], np.float32),
        "frame_scores": np.arange(80, 40, -5, np.float32)[None] * usable,
        "frame_weights": weights * usable,
        "fusion_weights": evidence * usable,
        "fusion_shape": np.array([shape], np.int32),
        "fusion_index": np.array([[fusion]], np.int32),
        "frame_numbers": np.arange(0, 56, 7, np.int32)[None],
        "frame_times": np.arange(0, 56, 7, np.float32)[None] / 10,
        "modality_status": np.array([[status]], np.int32),
    }


def quality_response(outputs: dict[str, np.ndarray] | None = None) -> Any:
    """Outputs as the message that travels."""
    return weld_response(quality_outputs() if outputs is None else outputs)


CONFIGS = {
    "weld_inspection": config_response(),
    "video_quality": quality_config_response(),
    "vision_language": stated(VISION_LANGUAGE),
    "visual_question_answering": stated(VISUAL_QUESTION),
}


class Recorded:
    """A transport that plays outcomes in order (the last one for ever) and keeps what it was asked."""

    def __init__(self, *outcomes: Outcome, config: Outcome | None = None) -> None:
        self.outcomes = list(outcomes) or [Reply(weld_response())]
        self.config = config or Reply(config_response())
        self.asked: list[Send] = []
        self.closed = False

    def send(self, step: Send) -> Outcome:
        self.asked.append(step)
        if step.method == "ModelConfig":
            return self.config
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]

    def close(self, wait_s: float) -> bool:
        self.closed = True
        return True

    @property
    def inferences(self) -> list[Send]:
        return [step for step in self.asked if step.method == "ModelInfer"]


class AsyncRecorded:
    """The same for asyncio."""

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded

    async def send(self, step: Send) -> Outcome:
        return self.recorded.send(step)

    async def close(self, wait_s: float) -> bool:
        return self.recorded.close(wait_s)


def refused(code: grpc.StatusCode, detail: str = "said the server") -> Refusal:
    return Refusal(code, detail)


class Peer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """A gRPC server that answers `weld_inspection` after `work_s` and knows whether a client cancelled.

    served: its pipelines; where it is changed to another one, `response` has to be changed with it
    """

    def __init__(
        self, port: int = 0, work_s: float = 0.0, credentials: grpc.ServerCredentials | None = None
    ) -> None:
        self.work_s = work_s
        self.answered = 0
        self.cancelled = 0
        self.response = weld_response()
        self.served = ["weld_inspection"]
        self.busy, self.idle = threading.Event(), threading.Event()
        self.before_answer: Callable[[Any], None] = lambda context: None
        self._server = grpc.server(
            futures.ThreadPoolExecutor(8),
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 64 << 20)],
        )
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self.url = f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()

    def wait(self) -> None:
        self._server.wait_for_termination()

    def ModelConfig(self, request: Any, context: Any) -> Any:
        return CONFIGS[request.name.removesuffix("_canary")]

    def ModelInfer(self, request: Any, context: Any) -> Any:
        self.idle.clear()
        self.busy.set()
        time.sleep(self.work_s)
        self.before_answer(context)
        if context.is_active():
            self.answered += 1
        else:
            self.cancelled += 1
        self.idle.set()
        return self.response

    def ServerLive(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerLiveResponse(live=True)

    def ServerReady(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerReadyResponse(ready=True)

    def ServerMetadata(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerMetadataResponse(name="triton", version="2.51.0")

    def ModelReady(self, request: Any, context: Any) -> Any:
        return service_pb2.ModelReadyResponse(ready=request.name in self.served)

    def RepositoryIndex(self, request: Any, context: Any) -> Any:
        """As Triton does: what only lies in the repository has no state."""
        response = service_pb2.RepositoryIndexResponse()
        for name in (*CONFIGS, "weld_gate"):
            response.models.add(name=name, state="READY" if name in self.served else "")
        return response


if __name__ == "__main__":
    process = Peer(int(sys.argv[1]), work_s=0.2)
    process.start()
    sys.stdout.write(f"{process.port}\n")
    sys.stdout.flush()
    process.wait()
