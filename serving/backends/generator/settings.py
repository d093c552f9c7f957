"""What `generation.json` of a version folder says: token ids, lengths, how many captions from how much."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .generation import Limits


@dataclass(frozen=True)
class Settings:
    """All of a model's generation.

    answer, caption, reader: how the three decoders are run
    captions:   per request; patches: that each of them is told from, drawn by relevance
    max_rounds: of drawing until a request has as many different captions
    top_k:      most likely tokens that a caption's next one is drawn from
    captions_per_context, context, context_length: what the reader reads: so many captions at a time, in the
                text `context` with `{question}` and `{captions}`, cut to so many tokens
    """

    answer: Limits
    caption: Limits
    reader: Limits
    captions: int
    patches: int
    max_rounds: int
    top_k: int
    seed: int
    captions_per_context: int
    context: str
    context_length: int

    def __post_init__(self) -> None:
        for name in ("captions", "patches", "max_rounds", "top_k", "captions_per_context", "context_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}; export it again")
        if "{question}" not in self.context:
            raise ValueError(
                f"context: expected a text with {{question}} and {{captions}}, got {self.context!r}; export "
                "the model again"
            )


DECODERS = ("answer", "caption", "reader")


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
    limits = {name: _limits(name, content[name]) for name in DECODERS}
    return Settings(**{**content, **limits})


def _limits(decoder: str, content: Mapping[str, Any]) -> Limits:
    try:
        return Limits(**{**content, "prompt_ids": tuple(content["prompt_ids"])})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{decoder}: {error}") from error
