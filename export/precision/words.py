"""Answers in words: the generator's graph in fp32, on states of questions that other engines have made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from export.generator_graphs import ANSWER, SETTINGS, TOKENIZER
from export.parity import onnx_runtime
from multimodal.visual_question.generation import GenerationSettings, greedy

ROWS = 100  # of one run


class Answerer:
    """The answer's part of an exported answers model; folder: where its files lie.

    errors: FileNotFoundError where one is missing
    """

    def __init__(self, folder: Path) -> None:
        for name in (ANSWER, TOKENIZER, SETTINGS):
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"{folder / name}: expected the generator's file, found none; export it"
                )
        self._decoder = onnx_runtime(folder / ANSWER)
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._decoding = GenerationSettings.from_dict(json.loads((folder / SETTINGS).read_text())).answer

    def answers(self, states: np.ndarray, mask: np.ndarray) -> list[str]:
        """What each question is answered: the likeliest words, one after the other.

        states: (questions, length, width) float32; mask: (questions, length) int64
        """
        said: list[str] = []
        for start in range(0, len(states), ROWS):
            said += self._some(states[start : start + ROWS], mask[start : start + ROWS])
        return said

    def _some(self, states: np.ndarray, mask: np.ndarray) -> list[str]:
        source = {"encoder_hidden_states": states, "encoder_attention_mask": mask}

        def step(tokens: np.ndarray) -> np.ndarray:
            return self._decoder({"input_ids": tokens, **source})["logits"][:, -1]

        pad = self._decoding.pad
        return [
            self._tokenizer.decode([int(one) for one in row if one != pad], skip_special_tokens=True).strip()
            for row in greedy(step, len(states), self._decoding)[0]
        ]
