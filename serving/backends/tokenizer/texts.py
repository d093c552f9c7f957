"""A whole batch of texts through one tokenizer: what cannot be read costs only itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

log = logging.getLogger(__name__)

Tensors = dict[str, np.ndarray]  # output name -> value of one request, without batch


class Status(IntEnum):
    """What became of a text; OK and PARTIAL are used, the rest is zeros and masked."""

    OK = 0
    ABSENT = 1
    PARTIAL = 2
    CORRUPT = 3


@dataclass(frozen=True)
class Contract:
    """What a tokenizer model promises: whose text it reads, and how long its rows are.

    modality: name of the input with the text, of `<modality>_valid` and `<modality>_status`
    column:   of the input `present` that belongs to it
    length:   of `input_ids` and `attention_mask`
    """

    modality: str
    column: int
    length: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Contract:
        """Read the JSON form of a config.pbtxt, as Triton hands it to a backend; ValueError for nonsense."""
        texts = [tensor["name"] for tensor in config["input"] if tensor["name"] != "present"]
        if len(texts) != 1:
            raise ValueError(
                f"{config['name']}: expected one text beside present, got {', '.join(texts) or 'none'}; "
                "correct the config"
            )
        (modality,) = texts
        outputs = {tensor["name"]: [int(dim) for dim in tensor["dims"]] for tensor in config["output"]}
        length = outputs.get("input_ids", [0])[0]
        wanted = {"input_ids": [length], "attention_mask": [length]}
        wanted |= {f"{modality}_valid": [1], f"{modality}_status": [1]}
        if outputs != wanted or length < 1:
            raise ValueError(
                f"{config['name']}: expected the outputs {', '.join(wanted)} and one length of the first "
                f"two, got {outputs}; correct the config"
            )
        named = config.get("parameters", {}).get("present", {}).get("string_value", modality)
        columns = [name.strip() for name in named.split(",")]
        if modality not in columns:
            raise ValueError(
                f"{config['name']}: present: expected {modality} among the names of its columns, got "
                f"{named}; correct the config"
            )
        return cls(modality, columns.index(modality), length)


def load(path: Path, length: int) -> Tokenizer:
    """The tokenizer of a file, whose own settings must cut and pad to `length`; ValueError for any other.

    A text that quotes a special token ("[SEP]") is read as its letters: no text ends itself.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing; write it with `python -m export`")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare exceptions
        raise ValueError(f"{path}: expected a tokenizer, got: {error}; export it again") from error
    found = {
        "cuts at": (tokenizer.truncation or {}).get("max_length"),
        "pads to": (tokenizer.padding or {}).get("length"),
    }
    for does, tokens in found.items():
        if tokens != length:
            raise ValueError(
                f"{path}: expected a tokenizer that {does} the {length} tokens of input_ids, got "
                f"{tokens or 'no such length'}; export it again"
            )
    tokenizer.encode_special_tokens = True
    return tokenizer


class Reader:
    """Turns batches of texts into the tensors of one contract; it never raises for a bad text."""

    def __init__(self, contract: Contract, tokenizer: Tokenizer) -> None:
        self.contract = contract
        self._tokenizer = tokenizer

    def __call__(self, payloads: Sequence[np.ndarray], present: np.ndarray) -> list[Tensors]:
        """Read one batch.

        payloads: per request, (n,) uint8 of UTF-8
        present:  (batch, columns) bool, False where a text is absent
        returns:  per request, `input_ids` and `attention_mask` (length,) int64, `<modality>_valid` and
                  `<modality>_status` (1,)
        """
        answers = [self._unread(Status.ABSENT) for _ in payloads]
        texts: dict[int, str] = {}
        for row in np.flatnonzero(present[:, self.contract.column]).tolist():
            try:
                texts[row] = payloads[row].tobytes().decode("utf-8-sig")
            except UnicodeDecodeError as error:
                log.warning("%s is not UTF-8: %s", self.contract.modality, error)
                answers[row] = self._unread(Status.CORRUPT)
        for row, answer in zip(texts, self._guarded(list(texts.values())), strict=True):
            answers[row] = answer
        return answers

    def status(self, answer: Tensors) -> Status:
        """What became of the text of one answer."""
        return Status(int(answer[f"{self.contract.modality}_status"][0]))

    def _guarded(self, texts: Sequence[str]) -> list[Tensors]:
        """Read a batch; when that breaks, each text alone; what breaks alone is CORRUPT."""
        if not texts:
            return []
        try:
            return [self._read(encoding) for encoding in self._tokenizer.encode_batch(texts)]
        except Exception as error:  # the library raises bare exceptions
            if len(texts) == 1:
                log.warning("%s is corrupt: %s: %s", self.contract.modality, type(error).__name__, error)
                return [self._unread(Status.CORRUPT)]
        return [answer for text in texts for answer in self._guarded([text])]

    def _read(self, encoding: Encoding) -> Tensors:
        if all(encoding.special_tokens_mask):  # the tokenizer found nothing to read: "\ufffd", lone accents
            return self._unread(Status.CORRUPT)
        ids, mask = (np.array(row, np.int64) for row in (encoding.ids, encoding.attention_mask))
        return self._answer(ids, mask, Status.PARTIAL if encoding.overflowing else Status.OK)

    def _unread(self, status: Status) -> Tensors:
        """Zeros, nothing valid."""
        nothing = np.zeros(self.contract.length, np.int64)
        return self._answer(nothing, nothing, status)

    def _answer(self, ids: np.ndarray, mask: np.ndarray, status: Status) -> Tensors:
        return {
            "input_ids": ids,
            "attention_mask": mask,
            f"{self.contract.modality}_valid": np.array([status in (Status.OK, Status.PARTIAL)]),
            f"{self.contract.modality}_status": np.array([status], np.int32),
        }
