"""What earlier builds measured, per GPU and version: a file that saves minutes and may vanish at any time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from export.tensorrt import package
from export.tensorrt.device import Device


def file_of(folder: Path, trt: Any, device: Device | None) -> Path:
    """The cache file of this package, version and GPU: another one never reads it."""
    words = (trt.__name__, trt.__version__, str(device) if device else "no GPU")
    return folder / (re.sub(r"[^A-Za-z0-9.]+", "-", "_".join(words)) + ".timing")


def attach(config: Any, path: Path) -> bool:
    """Give the configuration what the file knows, or an empty cache; returns whether the file was used.

    A broken file, or one that TensorRT refuses, is as good as none: the build writes a new one.
    """
    content = _read(path)
    if content and package.attach_timing_cache(config, package.create_timing_cache(config, content)):
        return True
    package.attach_timing_cache(config, package.create_timing_cache(config, b""))
    return False


def save(config: Any, path: Path) -> None:
    """Write what is known after a build, whole or not at all: several builds share the file."""
    content = package.timing_cache_bytes(config)
    if not content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(hashlib.sha256(content).digest() + content)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def _read(path: Path) -> bytes:
    """The content behind its own hash, which TensorRT does not check; empty for a file that is not whole."""
    try:
        whole = path.read_bytes()
    except FileNotFoundError:
        return b""
    content = whole[hashlib.sha256().digest_size :]
    return content if whole.startswith(hashlib.sha256(content).digest()) else b""
