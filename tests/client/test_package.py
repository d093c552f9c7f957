"""What the package is: small, documented, the same for both clients, and free of ours and of torch."""

import inspect
import os
import subprocess
import sys
import tomllib

import crossfuse
import pytest

from tests.client.conftest import CLIENT

MODULES = sorted((CLIENT / "crossfuse").glob("*.py"))


@pytest.mark.parametrize("name", crossfuse.__all__)
def test_every_exported_name_is_documented(name: str) -> None:
    thing = getattr(crossfuse, name)
    if name == "PIPELINES":
        return  # a table: the comment above it is its documentation
    assert thing.__doc__ and not thing.__doc__.startswith(f"{name}("), name
    for member, value in inspect.getmembers(thing, inspect.isfunction):
        if not member.startswith("_"):
            assert inspect.getdoc(value), f"{name}.{member}"


def test_what_is_exported_is_what_is_public() -> None:
    public = {
        name
        for name, value in vars(crossfuse).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(crossfuse.__all__) and crossfuse.__all__ == sorted(
        crossfuse.__all__, key=isort_order
    )


def isort_order(name: str) -> tuple[bool, bool, str]:
    return (not name.isupper(), name.islower(), name)


@pytest.mark.parametrize("method", ["__init__", "infer", "status", "close"])
def test_both_clients_take_the_same_arguments(method: str) -> None:
    blocking = inspect.signature(getattr(crossfuse.Client, method)).parameters
    awaiting = inspect.signature(getattr(crossfuse.AsyncClient, method)).parameters
    assert [(p.name, p.kind, p.default) for p in blocking.values()] == [
        (p.name, p.kind, p.default) for p in awaiting.values()
    ]


def test_importing_it_loads_neither_ours_nor_torch_nor_what_only_pictures_need() -> None:
    program = "import crossfuse, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(CLIENT)},
        cwd=CLIENT,
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = set(run.stdout.split())
    ours = {"multimodal", "training", "export", "model_repository", "serving", "benchmarks"}
    assert "crossfuse" in loaded
    assert not loaded & (
        ours | {"torch", "transformers", "matplotlib", "av", "soundfile", "PIL", "onnxruntime"}
    )


def test_the_distribution_needs_numpy_and_tritonclient_only() -> None:
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    assert [need.split(">")[0] for need in project["dependencies"]] == ["numpy", "tritonclient[grpc]"]
    assert set(project["optional-dependencies"]) == {"picture"}
    assert project["scripts"] == {"crossfuse": "crossfuse._cli:main"}
    assert (CLIENT / "crossfuse" / "py.typed").exists()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_modules_stay_small(module) -> None:
    assert len(module.read_text().splitlines()) <= 300
