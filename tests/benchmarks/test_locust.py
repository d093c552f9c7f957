"""Locust with our users against a real server: its statistics beside Triton's and our own closed loop's."""

import argparse
import itertools
import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack

import numpy as np
import pytest
import tritonclient.grpc as triton
from crossfuse import PIPELINES
from crossfuse._payloads import infer_request

import serving
from benchmarks.commands import load
from benchmarks.commands.arguments import Done
from benchmarks.load import closed_loop, locust_run, samples
from benchmarks.load.locust_run import Session
from benchmarks.stages import welds
from serving.server import free_ports

pytestmark = [pytest.mark.server, pytest.mark.slow]
PIPELINE = "weld_inspection"


@pytest.fixture(scope="module")
def url(exported):
    with serving.running([PIPELINE], exported) as address:
        yield address.grpc


@pytest.fixture(scope="module")
def payloads(tmp_path_factory):
    folder = tmp_path_factory.mktemp("load")
    return folder / "runs-7", welds(None, 7, folder)


def served(url: str) -> tuple[int, float]:
    """Requests that Triton has answered, and how long they took it together, in milliseconds."""
    with triton.InferenceServerClient(url) as server:
        (one,) = server.get_inference_statistics(PIPELINE, as_json=True)["model_stats"]
    success = one.get("inference_stats", {}).get("success", {})
    return int(success.get("count", 0)), int(success.get("ns", 0)) / 1e6


def wait_for(condition, timeout_s=60.0):
    until = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.1)
    return found


def test_two_workers_count_what_triton_counts_and_wait_as_long(url, payloads, tmp_path):
    before, before_ms = served(url)
    session = Session(url, (PIPELINE,), payloads[0], users=4, run_s=5, think_s=0.05, workers=2, headless=True)
    result = locust_run.measure(session, tmp_path / "locust.json")
    after, after_ms = served(url)
    found = result["all"]
    assert found["failures"] == 0 and result["failures"] == []
    assert found["requests"] == after - before > 8
    at_server_ms = (after_ms - before_ms) / (after - before)
    # what a caller waits beyond Triton: building, travelling, reading; and its own share of two busy cores
    assert at_server_ms <= found["mean_ms"] <= 1.25 * at_server_ms + 15
    assert found["mean_bytes"] > 1000
    assert {row["sent"] for row in result["rows"]} <= {
        "video + image + audio + sensor", "video + sensor", "audio + sensor", "image",
    }  # fmt: skip


def test_locust_and_our_closed_loop_agree_on_the_load_that_both_make(url, payloads, tmp_path):
    """Side by side, at the same time: what else the machine does falls on both alike."""
    folder, recordings = payloads
    tensors = [PIPELINES[PIPELINE].tensors(one) for one in recordings]
    messages = [infer_request(PIPELINE, each).SerializeToString() for each in tensors]
    closed_loop.run(url, messages, 2, 1.0, ("probabilities",))  # the server's first requests are slower
    session = Session(url, (PIPELINE,), folder, users=2, run_s=12, think_s=0.0, complete=True, headless=True)
    before, _ = served(url)
    results = []
    thread = threading.Thread(
        target=lambda: results.append(locust_run.measure(session, tmp_path / "locust.json"))
    )
    thread.start()
    wait_for(lambda: served(url)[0] > before)
    own = closed_loop.run(url, messages, 2, 11.0, ("probabilities",))
    thread.join()
    after, _ = served(url)
    (found,) = (one["all"] for one in results)
    assert own.answered.all() and found["failures"] == 0
    assert found["requests"] + len(own) == after - before
    own_ms = own.latency_s * 1e3
    assert found["latency_ms"]["p50"] == pytest.approx(float(np.median(own_ms)), rel=0.25)
    assert found["mean_ms"] == pytest.approx(float(own_ms.mean()), rel=0.25)
    assert found["requests"] == pytest.approx(len(own), rel=0.3)


