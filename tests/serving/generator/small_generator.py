"""A version folder whose generation can be followed by eye: decoders of two tables and a dozen words.

The next word is the one after the last in WORDS' order, moved on by what the source says: a source whose mean
is [n, 0, ...] adds n places. Words that are one place beside it are a little less likely.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

SPECIAL = ("[PAD]", "[END]", "[GO]")
WORDS = (*SPECIAL, "is", "it", "red", "blue", "a", "circle", "square", ".", "\\n", "yes")
PAD, END, GO = range(3)
WIDTH, LENGTH, PATCHES = 4, 6, 9
SETTINGS = {
    "caption": {"prompt": [GO, 7], "end": END, "pad": PAD, "shortest": 1, "longest": 3},
    "answer": {"prompt": [GO], "end": END, "pad": PAD, "shortest": 0, "longest": 4},
    "reader": {"prompt": [PAD], "end": END, "pad": PAD, "shortest": 1, "longest": 3},
    "captions": 3,
    "patches": 2,
    "rounds": 4,
    "top_k": 3,
    "seed": 5,
    "captions_per_context": 2,
    "reader_length": 12,
}


def write_version(folder: Path, **changes) -> Path:
    """All files of a version; changes: of the settings."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("answer_decoder", "caption_decoder", "reader_decoder"):
        onnx.save(decoder(), folder / f"{name}.onnx")
    onnx.save(encoder(), folder / "reader_encoder.onnx")
    (folder / "tokenizer.json").write_text(tokenizer().to_str())
    (folder / "generation.json").write_text(json.dumps(SETTINGS | changes))
    return folder


def table(rng_seed: int = 7) -> np.ndarray:
    """(words, words): for each last word the logits of the next; the best one follows it in WORDS."""
    count = len(WORDS)
    logits = np.random.default_rng(rng_seed).normal(0, 0.5, (count, count)).astype(np.float32)
    for word in range(count):
        logits[word, (word + 1) % count] += 4
        logits[word, END] += 2
    return logits


def decoder(width: int = WIDTH) -> onnx.ModelProto:
    """logits = table[input_ids] + mean of the visible source @ weights."""
    weights = np.random.default_rng(9).normal(0, 2, (width, len(WORDS))).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["follow"]),
        *_seen("encoder_hidden_states", "encoder_attention_mask"),
        helper.make_node("MatMul", ["mean", "weights"], ["told"]),
        helper.make_node("Add", ["follow", "told"], ["logits"]),
    ]
    inputs = [
        _value("input_ids", TensorProto.INT64, ["batch", "length"]),
        _value("encoder_hidden_states", TensorProto.FLOAT, ["batch", "source", width]),
        _value("encoder_attention_mask", TensorProto.INT64, ["batch", "source"]),
    ]
    output = _value("logits", TensorProto.FLOAT, ["batch", "length", len(WORDS)])
    constants = {"table": table(), "weights": weights, "last": np.array([2]), "middle": np.array([1])}
    return _model(nodes, inputs, output, constants)


def encoder(width: int = WIDTH) -> onnx.ModelProto:
    """states = vectors[input_ids]."""
    vectors = np.random.default_rng(11).normal(0, 1, (len(WORDS), width)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["vectors", "input_ids"], ["looked_up"]),
        helper.make_node("Unsqueeze", ["attention_mask", "last"], ["column"]),
        helper.make_node("Cast", ["column"], ["seen"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["looked_up", "seen"], ["states"]),
    ]
    inputs = [
        _value(name, TensorProto.INT64, ["batch", "length"]) for name in ("input_ids", "attention_mask")
    ]
    output = _value("states", TensorProto.FLOAT, ["batch", "length", width])
    return _model(nodes, inputs, output, {"vectors": vectors, "last": np.array([2])})


def tokenizer() -> Tokenizer:
    """Words as they stand, [GO] before and [END] behind."""
    made = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[PAD]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.decoder = decoders.WordPiece()
    made.add_special_tokens(list(SPECIAL))
    made.post_processor = processors.TemplateProcessing("[GO] $0 [END]", None, [("[GO]", GO), ("[END]", END)])
    return made


def rows(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Inputs of so many different questions about different images, all valid."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, LENGTH + 1, count)
    mask = (np.arange(LENGTH)[None] < lengths[:, None]).astype(np.int64)
    return {
        "question_states": rng.normal(0, 1, (count, LENGTH, WIDTH)).astype(np.float32),
        "attention_mask": mask,
        "fused_tokens": rng.normal(0, 1, (count, 1 + PATCHES, WIDTH)).astype(np.float32),
        "relevance": rng.random((count, 3, 3)).astype(np.float32),
        "image_valid": np.ones((count, 1), bool),
        "question_valid": np.ones((count, 1), bool),
        "image_status": np.zeros((count, 1), np.int32),
        "question_status": np.zeros((count, 1), np.int32),
        "input_ids": rng.integers(3, len(WORDS), (count, LENGTH)) * mask,
    }


def _seen(states: str, mask: str) -> list[onnx.NodeProto]:
    """mean (batch, 1, width) of the states whose mask is 1."""
    return [
        helper.make_node("Unsqueeze", [mask, "last"], ["column"]),
        helper.make_node("Cast", ["column"], ["seen"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [states, "seen"], ["visible"]),
        helper.make_node("ReduceSum", ["visible", "middle"], ["sum"], keepdims=1),
        helper.make_node("ReduceSum", ["seen", "middle"], ["count"], keepdims=1),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
    ]


def _value(name: str, dtype: int, shape: list) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def _model(nodes, inputs, output, constants) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "small", inputs, [output], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
