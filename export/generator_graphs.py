"""The graphs that an answers model runs, token after token, and what the first of its tensors say about them.

Every decoder takes the tokens so far and what it looks at, and gives the logits of every place; there is no
cache: answers have a few tokens. Any number of tokens and any length of source fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from export.contract import Contract, Tensor

ANSWER, CAPTION = "answer_decoder.onnx", "caption_decoder.onnx"
READER_ENCODER, READER_DECODER = "reader_encoder.onnx", "reader_decoder.onnx"
TOKENIZER, SETTINGS = "tokenizer.json", "generation.json"
SEQUENCES = 8 * 50  # of one run at most: captions of a full batch, as many as were published with


@dataclass(frozen=True)
class Sizes:
    """What a configuration does not say: words that decoders know, width of the reader; -1: not known."""

    vocabulary: int = -1
    reader_width: int = -1


def graph_contracts(promised: Contract, sizes: Sizes = Sizes()) -> dict[str, Contract]:
    """File -> its contract, -1 where any length fits.

    promised: of an answers model: its `question_states` and `fused_tokens` say how wide the sources are
    errors: LookupError for a contract without these
    """
    states, fused = (promised.input(name).dims[-1] for name in ("question_states", "fused_tokens"))
    texts = (Tensor("input_ids", "INT64", (-1,)), Tensor("attention_mask", "INT64", (-1,)))
    encoded = Tensor("states", "FP32", (-1, sizes.reader_width))
    return {
        ANSWER: decoder_contract(promised.name, states, sizes.vocabulary),
        CAPTION: decoder_contract(promised.name, fused, sizes.vocabulary),
        READER_ENCODER: Contract(promised.name, texts, (encoded,), SEQUENCES, "onnxruntime"),
        READER_DECODER: decoder_contract(promised.name, sizes.reader_width, sizes.vocabulary),
    }


def decoder_contract(name: str, width: int, vocabulary: int) -> Contract:
    """Tokens and what they look at, `width` wide, to logits of `vocabulary` words."""
    inputs = (
        Tensor("input_ids", "INT64", (-1,)),
        Tensor("encoder_hidden_states", "FP32", (-1, width)),
        Tensor("encoder_attention_mask", "INT64", (-1,)),
    )
    logits = Tensor("logits", "FP32", (-1, vocabulary))
    return Contract(name, inputs, (logits,), SEQUENCES, "onnxruntime")


def input_lengths(contract: Contract, length: int, source: int) -> Mapping[str, tuple[int, ...]]:
    """Input -> its dims without the batch, for sequences of so many tokens that look at so much."""
    return {
        tensor.name: tuple(
            dim if dim != -1 else source if tensor.name.startswith("encoder_") else length
            for dim in tensor.dims
        )
        for tensor in contract.inputs
    }
