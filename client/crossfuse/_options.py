"""Every payload as an option of `crossfuse infer`, and what may stand behind it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._errors import InvalidInput
from ._image_text import text_bytes
from ._pipelines import Pipeline


def readable_file(text: str) -> Path:
    """An argument that names an existing file."""
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"expected an existing file, got {text}")
    return path


def words(text: str) -> str:
    """An argument of words."""
    try:
        text_bytes("text", text)
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("text: ")) from error
    return text


@dataclass(frozen=True)
class Option:
    """One payload as argparse reads it: a file, unless `settings` say otherwise."""

    flag: str
    help: str
    settings: Mapping[str, Any] = field(default_factory=lambda: FILE)

    def add_to(self, parser: argparse.ArgumentParser, payload: str) -> None:
        """Let the parser take it. payload: the name under which `infer` knows it"""
        parser.add_argument(self.flag, dest=payload, help=self.help, **self.settings)


FILE: Mapping[str, Any] = {"type": readable_file, "metavar": "FILE"}
FILES: Mapping[str, Any] = {**FILE, "nargs": "+", "action": "extend"}
WORDS: Mapping[str, Any] = {"type": words, "metavar": "TEXT"}
OPTIONS: Mapping[str, Option] = {
    "video": Option("--video", "video of the weld being made; the video whose quality is asked"),
    "image": Option("--image", "photos of the finished weld; the image that is asked about", FILES),
    "audio": Option("--audio", "sound of the weld being made"),
    "sensor": Option("--sensors", "sensor log, CSV or .npy of six columns"),
    "text": Option("--text", "words to compare with the image, or a question about it", WORDS),
    "question": Option("--question", "what is asked about the image", WORDS),
}


def mistake(pipeline: Pipeline, given: Mapping[str, Any]) -> str:
    """What is wrong with a choice of payloads for a pipeline, as a sentence; empty if nothing is.

    given: payload -> what stood behind its option
    """
    takes, came = flags(pipeline.payloads), ", ".join(flags(given)) or "none"
    if foreign := [payload for payload in given if payload not in pipeline.payloads]:
        return (
            f"expected {', '.join(takes)} only for {pipeline.name}, got {', '.join(flags(foreign))}; "
            "leave out what it does not take"
        )
    if missing := [payload for payload in pipeline.required if payload not in given]:
        wanted = " and ".join(flags(pipeline.required))
        return f"expected {wanted}, got {came}; add {' and '.join(flags(missing))}"
    if not given:
        return f"expected at least one of {', '.join(takes)}, got none; add one"
    for payload, value in given.items():
        if isinstance(value, list) and len(value) > 1 and payload not in pipeline.several:
            flag = OPTIONS[payload].flag
            return f"expected one file after {flag} for {pipeline.name}, got {len(value)}; ask once for each"
    return ""


def flags(payloads: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """The options of payloads."""
    return [OPTIONS[payload].flag for payload in payloads]


def first_file(payloads: Mapping[str, Any]) -> Path | None:
    """The first payload that was given as a file; None if all are words."""
    listed = [value if isinstance(value, list) else [value] for value in payloads.values()]
    return next((file for files in listed for file in files if isinstance(file, Path)), None)
