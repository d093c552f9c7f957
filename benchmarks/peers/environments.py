"""A virtual environment for each peer, made once and kept under build/.

What the job needs (torch, ONNX Runtime, OpenVINO, decoders, numpy) is not installed again but looked up in
the environment that runs the benchmark: every peer computes and decodes with the very files that our server
uses, and nobody's torch is a better build. What a peer brings itself stands before it on the path and wins.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata
from pathlib import Path

from benchmarks.peers import Peer, Settings
from benchmarks.peers.settings import VARIABLE

ROOT = Path(__file__).parents[2]
SHARED = ("numpy", "torch", "onnxruntime", "openvino", "av", "pillow", "soundfile", "scipy")
MARK = "CROSSFUSE_PEER_MARK"
INSTALL_S = 900.0


def made(peer: Peer, folder: Path) -> Path:
    """The programs of the peer's environment, `<folder>/<name>-<digest>/bin`; made if it is not there.

    raises: RuntimeError with the last lines of pip when it cannot be made
    """
    target = folder / f"{peer.name}-{_digest(peer)}"
    if (target / "ready").exists():
        return target / "bin"
    shutil.rmtree(target, ignore_errors=True)
    venv.EnvBuilder(symlinks=True, with_pip=False).create(target)
    shared = sysconfig.get_path("purelib")
    own = target / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (own / "shared.pth").write_text(f"{shared}\n", encoding="utf-8")
    limits = target / "shared.txt"
    limits.write_text("".join(f"{line}\n" for line in shared_versions()), encoding="utf-8")
    python = target / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command = [*install, "--constraint", str(limits), "--requirement", str(peer.requirements)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
    if done.returncode:
        last = "; ".join(line for line in done.stderr.splitlines() if line.startswith("ERROR"))
        raise RuntimeError(
            f"{peer.title}: expected an environment from {peer.requirements.name}, got: {last or done.stderr}"
        )
    (target / "ready").touch()
    return target / "bin"


def environment(peer: Peer, told: Settings, mark: str, folder: Path) -> dict[str, str]:
    """Variables of the peer's processes; mark: how they are found again, in each one's MARK."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "BENTOML_"))}
    own = {
        VARIABLE: told.to_json(),
        MARK: mark,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "client"))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": str(told.threads),
        "HF_HUB_OFFLINE": "1",
        "BENTOML_HOME": str(folder / "bentoml"),
    }
    return {**kept, **own, **peer.environment}


def version(peer: Peer, programs: Path) -> str:
    """What is installed of the peer's package."""
    code = "import sys, importlib.metadata as found; print(found.version(sys.argv[1]))"
    command = [str(programs / "python"), "-c", code, peer.package]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _digest(peer: Peer) -> str:
    """Changes with the requirements and with the environment that is shared."""
    facts = [
        peer.requirements.read_text(encoding="utf-8"),
        sysconfig.get_path("purelib"),
        *shared_versions(),
    ]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


def shared_versions() -> list[str]:
    """What every peer has in common with us, pinned."""
    return [f"{name}=={metadata.version(name)}" for name in SHARED]
