"""One real server of weld_small that every verb of the load benchmarks measures."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import serving
from benchmarks.__main__ import main


@pytest.fixture(scope="session")
def weld_server(exported) -> Iterator[serving.Address]:
    with serving.running(["weld_inspection"], exported) as address:
        yield address


@pytest.fixture(scope="session")
def weld_runs(tmp_path_factory):
    """Where a verb finds the simulated welds of seed 7: made once."""
    from benchmarks import stages

    work = tmp_path_factory.mktemp("build")
    stages.welds(None, 7, work / "benchmarks")
    return work


@pytest.fixture
def bench(weld_runs, tmp_path, monkeypatch):
    """A working folder with the welds in it."""
    (tmp_path / "build").symlink_to(weld_runs)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def measured(weld_server, bench) -> Callable[..., dict[str, Any]]:
    """Runs a verb's quick form on the server of welds; what its file VERB.json says was measured."""

    def run(verb: str, *words: str) -> dict[str, Any]:
        assert main([verb, "--quick", "--url", weld_server.grpc, "--out", f"{verb}.json", *words]) == 0
        return json.loads((bench / f"{verb}.json").read_text())["result"]

    return run
