"""The canary as the real server offers it: there, gone, and gone while requests are under way."""

import shutil
import threading

import numpy as np
import pytest
from crossfuse import Client

import serving
from serving.releases.live import CANARY, Live
from serving.required import models_of

PIPELINE = "weld_inspection"
SENSOR = np.zeros((256, 6), np.float32)


@pytest.fixture(scope="module")
def server(exported, tmp_path_factory):
    """A server on a repository of its own, so that no release of the checkout has a say."""
    repository = tmp_path_factory.mktemp("canary") / "repository"
    for model in models_of(exported, [PIPELINE]):
        shutil.copytree(exported / model, repository / model)
    with serving.running([PIPELINE], repository) as address, Live(address.grpc, repository) as live:
        yield live


def load_canary(live):
    pins = live.pinned(PIPELINE)
    live.hold({model: [version] for model, version in pins.items()})
    live.pin(PIPELINE, pins, PIPELINE + CANARY)


@pytest.mark.server
def test_the_canary_answers_while_it_is_there_and_the_live_pipeline_afterwards(server):
    with Client(server.url, canary=1.0, retries=None) as client:
        said = [client.infer(PIPELINE, sensor=SENSOR).population]
        load_canary(server)
        said.append(client.infer(PIPELINE, sensor=SENSOR).population)
        server.unpin(PIPELINE + CANARY)
        said.append(client.infer(PIPELINE, sensor=SENSOR).population)
    assert said == ["live", "canary", "live"]


@pytest.mark.server
def test_a_canary_that_comes_and_goes_under_traffic_costs_no_request(server):
    said, done = [], threading.Event()

    def ask():
        with Client(server.url, canary=1.0, retries=None) as client:
            while not done.is_set():
                said.append(client.infer(PIPELINE, sensor=SENSOR).population)

    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(10):
        load_canary(server)
        count = len(said)
        while asking.is_alive() and len(said) < count + 3:
            done.wait(0.005)
        server.unpin(PIPELINE + CANARY)
    alive = asking.is_alive()  # an error would have ended it
    done.set()
    asking.join()
    assert alive and {"live", "canary"} >= set(said) and said.count("canary") >= 10
