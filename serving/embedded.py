"""A Triton installation made from the `nvidia-pytriton` wheel: the real server where there is no container.

The wheel brings the `tritonserver` binary, the python backend and one stub per Python version. Triton wants
them in one backend directory, beside our own python-based backends; `install` lays that out once, in a cache.
"""

import hashlib
import importlib.metadata
import os
import platform
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BACKENDS = Path(__file__).resolve().parent / "backends"
WHEEL = "nvidia-pytriton"
STUB = "triton_python_backend_stub"


@dataclass(frozen=True)
class Installation:
    """Where the server lies and what it needs around it.

    environment: the variables to set on top of the caller's own (`os.environ | environment`).
    """

    tritonserver: Path
    backend_directory: Path
    environment: Mapping[str, str]


def install(cache: Path | None = None, backends: Path = BACKENDS) -> Installation:
    """Lay out the backend directory in `cache` unless it is there already, and say how to start the server.

    cache:    default `$XDG_CACHE_HOME/crossfuse` (`~/.cache/crossfuse`)
    backends: python-based backends, one folder with a `model.py` each; linked, so that edits count at once
    errors:   RuntimeError in one line when this machine or this Python cannot run the server
    """
    check_platform()
    check_numpy()
    wheel = wheel_folder()
    library_folder = python_library_folder()
    stub = wheel / "python_backend_stubs" / _python_version() / STUB
    if not stub.exists():
        offered = ", ".join(sorted(path.name for path in stub.parents[1].iterdir()))
        raise RuntimeError(
            f"Python: expected a version that {WHEEL} has a stub for ({offered}), got {_python_version()}; "
            "make the virtual environment with Python 3.11"
        )
    ours = sorted(path.parent for path in backends.resolve().glob("*/model.py"))
    target = (cache or default_cache()) / _key(ours)
    if not is_complete(target, ours):
        _build(target, wheel, stub, ours)
    libraries = [str(library_folder), str(wheel.parents[1] / "nvidia_pytriton.libs")]
    environment = {
        # The stub finds its Python through `python3` on PATH and ignores PYTHONPATH.
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]),
        # This Python's own library first: a system libpython of the same version breaks the stub's imports.
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
    }
    return Installation(wheel / "bin" / "tritonserver", target, environment)


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/crossfuse`, else `~/.cache/crossfuse`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crossfuse"


def check_platform(system: str = sys.platform, machine: str | None = None) -> None:
    """Raise RuntimeError unless the wheel's binary can run here: Linux on x86-64."""
    machine = machine or platform.machine()
    if (system, machine) != ("linux", "x86_64"):
        raise RuntimeError(
            f"platform: expected linux on x86_64, got {system} on {machine}; use NVIDIA's container"
        )


def check_numpy(version: str | None = None) -> None:
    """Raise RuntimeError for numpy >= 2: the stub of this server then answers with outputs of zero bytes."""
    version = version or installed_version("numpy", "pip install 'numpy<2'")
    if int(version.split(".")[0]) >= 2:
        raise RuntimeError(
            f"numpy: expected a version below 2, got {version}, with which the python stub of Triton 2.51 "
            "sends empty outputs; pip install 'numpy<2'"
        )


def wheel_folder() -> Path:
    """`pytriton/tritonserver` of the installed wheel."""
    installed_version(WHEEL, "pip install nvidia-pytriton==0.7.0")
    distribution = importlib.metadata.distribution(WHEEL)
    folder = Path(str(distribution.locate_file("pytriton/tritonserver"))).resolve()
    if not (folder / "bin" / "tritonserver").exists():
        raise RuntimeError(
            f"{WHEEL} {distribution.version}: expected the server in {folder}/bin, found none; "
            "pip install --force-reinstall --only-binary :all: nvidia-pytriton==0.7.0"
        )
    return folder


def python_library_folder(candidates: list[str | None] | None = None) -> Path:
    """The folder of this Python's shared library, which the stub loads."""
    if candidates is None:
        # A relocated Python (uv, conda) keeps the LIBDIR of its build machine: look beside the prefix too.
        candidates = [sysconfig.get_config_var("LIBDIR"), f"{sys.base_prefix}/lib"]
        multiarch = sysconfig.get_config_var("MULTIARCH")
        candidates += [f"/usr/lib/{multiarch}", f"/lib/{multiarch}"] if sys.base_prefix == "/usr" else []
    name = f"libpython{_python_version()}.so.1.0"
    for folder in candidates:
        if folder and (Path(folder) / name).exists():
            return Path(folder)
    searched = ", ".join(folder for folder in candidates if folder)
    raise RuntimeError(
        f"Python: expected the shared library {name} in one of {searched}, found none; install it "
        f"(apt-get install libpython{_python_version()}, or build Python with --enable-shared)"
    )


def is_complete(target: Path, ours: list[Path]) -> bool:
    """Whether `target` holds the python backend, the stub and a live link to each of our backends."""
    python = target / "python"
    wanted = [python / "libtriton_python.so", python / "triton_python_backend_utils.py", python / STUB]
    return all(path.exists() for path in wanted) and all(
        (target / path.name).resolve() == path for path in ours
    )


def installed_version(package: str, remedy: str) -> str:
    """The version of a package of this environment; RuntimeError with the remedy when it has none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise RuntimeError(f"{package}: expected it in {sys.prefix}, not installed; {remedy}") from error


def _build(target: Path, wheel: Path, stub: Path, ours: list[Path]) -> None:
    """Lay everything out in a folder beside `target`, then rename: whoever sees `target` sees all of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.partial-", dir=target.parent))
    try:
        python = partial / "python"
        python.mkdir()
        source = wheel / "backends" / "python"
        # Copies: Triton refuses a linked libtriton_python.so, it "escapes the backend directory".
        for path in (*source.glob("*.so"), *source.glob("*.py"), stub):
            shutil.copy2(path, python / path.name)
        (python / STUB).chmod(0o755)
        for path in ours:
            (partial / path.name).symlink_to(path)
        partial.chmod(0o755)
        _publish(partial, target, ours)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for leftover in target.parent.glob(f"{target.name}.partial-*"):
            if leftover.stat().st_mtime < time.time() - 3600:  # of an install that was killed
                shutil.rmtree(leftover, ignore_errors=True)


def _publish(partial: Path, target: Path, ours: list[Path]) -> None:
    try:
        partial.rename(target)
    except OSError:
        if is_complete(target, ours):  # another process finished first: its installation is as good as ours
            return
        damaged = Path(tempfile.mkdtemp(prefix=f"{target.name}.partial-", dir=target.parent))
        target.rename(damaged / "damaged")
        partial.rename(target)
        shutil.rmtree(damaged, ignore_errors=True)


def _key(ours: list[Path]) -> str:
    """Versions, then where our backends lie: two clones must not share a link."""
    version = installed_version(WHEEL, "pip install nvidia-pytriton==0.7.0")
    digest = hashlib.sha256("\n".join(map(str, ours)).encode()).hexdigest()[:12]
    return f"triton-{version}-python-{platform.python_version()}-{digest}"


def _python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
