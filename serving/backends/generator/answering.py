"""A batch of questions to their answers: what breaks with one of them stays with that one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from . import generation, reading
from .captions import Scene, caption
from .sessions import Graph, options_of
from .settings import read

log = logging.getLogger(__name__)

CORRUPT = 3  # of modality_status: `Status` of the preprocess backend
STATUSES = ("image_status", "question_status")
DECODER = ("input_ids", "encoder_hidden_states", "encoder_attention_mask")
FILES = ("caption_decoder.onnx", "reader_encoder.onnx", "reader_decoder.onnx")
TOKENIZER, SETTINGS = "tokenizer.json", "generation.json"

Rows = Mapping[str, np.ndarray]  # input name -> (rows, ...)


@dataclass(frozen=True)
class Answer:
    """What one question is answered; captions: as many as the settings say, empty without an answer."""

    answer: str
    probability: float
    captions: tuple[str, ...]
    caption_answer: str
    status: tuple[int, int]


class Answerer:
    """The four graphs, the tokenizer and the settings of one version folder.

    config: the model's configuration, as Triton hands it to a backend
    errors: ValueError that names the file when one is missing or is not what it should be
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._settings = read(folder / SETTINGS)
        options = options_of(config)
        answers = config.get("default_model_filename") or "answer_decoder.onnx"
        captions, reader_encoder, reader = FILES
        self._answer = Graph(folder / answers, options, DECODER)
        self._caption = Graph(folder / captions, options, DECODER)
        self._encode = Graph(folder / reader_encoder, options, ("input_ids", "attention_mask"))
        self._read = Graph(folder / reader, options, DECODER)
        self._tokenizer = tokenizer(folder / TOKENIZER)

    def __call__(self, rows: Rows) -> list[Answer]:
        """Answer every row; one that cannot be answered gets the status CORRUPT, and no neighbour notices.

        rows: question_states (rows, length, width), attention_mask and input_ids (rows, length),
              fused_tokens (rows, 1 + patches, width), relevance (rows, grid, grid), image_valid and
              question_valid (rows, 1) bool, image_status and question_status (rows, 1)
        """
        valid = (rows["image_valid"] & rows["question_valid"]).ravel()
        answers = [self._without(self._status(rows, row)) for row in range(len(valid))]
        for row, answer in self._guarded(rows, np.flatnonzero(valid).tolist()).items():
            answers[row] = answer
        return answers

    def _guarded(self, rows: Rows, chosen: Sequence[int]) -> dict[int, Answer]:
        """Answer the chosen rows together; when that breaks, each alone."""
        if not chosen:
            return {}
        try:
            answers = self._answered({name: array[chosen] for name, array in rows.items()})
            return dict(zip(chosen, answers, strict=True))
        except Exception as error:  # ONNX Runtime and the tokenizer raise classes of their own
            if len(chosen) == 1:
                log.warning("a question is not answered: %s: %s", type(error).__name__, error)
                return {chosen[0]: self._without((CORRUPT, CORRUPT))}
        return {row: answer for one in chosen for row, answer in self._guarded(rows, [one]).items()}

    def _answered(self, rows: Rows) -> list[Answer]:
        """Answers of rows that are all valid."""
        states, mask = rows["question_states"], rows["attention_mask"]
        if not np.isfinite(states).all():
            raise ValueError("question_states: expected numbers, got NaN or infinity")
        said = generation.greedy(
            lambda input_ids, live: last(self._answer(input_ids, states[live], mask[live])),
            len(mask),
            self._settings.answer,
        )
        relevance = rows["relevance"].reshape(len(mask), -1)
        parts = zip(rows["fused_tokens"], relevance, rows["input_ids"], strict=True)
        scenes = [Scene(*part) for part in parts]
        told = caption(scenes, self._told, self._text, self._settings)
        read_out = self._from_captions(rows, told)
        return [
            Answer(self._text(one.tokens), one.probability, tuple(texts), out, self._status(rows, row))
            for row, (one, texts, out) in enumerate(zip(said, told, read_out, strict=True))
        ]

    def _told(self, input_ids: np.ndarray, states: np.ndarray) -> np.ndarray:
        """Logits of the caption's next token, every drawn patch visible."""
        return last(self._caption(input_ids, states, np.ones(states.shape[:2], np.int64)))

    def _from_captions(self, rows: Rows, captions: Sequence[Sequence[str]]) -> list[str]:
        """Answers from question and captions alone."""
        asked = [
            self._text(ids[mask.astype(bool)].tolist())
            for ids, mask in zip(rows["input_ids"], rows["attention_mask"], strict=True)
        ]
        pairs = zip(asked, captions, strict=True)
        size, longest = self._settings.captions_per_context, self._settings.reader_length
        texts = [reading.contexts(question, told, size) for question, told in pairs]
        encoded = self._tokenizer.encode_batch([text for some in texts for text in some])
        input_ids, mask = reading.padded([one.ids for one in encoded], self._settings.reader.pad, longest)
        states, seen = reading.side_by_side(self._encode(input_ids, mask), mask, len(texts[0]))
        said = generation.greedy(
            lambda ids, live: last(self._read(ids, states[live], seen[live])),
            len(texts),
            self._settings.reader,
        )
        return [self._text(one.tokens) for one in said]

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True)).strip()

    def _without(self, status: tuple[int, int]) -> Answer:
        """No answer."""
        return Answer("", 0.0, ("",) * self._settings.captions, "", status)

    @staticmethod
    def _status(rows: Rows, row: int) -> tuple[int, int]:
        image, question = (int(rows[name][row].item()) for name in STATUSES)
        return image, question


def tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a file, which cuts and pads nothing; ValueError naming the file."""
    try:
        made = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare exceptions
        raise ValueError(f"{path}: expected a tokenizer, got: {error}; export the model again") from error
    made.no_padding()
    made.no_truncation()
    made.encode_special_tokens = True  # a question that quotes "[SEP]" means its letters
    return made


def last(logits: np.ndarray) -> np.ndarray:
    """(sequences, length, vocabulary) -> those of the last position."""
    return logits[:, -1]
