"""The generator over HTTP: the same schedule, the same recording, whatever a peer answers."""

import asyncio
import threading

import numpy as np
import pytest
from aiohttp import web

from benchmarks import open_loop
from benchmarks.arrivals import Schedule
from benchmarks.peers import http_load, wire

OUTPUTS = ("anomaly_score", "modality_status")
WORK_S = 0.05


def reply(score):
    zeros = {name: np.zeros(shape) for name, shape in wire.LAYOUT.items()}
    return wire.packed(zeros | {"anomaly_score": np.array([score]), "modality_status": np.arange(4)})


class Slow:
    """Answers with the length of the sensor log, one request at a time, each in WORK_S."""

    def __init__(self):
        self.turn = asyncio.Lock()

    async def predict(self, request):
        text = (await request.post())["sensor"].file.read()
        async with self.turn:
            await asyncio.sleep(WORK_S)
        if text == b"busy":
            return web.Response(status=503, text="come back later")
        return web.Response(body=b"short" if text == b"broken" else reply(len(text)))


@pytest.fixture
def server():
    """A real HTTP server in a thread of its own."""
    loop, ready, ports = asyncio.new_event_loop(), threading.Event(), []
    ended = asyncio.Event()

    async def serve():
        app = web.Application()
        app.router.add_post("/predict", Slow().predict)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        ready.set()
        await ended.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    yield f"127.0.0.1:{ports[0]}"
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()


def load(url, schedule, *texts):
    return http_load.load(url, "form", schedule, [{"sensor": text} for text in texts], OUTPUTS)


def test_a_slow_peer_holds_nothing_back_and_its_queue_counts(server):
    together = Schedule(np.zeros(10), np.zeros(10, int))
    recorded = open_loop.replay(load(server, together, b"abc"))
    latency_s = np.sort(recorded.latency_s)
    assert recorded.answered.all() and recorded.lag_s.max() < latency_s[-1]
    assert (latency_s >= WORK_S * np.arange(1, 11)).all()  # the tenth waited for the nine before it
    assert recorded.answers.tolist() == [[3.0, 0.0, 1.0, 2.0, 3.0]] * 10


def test_a_refusal_is_recorded_as_the_grpc_status_that_means_the_same(server):
    schedule = Schedule(np.array([0.0, 0.01, 0.02]), np.array([0, 1, 2]))
    recorded = open_loop.replay(load(server, schedule, b"ab", b"busy", b"broken"))
    assert recorded.code.tolist() == ["", "UNAVAILABLE", "INCOMPLETE"]
    assert recorded.detail[1] == "HTTP 503: come back later"
    assert recorded.detail[2].startswith("answer: expected") and recorded.detail[2].endswith("got 5")
    assert recorded.answers[0, 0] == 2.0 and np.isnan(recorded.answers[1:]).all()


def test_answers_can_be_asked_for_one_by_one(server):
    nothing = Schedule(np.zeros(0), np.zeros(0, int))
    assert http_load.ask(load(server, nothing, b"a", b"ab"))[:, 0].tolist() == [1.0, 2.0]
    with pytest.raises(RuntimeError, match=r"expected answers, got .*UNAVAILABLE: HTTP 503: come back"):
        http_load.ask(load(server, nothing, b"a", b"busy"))


def test_where_no_peer_is_the_generator_says_so():
    asked = load("127.0.0.1:1", Schedule(np.zeros(1), np.zeros(1, int)), b"a")
    sentence = r"^load generator: expected its connection .* got no connection; is a server at 127\.0\.0\.1:1"
    with pytest.raises(RuntimeError, match=sentence), open_loop.Traffic(asked, connect_s=0.2):
        raise AssertionError("entered without a server")
