"""DALI pipelines as files beside the `dali.py` that defines them: a start reads them, it defines nothing.

A file is named by all that it depends on (the text of dali.py, DALI's version, sizes and device), so that one
of another is never read and nothing has to be invalidated. It is written without a GPU too: which GPU, how
many threads and which batch are said when it is read.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any


def pipelines_of(source: Path) -> ModuleType:
    """The module of a version folder's dali.py, under a name that nothing else imports.

    errors: FileNotFoundError where there is none, ImportError for what is no Python
    """
    if not source.exists():
        raise FileNotFoundError(
            f"preprocess: expected DALI pipelines in {source.name} of the version folder, found none; "
            "restore it from git"
        )
    spec = importlib.util.spec_from_file_location("pipelines_of_this_model", source)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source}: expected Python, got something else; restore it from git")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def file_of(pipelines: ModuleType, name: str, arguments: Sequence[object]) -> Path:
    """Where the pipeline `name` of a version folder's dali.py lies when it is called with these arguments."""
    import nvidia.dali

    source = Path(str(pipelines.__file__))
    facts = json.dumps([source.read_text(), nvidia.dali.__version__, name, list(arguments)])
    return source.parent / f"{name}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.dali"


def pipeline(pipelines: ModuleType, name: str, arguments: Sequence[object], **settings: Any) -> Any:
    """The pipeline, from its file where there is one; settings: batch_size, num_threads, device_id."""
    path = file_of(pipelines, name, arguments)
    if path.is_file():
        from nvidia.dali import Pipeline

        return Pipeline.deserialize(filename=str(path), prefetch_queue_depth=1, **settings)
    return getattr(pipelines, name)(*arguments, **settings)


def write(pipelines: ModuleType, name: str, arguments: Sequence[object]) -> Path | None:
    """Serialise a pipeline beside its dali.py; None when it lies there already. Needs no GPU."""
    path = file_of(pipelines, name, arguments)
    if path.is_file():
        return None
    # With a device number DALI would look for the driver; without, it serialises what runs on a GPU as well.
    made = getattr(pipelines, name)(*arguments, batch_size=1, num_threads=1, device_id=None)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}")
    with os.fdopen(handle, "wb") as stream:
        stream.write(made.serialize())
    Path(draft).chmod(0o644)
    Path(draft).replace(path)
    return path
