"""A pipeline of a gate and two engines of a few nodes, and sets of engines to release into it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export import contract, manifest

PIPELINE = "inspection"
CLASSES = ("good", "porous", "burnt")
MODEL = """\
name: "{name}"
backend: "{backend}"
max_batch_size: 8
input [ {{ name: "{side_in}"  data_type: TYPE_FP32  dims: [ 3 ] }} ]
output [ {{ name: "{side_out}"  data_type: TYPE_FP32  dims: [ 3 ] }} ]
"""
ENSEMBLE = """\
name: "inspection"
platform: "ensemble"
max_batch_size: 8
input [ { name: "signal"  data_type: TYPE_FP32  dims: [ 3 ] } ]
output [ { name: "scores"  data_type: TYPE_FP32  dims: [ 3 ] } ]
parameters { key: "class_names"  value { string_value: "good,porous,burnt" } }
ensemble_scheduling {
  step [ { model_name: "gate"  model_version: -1
    input_map { key: "signal" value: "signal" }  output_map { key: "checked" value: "checked" } } ]
  step [ { model_name: "encoder"  model_version: -1
    input_map { key: "checked" value: "checked" }  output_map { key: "tokens" value: "tokens" } } ]
  step [ { model_name: "head"  model_version: -1
    input_map { key: "tokens" value: "tokens" }  output_map { key: "scores" value: "scores" } } ]
}
"""
ENGINES = {"encoder": ("checked", "tokens"), "head": ("tokens", "scores")}


def write_repository(folder: Path) -> Path:
    """Version 1 of everything: the gate without files, encoder and head multiplying by 1."""
    folder.mkdir()
    write_model(folder, "gate", "gate", ("signal", "checked"))
    for name, sides in ENGINES.items():
        write_model(folder, name, "onnxruntime", sides)
        write_engine(folder / name / "1", name, 1.0, repository=folder)
    (folder / PIPELINE / "1").mkdir(parents=True)
    (folder / PIPELINE / "config.pbtxt").write_text(ENSEMBLE)
    return folder


def write_model(repository: Path, name: str, backend: str, sides: tuple[str, str]) -> None:
    (repository / name / "1").mkdir(parents=True, exist_ok=True)
    text = MODEL.format(name=name, backend=backend, side_in=sides[0], side_out=sides[1])
    (repository / name / "config.pbtxt").write_text(text)


def write_set(
    folder: Path, repository: Path, factor: float, models: tuple[str, ...] = ("encoder", "head")
) -> Path:
    """Engines that multiply by `factor`, as an export would leave them."""
    for name in models:
        write_engine(folder / name, name, factor, repository)
    return folder


def write_engine(folder: Path, name: str, factor: float, repository: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(multiplying(*ENGINES[name], np.full(3, factor, np.float32)), folder / "model.onnx")
    describe(folder, name, repository, weights=f"{factor:g}")


def describe(folder: Path, name: str, repository: Path, weights: str, **fields: object) -> None:
    """A manifest that fits the files as they are now; `fields` say more, or something else."""
    recipe: dict[str, Any] = {
        "model": name,
        "preset": "small",
        "contract_sha256": contract.load(repository, name).digest,
        "weights_sha256": weights,
        "sources_sha256": "0" * 64,
        "versions": {"python": "3"},
    }
    made = manifest.Recipe(**{key: fields.pop(key, value) for key, value in recipe.items()})
    files = {
        file.name: {"sha256": manifest.sha256(file), "bytes": file.stat().st_size}
        for file in sorted(folder.iterdir())
        if file.name != manifest.FILE
    }
    content = {**vars(made), "version": None, "recipe_sha256": made.digest, "files": files, **fields}
    (folder / manifest.FILE).write_text(manifest.render(content))


def edit_manifest(folder: Path, **fields: Any) -> None:
    """Change what a manifest says, and nothing else."""
    content = json.loads((folder / manifest.FILE).read_text())
    (folder / manifest.FILE).write_text(json.dumps({**content, **fields}))


def edit_graph(
    folder: Path, name: str, repository: Path, change: Callable[[onnx.ModelProto], None], weights: str
) -> None:
    """Change an engine and describe it honestly."""
    model = onnx.load(folder / "model.onnx")
    change(model)
    onnx.save(model, folder / "model.onnx")
    describe(folder, name, repository, weights)


def multiplying(side_in: str, side_out: str, factor: np.ndarray) -> onnx.ModelProto:
    """side_out (batch, 3) = side_in (batch, 3) * factor (3)."""
    return model_of(
        [helper.make_node("Mul", [side_in, "factor"], [side_out])],
        side_in,
        side_out,
        [numpy_helper.from_array(factor, "factor")],
    )


def branching(side_in: str, side_out: str, factor: np.ndarray) -> onnx.ModelProto:
    """The same by way of an If, whose branch holds the factor as the engines of the encoders do."""
    branch = helper.make_graph(
        [helper.make_node("Mul", [side_in, "inner"], ["product"])],
        "branch",
        [],
        [helper.make_tensor_value_info("product", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(factor, "inner")],
    )
    yes = [numpy_helper.from_array(np.array(True), "yes")]
    node = helper.make_node("If", ["yes"], [side_out], then_branch=branch, else_branch=branch)
    return model_of([node], side_in, side_out, yes)


def model_of(
    nodes: list[onnx.NodeProto], side_in: str, side_out: str, constants: list[onnx.TensorProto]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(side_in, TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info(side_out, TensorProto.FLOAT, ["batch", 3])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def version_folders(repository: Path) -> dict[str, list[str]]:
    """Model -> names of the folders in its folder."""
    return {
        model: sorted(path.name for path in (repository / model).iterdir() if path.is_dir())
        for model in ("gate", *ENGINES)
    }
