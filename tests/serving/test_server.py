"""The command of one server, its ports, and what its log says."""

import socket
from pathlib import Path

import pytest

from serving.embedded import Installation
from serving.server import Options, Ports, command, failure, free_ports, is_free, loaded_models, not_ready

PORTS = Ports(grpc=8001, http=8000, metrics=8002)


def test_the_command_says_everything_that_differs_from_the_defaults_of_the_server():
    options = Options(Path("/models"), ("weld_inspection", "vision_language"), PORTS, "crossfuse_7_")
    installation = Installation(Path("/triton/bin/tritonserver"), Path("/cache/backends"), {})
    assert command(options, installation) == [
        "/triton/bin/tritonserver",
        "--model-repository=/models",
        "--backend-directory=/cache/backends",
        "--model-control-mode=explicit",
        "--model-config-name=cpu",
        "--disable-auto-complete-config",
        "--strict-readiness=false",
        "--grpc-address=127.0.0.1",
        "--grpc-port=8001",
        "--http-address=127.0.0.1",
        "--http-port=8000",
        "--metrics-address=127.0.0.1",
        "--metrics-port=8002",
        "--exit-timeout-secs=15",
        "--backend-config=python,shm-region-prefix-name=crossfuse_7_",
        "--backend-config=python,shm-default-byte-size=2097152",
        "--backend-config=python,shm-growth-byte-size=2097152",
        "--log-format=ISO8601",
        "--log-verbose=0",
    ]


def test_a_server_without_a_pipeline_is_refused():
    with pytest.raises(ValueError, match="pipelines: expected at least one, got none"):
        Options(Path("/models"), (), PORTS, "crossfuse_7_")


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        ({"grpc": 8000, "http": 8000}, r"expected three different ones, got 8000 \(grpc\), 8000 \(http\)"),
        ({"metrics": 0}, "metrics port: expected 1 to 65535, got 0"),
        ({"http": 70000}, "http port: expected 1 to 65535, got 70000"),
    ],
)
def test_ports_that_cannot_be_are_refused(ports, message):
    with pytest.raises(ValueError, match=message):
        Ports(**ports)


def test_free_ports_are_distinct_free_and_never_the_source_port_of_a_client():
    ports = free_ports(3)
    assert len(set(ports)) == 3
    assert all(20000 <= port < 32000 and is_free(port) for port in ports)


def test_a_port_that_somebody_listens_on_is_not_free_and_nothing_is_ready_on_a_free_one():
    (port,) = free_ports(1)
    options = Options(Path("/models"), ("doubler",), Ports(grpc=port), "crossfuse_7_")
    assert not_ready(options) == ["the server"]
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", port))
        listening.listen()
        assert not is_free(port)


def test_models_count_as_loaded_once_however_often_they_are_reloaded():
    log = "I 7 a.cc:1] \"successfully loaded 'gate'\"\nI 7 a.cc:1] \"successfully loaded 'fusion'\"\n" * 2
    assert loaded_models(log) == ["gate", "fusion"]


LOG = """\
2026-11-22T00:00:45Z E 29402 server.cc:241] "CudaDriverHelper has not been initialized."
2026-11-22T00:00:46Z I 29402 python_be.cc:1] "loading"
"""


def test_a_failure_names_the_model_and_the_cause_without_the_layers_around_it():
    entry = (
        "2026-11-22T00:00:46Z E 29402 model_lifecycle.cc:642] \"failed to load 'broken' version 1: Internal: "
        'TritonModelException: model.onnx is missing\\n\\nAt:\\n  /onnxruntime/model.py(129): load\\n"\n'
    )
    assert (
        failure(LOG + entry + "error: creating server: Internal\n")
        == "broken version 1: model.onnx is missing"
    )


def test_a_failure_of_the_server_itself_is_its_error_lines():
    taken = "2026-11-22T00:00:46Z E 29402 main.cc:9] \"failed to start gRPC: socket '1' already in use\"\n"
    assert failure(LOG + taken) == "failed to start gRPC: socket '1' already in use"


def test_a_log_without_an_error_is_quoted_from_its_end():
    assert failure("one\ntwo\n\nthree\n", lines=2) == "two\nthree"
