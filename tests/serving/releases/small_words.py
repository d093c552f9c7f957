"""A pipeline of a gate, a tokenizer and an answers model of a dozen words, and sets to release into it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from export import manifest
from tests.serving.generator.small_generator import (
    LENGTH,
    PAD,
    PATCHES,
    SETTINGS,
    WIDTH,
    WORDS,
    tokenizer,
    write_version,
)
from tests.serving.releases.small_sets import describe

PIPELINE, TOKENIZER, ANSWERS = "asking", "asking_tokenizer", "asking_answers"
CONFIGS = {
    "gate": """\
name: "gate"  backend: "gate"  max_batch_size: 8
input [ { name: "question"  data_type: TYPE_UINT8  dims: [ -1 ] } ]
output [ { name: "present"  data_type: TYPE_BOOL  dims: [ 1 ] } ]
""",
    TOKENIZER: f"""\
name: "{TOKENIZER}"  backend: "tokenizer"  max_batch_size: 8  default_model_filename: "tokenizer.json"
input [ {{ name: "question"  data_type: TYPE_UINT8  dims: [ -1 ] }},
  {{ name: "present"  data_type: TYPE_BOOL  dims: [ 1 ] }} ]
output [ {{ name: "input_ids"  data_type: TYPE_INT64  dims: [ {LENGTH} ] }},
  {{ name: "attention_mask"  data_type: TYPE_INT64  dims: [ {LENGTH} ] }} ]
""",
    ANSWERS: f"""\
name: "{ANSWERS}"  backend: "generator"  max_batch_size: 8  default_model_filename: "answer_decoder.onnx"
input [ {{ name: "input_ids"  data_type: TYPE_INT64  dims: [ {LENGTH} ] }},
  {{ name: "attention_mask"  data_type: TYPE_INT64  dims: [ {LENGTH} ] }},
  {{ name: "question_states"  data_type: TYPE_FP32  dims: [ {LENGTH}, {WIDTH} ] }},
  {{ name: "fused_tokens"  data_type: TYPE_FP32  dims: [ {1 + PATCHES}, {WIDTH} ] }} ]
output [ {{ name: "answer"  data_type: TYPE_STRING  dims: [ 1 ] }} ]
""",
    PIPELINE: f"""\
name: "{PIPELINE}"  platform: "ensemble"  max_batch_size: 8
input [ {{ name: "question"  data_type: TYPE_UINT8  dims: [ -1 ] }} ]
output [ {{ name: "answer"  data_type: TYPE_STRING  dims: [ 1 ] }} ]
ensemble_scheduling {{
  step [ {{ model_name: "gate"  model_version: -1
    input_map {{ key: "question" value: "question" }}  output_map {{ key: "present" value: "present" }} }} ]
  step [ {{ model_name: "{TOKENIZER}"  model_version: -1
    input_map {{ key: "question" value: "question" }}  input_map {{ key: "present" value: "present" }}
    output_map {{ key: "input_ids" value: "input_ids" }} }} ]
  step [ {{ model_name: "{ANSWERS}"  model_version: -1
    input_map {{ key: "input_ids" value: "input_ids" }}  output_map {{ key: "answer" value: "answer" }} }} ]
}}
""",
}


def write_repository(folder: Path) -> Path:
    """Version 1 of everything; what a graph of states needs beside the tokens is nobody's here."""
    for name, text in CONFIGS.items():
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(text)
    write_tokenizer(folder / TOKENIZER / "1", folder)
    write_answers(folder / ANSWERS / "1", folder)
    return folder


def write_set(folder: Path, repository: Path, seed: int = 6) -> Path:
    """Another tokenizer and another generation, as an export would leave them."""
    write_tokenizer(folder / TOKENIZER, repository, weights="2")
    write_answers(folder / ANSWERS, repository, weights="2", seed=seed)
    return folder


def write_tokenizer(folder: Path, repository: Path, weights: str = "1", length: int = LENGTH) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(tokenizer_text(length))
    describe(folder, TOKENIZER, repository, weights)
    return folder


def write_answers(folder: Path, repository: Path, weights: str = "1", **settings: object) -> Path:
    write_version(folder, **settings)
    (folder / "tokenizer.json").write_text(tokenizer_text(LENGTH))
    describe(folder, ANSWERS, repository, weights)
    return folder


def tokenizer_text(length: int) -> str:
    made = tokenizer()
    made.enable_truncation(length)
    made.enable_padding(length=length, pad_id=PAD, pad_token=WORDS[PAD])
    return made.to_str()


def edit_settings(folder: Path, repository: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what `generation.json` says, and describe it honestly."""
    told = json.loads(json.dumps(SETTINGS))
    change(told)
    (folder / "generation.json").write_text(json.dumps(told))
    describe(folder, ANSWERS, repository, weights="2")


def put_graph(folder: Path, repository: Path, name: str, graph: onnx.ModelProto) -> None:
    """Another graph, described honestly."""
    onnx.save(graph, folder / name)
    describe(folder, ANSWERS, repository, weights="2")


def files_of(folder: Path) -> list[str]:
    """Names of everything in a version folder but its manifest."""
    return sorted(file.name for file in folder.iterdir() if file.name != manifest.FILE)
