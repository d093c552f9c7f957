"""What `generation.json` of a version folder says: token ids, lengths, how many captions from how much."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .generation import Decoding

DECODERS = ("caption", "answer", "reader")


@dataclass(frozen=True)
class Settings:
    """All of a model's generation.

    caption, answer, reader: how the three decoders are run
    captions: per request; patches: that each of them is told from, drawn by relevance
    top_k:    most likely tokens that a caption's next one is drawn from
    rounds:   of drawing, at most, until a request has as many different captions
    captions_per_context: that the reader reads together; reader_length: tokens of that, special ones included
    """

    caption: Decoding
    answer: Decoding
    reader: Decoding
    captions: int
    patches: int
    top_k: int
    rounds: int
    captions_per_context: int
    reader_length: int
    seed: int

    def __post_init__(self) -> None:
        for name in ("captions", "patches", "top_k", "rounds", "captions_per_context"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}; export it again")
        if self.reader_length < 3:
            raise ValueError(
                f"reader_length: expected room for a token between its marks, got {self.reader_length}; "
                "export it again"
            )


def read(path: Path) -> Settings:
    """The settings in a file; ValueError that names the file for anything it should not hold or lacks."""
    try:
        return from_json(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected the settings of a generation, got {error!r}") from error


def from_json(content: Mapping[str, Any]) -> Settings:
    """Settings from the plain values of `generation.json`."""
    wanted = {field.name for field in fields(Settings)}
    if content.keys() != wanted:
        odd = ", ".join(sorted(content.keys() ^ wanted))
        raise ValueError(f"expected exactly {', '.join(sorted(wanted))}; missing or unknown: {odd}")
    decoders = {name: _decoding(name, content[name]) for name in DECODERS}
    return Settings(**{**content, **decoders})


def _decoding(decoder: str, content: Mapping[str, Any]) -> Decoding:
    try:
        return Decoding(**{**content, "prompt": tuple(content["prompt"])})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{decoder}: {error}") from error