BEATING = """
from gevent import monkey; monkey.patch_all()
import gevent, pathlib, sys, time
from grpc.experimental.gevent import init_gevent; init_gevent()
from crossfuse import Client
from benchmarks.load import samples
(weld, *_), client = samples.of_pipeline("weld_inspection", pathlib.Path(sys.argv[2])), Client(sys.argv[1])
waiting, beats = gevent.spawn(lambda: [client.infer("weld_inspection", **weld) for _ in range(20)]), 0
while not waiting.ready():
    gevent.sleep(0.001)
    beats += 1
print(beats, len(waiting.get()))
"""


def test_a_user_that_waits_lets_the_others_run(url, payloads):
    """Without gRPC's own support for gevent the whole process waits with it: one or two beats in all."""
    command = [sys.executable, "-c", BEATING, url, str(payloads[0])]
    done = subprocess.run(command, cwd=locust_run.ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    beats, answers = map(int, done.stdout.split())
    assert answers == 20 and beats > 5 * answers


def test_a_server_that_is_down_is_told_in_the_clients_words(payloads, tmp_path):
    session = Session("127.0.0.1:1", (PIPELINE,), payloads[0], users=1, run_s=2, think_s=0.2, headless=True)
    result = locust_run.measure(session, tmp_path / "locust.json")
    assert result["all"]["failures"] == result["all"]["requests"] > 0
    assert sum(one["count"] for one in result["failures"]) == result["all"]["failures"]
    assert (
        "weld_inspection at 127.0.0.1:1: expected an answer, got UNAVAILABLE"
        in result["failures"][0]["sentence"]
    )


def test_the_command_lets_a_spike_run_to_its_end_and_writes_one_json(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()
    load.add(parser.add_subparsers())
    words = ["load", "--url", url, "--shape", "spike", "--quick", "--out", str(tmp_path / "load.json")]
    assert load.run(parser.parse_args(words)) == Done(tmp_path / "load.json", [])
    written = json.loads((tmp_path / "load.json").read_text())
    assert written["quick"] and written["seed"] == 7
    assert written["result"]["shape"] == "spike" and written["result"]["all"]["requests"] > 0


@pytest.mark.parametrize("pipeline", samples.MIXES)
def test_every_mix_of_every_pipeline_is_a_request(pipeline, payloads):
    drawn = list(itertools.islice(samples.draw(pipeline, samples.MIXES[pipeline], payloads[0], "7-0-0"), 60))
    assert {one.mix for one in drawn} == set(samples.MIXES[pipeline])
    for one in drawn[:10]:
        assert infer_request(pipeline, PIPELINES[pipeline].tensors(one.payloads)).ByteSize() > 0


def test_a_pipeline_that_is_not_served_is_told(url):
    with (
        ExitStack() as own,
        pytest.raises(ValueError, match=r"expected video_quality at .*, got weld_inspection"),
    ):
        locust_run.server(own, url, ["video_quality"])


def test_the_page_starts_users_and_shows_their_requests(url, payloads, tmp_path):
    port = free_ports(1)[0]
    session = Session(url, (PIPELINE,), payloads[0], think_s=0.1, web_port=port)
    statistics = tmp_path / "locust.json"
    with subprocess.Popen(locust_run.command(session, statistics), cwd=locust_run.ROOT) as locust:
        try:
            page = wait_for(lambda: fetched(f"http://127.0.0.1:{port}/"))
            assert "Spike" in page
            offered = re.search(r'"available_user_classes": (\[[^]]*\])', page)
            assert offered and json.loads(offered[1]) == ["Welds"]
            asked = {"user_count": 2, "spawn_rate": 2, "host": url, "user_classes": "Welds"}
            assert json.loads(fetched(f"http://127.0.0.1:{port}/swarm", asked))["success"]
            wait_for(lambda: rows(port) and rows(port)[0]["num_requests"] > 0)
        finally:
            locust.send_signal(signal.SIGINT)
    assert locust.returncode == 0
    assert json.loads(statistics.read_text())["failures"] == []


def fetched(address: str, form: dict | None = None) -> str | None:
    data = urllib.parse.urlencode(form).encode() if form else None
    try:
        with urllib.request.urlopen(address, data, timeout=10) as answer:
            return answer.read().decode()
    except OSError:
        return None


def rows(port: int) -> list[dict]:
    return json.loads(fetched(f"http://127.0.0.1:{port}/stats/requests") or "{}").get("stats", [])
