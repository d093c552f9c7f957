"""The reference decoder of a photo and a text: bytes to the tensors that both image-text pipelines take.

It defines what the serving backends must reproduce. Pillow decodes, `tokenizers` splits. Nothing is random,
and a payload that cannot be read gives zeros and a status, never an exception.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.decoding import Status, decode_photo

Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class DecodedText:
    """The tokens of one text, without a batch dimension.

    input_ids:      (length,) special tokens at both ends, zeros behind
    attention_mask: (length,) 1 for a token, 0 for padding
    """

    input_ids: Tokens
    attention_mask: Tokens
    status: Status


@dataclass(frozen=True)
class DecodedPair:
    """The tensors of one request: `pixels` (1, size, size, 3) uint8 RGB, `photo` what became of the file."""

    pixels: NDArray[np.uint8]
    photo: Status
    text: DecodedText

    @property
    def statuses(self) -> NDArray[np.int32]:
        """(2,) of photo and text, as `modality_status` has them."""
        return np.asarray([self.photo, self.text.status], np.int32)


class TextReader:
    """Splits texts into rows of `length` tokens; a tokenizer's own cutting and padding are put aside.

    tokenizer: one that puts one special token before a text and one behind it, as BERT's does
    errors:    ValueError for a tokenizer that does not, or without room for a token of the text
    """

    def __init__(self, tokenizer: Tokenizer, length: int) -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())  # settings change below: of a copy
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True  # a text that quotes "[SEP]" is read as its letters
        marks = self._tokenizer.encode("").ids
        if len(marks) != 2 or length < 3:
            raise ValueError(
                f"tokenizer: expected two special tokens around a text and room for one between them, got "
                f"{len(marks)} and {length} tokens in all; choose another tokenizer or length"
            )
        self._start, self._end = marks
        self._length = length

    def __call__(self, payload: bytes) -> DecodedText:
        """Read a text of UTF-8 bytes.

        PARTIAL: more tokens than there is room for, of which the first are kept; CORRUPT: not UTF-8, or
        nothing that the tokenizer keeps (blanks, lone accents); ABSENT: no bytes
        """
        if not payload:
            return self._row([], Status.ABSENT)
        try:
            text = payload.decode("utf-8-sig")
        except UnicodeDecodeError:
            return self._row([], Status.CORRUPT)
        own = self._tokenizer.encode(text, add_special_tokens=False).ids
        if not own:
            return self._row([], Status.CORRUPT)
        kept = own[: self._length - 2]
        status = Status.PARTIAL if len(kept) < len(own) else Status.OK
        return self._row([self._start, *kept, self._end], status)

    def _row(self, tokens: list[int], status: Status) -> DecodedText:
        input_ids, mask = np.zeros(self._length, np.int64), np.zeros(self._length, np.int64)
        input_ids[: len(tokens)] = tokens
        mask[: len(tokens)] = 1
        return DecodedText(input_ids, mask, status)


def decode_pair(image: bytes, text: bytes, size_px: int, reader: TextReader) -> DecodedPair:
    """Decode one request; either part may be empty."""
    pixels, status = decode_photo(image, size_px)
    return DecodedPair(pixels[None], status, reader(text))
