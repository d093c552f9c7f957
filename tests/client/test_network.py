"""Over a real gRPC connection: time-outs that cancel nothing, servers that die, TLS."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from crossfuse import TLS, AsyncClient, Client, ServerUnavailable, Timeout, UnknownPipeline
from crossfuse._transports import CHANNEL_OPTIONS, GrpcTransport

from tests.client.conftest import CLIENT
from tests.client.stand_ins import Peer

pytestmark = pytest.mark.slow

ROOT = CLIENT.parent


def test_an_answer_comes_over_the_wire(peer: Peer) -> None:
    with Client(peer.url) as client:
        assert client.infer("weld_inspection", video=b"v" * 5_000_000).defect == "Porosity"
        assert client.status().as_dict() == {
            "url": peer.url,
            "live": True,
            "ready": True,
            "version": "2.51.0",
            "pipelines": {"weld_inspection": True},
        }


def test_a_timeout_here_does_not_cancel_the_request_there(peer: Peer) -> None:
    with Client(peer.url, timeout_s=0.3) as client:
        client.infer("weld_inspection", video=b"v")
        peer.work_s = 1.0
        with pytest.raises(Timeout, match="got none; the request was left to finish there"):
            client.infer("weld_inspection", video=b"v")
        gc.collect()  # a future that nobody holds would cancel itself now
    assert (peer.answered, peer.cancelled) == (2, 0)


def test_the_same_holds_for_asyncio_even_when_the_caller_is_cancelled(peer: Peer) -> None:
    async def ask() -> None:
        async with AsyncClient(peer.url, timeout_s=0.3) as client:
            await client.infer("weld_inspection", video=b"v")
            peer.work_s = 1.0
            with pytest.raises(Timeout):
                await client.infer("weld_inspection", video=b"v")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.infer("weld_inspection", video=b"v"), 0.1)
            gc.collect()

    asyncio.run(ask())
    assert (peer.answered, peer.cancelled) == (3, 0)


def test_a_client_that_closes_early_leaves_its_request_to_finish(peer: Peer) -> None:
    client = Client(peer.url, timeout_s=0.3)
    client.infer("weld_inspection", video=b"v")
    peer.work_s = 1.0
    with pytest.raises(Timeout):
        client.infer("weld_inspection", video=b"v")
    peer.idle.clear()
    assert client.close(0.0) is False
    del client
    gc.collect()
    assert peer.idle.wait(10)
    assert (peer.answered, peer.cancelled) == (2, 0)


def test_a_client_that_closes_waits_for_what_the_server_works_on(peer: Peer) -> None:
    peer.work_s = 0.5
    client = Client(peer.url, timeout_s=0.2)
    with pytest.raises(Timeout):
        client.infer("weld_inspection", video=b"v")
    assert client.close(10.0) is True
    assert (peer.answered, peer.cancelled) == (1, 0)


def test_threads_share_one_client_and_one_connection(peer: Peer) -> None:
    peers = set()
    peer.before_answer = lambda context: peers.add(context.peer())
    with Client(peer.url) as client, ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: client.infer("weld_inspection", audio=b"s"), range(20)))
    assert len(answers) == 20 and len(peers) == 1


def test_a_server_that_is_not_there_is_unavailable_in_time() -> None:
    with Client("127.0.0.1:1", timeout_s=0.5) as client:
        with pytest.raises(ServerUnavailable, match=r"127\.0\.0\.1:1: .* attempts in 0\.5 s"):
            client.infer("weld_inspection", video=b"v")
        assert client.status().live is False


def test_the_servers_refusal_arrives_with_its_sentence(peer: Peer) -> None:
    peer.before_answer = lambda context: context.abort(grpc.StatusCode.NOT_FOUND, "no such model here")
    with Client(peer.url, retries=None) as client, pytest.raises(UnknownPipeline, match="no such model here"):
        client.infer("weld_inspection", video=b"v")


class Process:
    """The peer as a process of its own, on one port."""

    def __init__(self, port: int = 0) -> None:
        command = [sys.executable, "-m", "tests.client.stand_ins", str(port)]
        path = os.pathsep.join((str(ROOT), str(CLIENT)))
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())
        self.url = f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


def kill_and_restart(first: Process, restarted: list[Process]) -> None:
    time.sleep(0.7)
    first.kill()
    time.sleep(1.5)
    restarted.append(Process(first.port))


def test_a_server_killed_and_restarted_under_load_loses_no_request() -> None:
    first, restarted = Process(), []
    killer = threading.Thread(target=kill_and_restart, args=(first, restarted))
    with Client(first.url) as client, ThreadPoolExecutor(4) as threads:
        client.infer("weld_inspection", video=b"v")
        killer.start()
        answers = list(threads.map(lambda _: client.infer("weld_inspection", video=b"v"), range(40)))
    killer.join()
    restarted[0].kill()
    assert [weld.defect for weld in answers] == ["Porosity"] * 40


def test_the_same_restart_loses_nothing_for_asyncio() -> None:
    first, restarted = Process(), []
    killer = threading.Thread(target=kill_and_restart, args=(first, restarted))

    async def ask() -> list[str]:
        async with AsyncClient(first.url) as client:
            await client.infer("weld_inspection", video=b"v")
            killer.start()
            welds = await asyncio.gather(*(client.infer("weld_inspection", video=b"v") for _ in range(40)))
            return [weld.defect for weld in welds]

    defects = asyncio.run(ask())
    killer.join()
    restarted[0].kill()
    assert defects == ["Porosity"] * 40


def test_no_call_carries_a_deadline(peer: Peer) -> None:
    left: list[float | None] = []
    peer.before_answer = lambda context: left.append(context.time_remaining())
    with Client(peer.url, timeout_s=5.0) as client:
        client.infer("weld_inspection", video=b"v")
    assert left[0] is None or left[0] > 1e9  # gRPC's word for none differs between its releases


def test_the_channel_is_patient_with_the_server_and_quick_to_reconnect() -> None:
    options = dict(CHANNEL_OPTIONS)
    assert options["grpc.keepalive_time_ms"] >= 300_000
    assert options["grpc.max_reconnect_backoff_ms"] <= 1_000
    assert options["grpc.max_receive_message_length"] == options["grpc.max_send_message_length"] == 2**31 - 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1 that signs itself."""
    folder = tmp_path_factory.mktemp("tls")
    key, chain = folder / "key.pem", folder / "chain.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-keyout", str(key), "-out", str(chain), "-days", "1", "-subj", "/CN=127.0.0.1"]
    try:
        subprocess.run([*command, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed, so no certificate can be made")
    return key, chain


def test_tls_answers_whom_it_trusts(certificate: tuple[Path, Path]) -> None:
    key, chain = certificate
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())])
    secured = Peer(credentials=credentials)
    secured.start()
    with Client(secured.url, tls=TLS(chain)) as client:
        assert client.infer("weld_inspection", video=b"v").defect == "Porosity"
    with Client(secured.url, timeout_s=0.5) as client, pytest.raises(ServerUnavailable):
        client.infer("weld_inspection", video=b"v")
    secured.stop()


def test_half_a_key_pair_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^tls: expected private_key and certificate_chain together"):
        TLS(private_key="key.pem")


def test_a_certificate_file_that_is_missing_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.pem"):
        GrpcTransport("127.0.0.1:1", TLS("gone.pem"))
