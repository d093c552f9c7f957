"""Checkpoints that are either the old one or the new one, whenever the power goes, and that hold no code."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any
from zipfile import is_zipfile

import torch


def replace_file(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a new file, then put it in the place of `path` in one step; its folder is made.

    It is on disk when this returns; when `write` fails, `path` is what it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name too
    finally:
        os.close(folder)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Save tensors, numbers, words, lists and dicts to `path`, in one step."""
    replace_file(path, lambda file: torch.save(state, file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, to the processor's memory; nothing in the file is executed.

    ValueError when it is no such file
    """
    try:
        if not is_zipfile(path):  # pickle's reader fails in many ways on other files
            raise UnpicklingError("no archive of torch")
        return torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError) as reason:
        raise ValueError(
            f"checkpoint: expected tensors and plain values in {path}, got something else; delete it to "
            "start anew"
        ) from reason
