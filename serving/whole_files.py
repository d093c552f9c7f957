"""Files that are there whole or not at all, whatever happens to the process that writes them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Put a file in its place in one step and durably; its folder is made, readers see the old one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(draft).chmod(0o644)  # a draft is its owner's alone
        Path(draft).replace(path)
    except BaseException:  # of a full disk above all, which a plan of a gigabyte must not keep full
        Path(draft).unlink(missing_ok=True)
        raise
