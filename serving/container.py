"""NVIDIA's container as an installation: its server and engines, our python-based backends beside them.

`lay_out` runs while the image is built, `installed` whenever a server starts. Where both have a backend of
one name the image's own is kept, but for `dali`, whose own fails a whole batch for one broken file.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from serving.embedded import BACKENDS, STUB, Installation, install
from serving.server import Options

TRITON = Path("/opt/tritonserver")
INSTEAD = ("dali",)  # ours, in place of the image's own
# What a target loads beside our backends: the file that Triton looks for in the backend's folder.
NATIVE: Mapping[str, tuple[str, ...]] = {
    "gpu": (f"python/{STUB}", "tensorrt/libtriton_tensorrt.so"),
    "cpu": (f"python/{STUB}",),
}


def lay_out(triton: Path = TRITON, backends: Path = BACKENDS) -> list[str]:
    """Copy our backends into the image's backend directory; returns the names of those copied.

    Copies, as Triton refuses what is linked into that directory from elsewhere.
    """
    ours = []
    for source in sorted(path.parent for path in backends.glob("*/model.py")):
        target = triton / "backends" / source.name
        if target.exists():
            if source.name not in INSTEAD:
                continue
            shutil.rmtree(target)  # its library would win over a model.py beside it
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        ours.append(source.name)
    for shared in backends.glob("*.py"):  # what several of them import
        shutil.copy2(shared, triton / "backends" / shared.name)
    return ours


def installed(triton: Path = TRITON, target: str = "gpu", backends: Path = BACKENDS) -> Installation:
    """The image's server, after a look at whether everything is in its place.

    errors: RuntimeError that names what is missing
    """
    directory = triton / "backends"
    server = triton / "bin" / "tritonserver"
    wanted = [server, *(directory / path for path in NATIVE[target])]
    for path in wanted:
        if not path.exists():
            raise RuntimeError(
                f"{path}: expected it in an image of tritonserver, found none; build on the tag in Dockerfile"
            )
    for source in sorted(path.parent for path in backends.glob("*/model.py")):
        folder = directory / source.name
        shadow = folder / f"libtriton_{source.name}.so"
        if (source.name in INSTEAD and shadow.exists()) or not folder.is_dir():
            raise RuntimeError(
                f"{folder}: expected our backend there, found {'another' if folder.is_dir() else 'none'}; "
                "run `python -m serving.container` while the image is built"
            )
    return Installation(server, directory, environment())


def installation_of(options: Options) -> Installation:
    """The installation that a server of these options runs from; errors of `installed` and `install`."""
    return installed(options.triton, options.target) if options.triton else install()


def environment() -> dict[str, str]:
    """The stub finds its Python, and with it every package, through `python3` on PATH."""
    return {"PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])}


if __name__ == "__main__":
    sys.stderr.write(f"backends of ours: {', '.join(lay_out())}\n")
