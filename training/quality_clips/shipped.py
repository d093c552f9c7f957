"""Files that packages ship, read where the package lies; nothing of them is copied into the repository.

Python packages are installed with the environment. Debian packages (photographs for desktops, sample films)
are taken from the system, or unpacked beside the training's other files, which needs no rights.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

UNPACKED = Path("build") / "training" / "debian"  # where `fetch` puts Debian packages that are not installed


@dataclass(frozen=True)
class PythonFile:
    """A file inside an importable package; relative to its folder."""

    package: str
    relative: str

    def path(self) -> Path:
        """Where it lies; FileNotFoundError with what to do."""
        found = importlib.util.find_spec(self.package)
        path = Path(found.origin).parent / self.relative if found and found.origin else None
        if path is None or not path.is_file():
            raise FileNotFoundError(
                f"sources: expected {self.relative} of the package {self.package}, found none; "
                "run `make setup`"
            )
        return path


@dataclass(frozen=True)
class DebianFile:
    """A file of a Debian package; relative to /usr/share."""

    package: str
    relative: str

    def path(self) -> Path:
        """Where it lies; FileNotFoundError with what to do."""
        for root in (Path("/"), UNPACKED):
            path = root / "usr" / "share" / self.relative
            if path.is_file():
                return path
        raise FileNotFoundError(
            f"sources: expected {self.relative} of the Debian package {self.package}, found none; install "
            f"it, or `apt-get download {self.package}` and `dpkg-deb -x {self.package}_*.deb {UNPACKED}`"
        )


ShippedFile = PythonFile | DebianFile


def fetch(files: Iterable[ShippedFile]) -> None:
    """Unpack the Debian packages of missing files; raises FileNotFoundError for what stays missing."""
    wanted = list(files)
    missing = sorted({file.package for file in wanted if isinstance(file, DebianFile) and _lacks(file)})
    if missing and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        for package in tqdm(missing, desc="Debian packages", unit="package"):
            _unpack(package)
    for file in wanted:
        file.path()


def _lacks(file: DebianFile) -> bool:
    try:
        file.path()
    except FileNotFoundError:
        return True
    return False


def _unpack(package: str) -> None:
    """Download and unpack one package; what fails is seen by the file that is missing afterwards."""
    UNPACKED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="debian-") as folder:
        got = subprocess.run(
            ["apt-get", "-o", "APT::Sandbox::User=", "download", package], cwd=folder, capture_output=True
        )
        for archive in Path(folder).glob("*.deb") if got.returncode == 0 else ():
            subprocess.run(["dpkg-deb", "-x", str(archive), str(UNPACKED)], check=False)
