"""Many clients at once: everyone gets the answer, or the error, that is theirs."""

import asyncio
import os
import random
import signal
import time
from pathlib import Path

import pytest
from crossfuse import AsyncClient, Client, CrossfuseError, InvalidInput, NoUsableModality, ServerUnavailable

import serving
from multimodal.weld_classes import MODALITIES
from serving.processes import stubs
from tests.end_to_end.test_bad_input import CORRUPT, REFUSED
from tests.end_to_end.weld_files import differences

REQUESTS = 64


def mixed_requests(welds, count: int = REQUESTS):
    """Whole, partial, corrupt and refused requests in a seeded order: payloads of each."""
    draw = random.Random(5)
    refused = [payloads for payloads, _ in REFUSED.values()]
    requests = []
    for index in range(count):
        weld = welds[index % len(welds)]
        kind = index % 4
        if kind == 0:
            requests.append(weld.payloads())
        elif kind == 1:
            requests.append(weld.payloads(*draw.sample(MODALITIES, draw.randint(1, 3))))
        elif kind == 2:
            broken = draw.choice(MODALITIES)
            requests.append(weld.payloads(**{broken: CORRUPT[broken](weld)}))
        else:
            requests.append(draw.choice(refused) if index % 8 == 3 else {"audio": CORRUPT["audio"](weld)})
    return requests


def nicenesses(pid: int) -> set[int]:
    """Of every thread of a process."""
    return {os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in Path(f"/proc/{pid}/task").iterdir()}


def test_requests_that_are_decoded_already_go_first(server, client, welds):
    client.infer("weld_inspection", **welds[0].payloads())
    nice = {stub.model: nicenesses(stub.pid) for stub in stubs(server.state().shm_prefix).values()}
    assert max(nice["weld_small_preprocess"]) == 10
    assert nice["weld_gate"] == nice["weld_small_fusion"] == nice["weld_small_video_encoder"] == {0}


async def outcome(client: AsyncClient, payloads):
    try:
        return await client.infer("weld_inspection", **payloads)
    except CrossfuseError as error:
        return error


async def ask_alone(url: str, requests):
    async with AsyncClient(url) as client:
        return [await outcome(client, payloads) for payloads in requests]


async def ask_together(url: str, requests):
    async with AsyncClient(url, timeout_s=300) as client:
        return await asyncio.gather(*(outcome(client, payloads) for payloads in requests))


def test_sixty_four_mixed_requests_get_what_is_theirs(server, welds):
    requests = mixed_requests(welds)
    alone = asyncio.run(ask_alone(server.grpc, requests))
    together = asyncio.run(ask_together(server.grpc, requests))
    for mine, expected in zip(together, alone, strict=True):
        if isinstance(expected, CrossfuseError):
            assert type(mine) is type(expected)
            assert str(mine) == str(expected)
        else:
            assert not isinstance(mine, CrossfuseError), mine
            assert differences(mine, expected) == []
    assert sum(isinstance(each, InvalidInput) for each in together) == REQUESTS // 8
    assert sum(isinstance(each, NoUsableModality) for each in together) == REQUESTS // 8


def test_who_cannot_wait_is_refused_and_the_others_are_answered(server, welds):
    """More at once than can be answered in the time that they have; after that the server is as it was."""
    payloads = welds[0].payloads()

    async def ask() -> tuple[list, list]:
        async with AsyncClient(server.grpc, timeout_s=300) as patient:
            alone = [await outcome(patient, payloads) for _ in range(8)]
            began = time.monotonic()
            await outcome(patient, payloads)
            short_s = 10 * (time.monotonic() - began)
            async with AsyncClient(server.grpc, timeout_s=short_s, retries=None) as hurried:
                found = await asyncio.gather(*(outcome(hurried, payloads) for _ in range(48)))
            return found, [*alone, await outcome(patient, payloads)]

    hurried, patient = asyncio.run(ask())
    refused = [each for each in hurried if isinstance(each, ServerUnavailable)]
    answered = [each for each in hurried if not isinstance(each, CrossfuseError)]
    assert len(refused) > 24
    assert all("overloaded" in str(each) and "raise the timeout" in str(each) for each in refused)
    assert answered
    for mine in [*answered, *patient]:
        assert differences(mine, patient[0]) == []


@pytest.mark.slow
def test_a_killed_server_loses_no_request(exported, welds):
    requests = mixed_requests(welds)
    with serving.running(["weld_inspection"], exported) as address:
        expected = asyncio.run(ask_alone(address.grpc, requests))

        async def kill_under_load():
            asking = asyncio.create_task(ask_together(address.grpc, requests))
            await asyncio.sleep(0.5)
            os.kill(address.state().server_pid, signal.SIGKILL)
            return await asking

        answers = asyncio.run(kill_under_load())
        assert address.state().restarts == 1
        for mine, mine_alone in zip(answers, expected, strict=True):
            if isinstance(mine_alone, CrossfuseError):
                assert str(mine) == str(mine_alone)
            else:
                assert not isinstance(mine, CrossfuseError), mine
                assert differences(mine, mine_alone) == []
        with Client(address.grpc) as client:
            assert client.status().ready
