"""The files of models that read or write words, looked at before a server loads them.

A tokenizer has to cut and pad to the tokens of its model; an answers model brings four graphs, a tokenizer
and settings that have to fit each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from export.contract import Contract
from export.generator_graphs import READER_DECODER, READER_ENCODER, SETTINGS, TOKENIZER, graph_contracts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

GENERATOR = "generator"


def graph_contract(promised: Contract, file: str) -> Contract | None:
    """What the graph of that name has to be; None for a file that no contract describes."""
    if promised.engine != GENERATOR:
        return promised
    return graph_contracts(promised).get(file)


def faults(folder: Path, promised: Contract) -> Iterator[tuple[str, str]]:
    """(file, sentence) for every file of words that a server would refuse or misread."""
    if promised.engine not in (GENERATOR, "tokenizer"):
        return
    tokens = [one for one in (*promised.inputs, *promised.outputs) if one.name == "input_ids"]
    made = None
    if (folder / TOKENIZER).is_file():
        from serving.backends.tokenizer.texts import load

        try:
            made = load(folder / TOKENIZER, tokens[0].dims[0])
        except ValueError as error:
            yield TOKENIZER, _short(error, folder / TOKENIZER)
    if promised.engine == GENERATOR and (folder / SETTINGS).is_file():
        yield from _setting_faults(folder, made)
        yield from _reader_faults(folder)


def _setting_faults(folder: Path, tokenizer: Tokenizer | None) -> Iterator[tuple[str, str]]:
    """Settings that cannot be read, or that begin with words that the tokenizer does not have."""
    from serving.backends.generator.settings import DECODERS, read

    try:
        settings = read(folder / SETTINGS)
    except ValueError as error:
        yield SETTINGS, _short(error, folder / SETTINGS)
        return
    if tokenizer is None:
        return
    known = tokenizer.get_vocab_size()
    for name in DECODERS:
        how = getattr(settings, name)
        beyond = [token for token in (*how.prompt, how.end, how.pad) if not 0 <= token < known]
        if beyond:
            yield (
                SETTINGS,
                f"expected tokens of {name} below the {known} of {TOKENIZER}, got {beyond[0]}; export both "
                "from the same weights",
            )


def _reader_faults(folder: Path) -> Iterator[tuple[str, str]]:
    """What the reader's encoder gives has to be as wide as its decoder takes."""
    import onnx
    from google.protobuf.message import DecodeError

    widths = []
    for file, side, name in (
        (READER_ENCODER, "output", "states"),
        (READER_DECODER, "input", "encoder_hidden_states"),
    ):
        try:
            graph = onnx.load(folder / file, load_external_data=False).graph
        except (FileNotFoundError, DecodeError):
            return  # said already by whoever looks at each graph
        values = [value for value in getattr(graph, side) if value.name == name]
        widths += [value.type.tensor_type.shape.dim[-1].dim_value for value in values]
    if len(set(widths)) > 1:
        yield (
            READER_DECODER,
            f"expected states of width {widths[0]}, as {READER_ENCODER} gives, it takes {widths[1]}; export "
            "both from the same weights",
        )


def _short(error: Exception, path: Path) -> str:
    """The sentence without the file, which is said before it."""
    return " ".join(str(error).removeprefix(f"{path}: ").split())
