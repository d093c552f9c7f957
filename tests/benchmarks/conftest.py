"""One real server of weld_small that every verb of the load benchmarks measures."""

from collections.abc import Iterator

import pytest

import serving


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
