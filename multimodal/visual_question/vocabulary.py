"""The words of the easy-VQA presets, and the ids of the tokens that steer BLIP."""

from __future__ import annotations

from dataclasses import dataclass

COLOURS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
SHAPES = ("circle", "rectangle", "triangle")
_WORDS = """
    a an and answer any at background big bottom captions center color contain contained corner does drawn
    figure half has here image in inside is it large left light lower medium middle near no not object of on
    one only part photo picture place placed plain present question right shape shaped shows side single size
    sized small that the there this tiny to top upper what where which with yes
"""
# Between question and captions in what the text reader is given: a backslash and an n, not a line break.
SEPARATOR = r"\n"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[DEC]", "[ENC]")
WORDS = (SEPARATOR, ".", ",", "?", "-", *sorted({*_WORDS.split(), *COLOURS, *SHAPES}))
TOKENS = (*SPECIAL, *WORDS)  # the id of a token is its place here


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the tokens that steer encoders and decoders.

    start, end: around every text; decode: what decoders begin with
    encode:     what takes the place of `start` in texts that are encoded together with an image
    """

    pad: int
    unknown: int
    start: int
    end: int
    decode: int
    encode: int


OWN_TOKENS = SpecialTokens(*range(len(SPECIAL)))
BERT_TOKENS = SpecialTokens(pad=0, unknown=100, start=101, end=102, decode=30522, encode=30523)
BERT_VOCABULARY = 30524  # BERT's 30,522 and the two that BLIP adds
