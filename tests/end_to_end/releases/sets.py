"""Release candidates made from an export by editing its ONNX files: a good set, and every bad one.

No torch: an edited graph is written in milliseconds, a real export takes half a minute. Manifests are written
again as by an exporter that believes in what it made: hashes that match, whatever the file is worth.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from export import manifest
from multimodal.weld_classes import CLASS_NAMES

PIPELINE = "weld_inspection"
PRESET = "weld_small"
AUDIO, SENSOR, FUSION = (f"{PRESET}_{part}" for part in ("audio_encoder", "sensor_encoder", "fusion"))
CHANGED = (AUDIO, SENSOR, FUSION)  # what a good set replaces; requests of sound and sensors pass all three
ENGINES = (*(f"{PRESET}_{part}_encoder" for part in ("video", "image", "audio", "sensor")), FUSION)
ENGINE_FILES = ("model.onnx", "dense.onnx")
CLASSIFIER = ("answer.heads.classifier.weight", "answer.heads.classifier.bias")

Edit = Callable[[onnx.ModelProto], None]


def export_of(repository: Path, folder: Path, models: tuple[str, ...] = ENGINES) -> Path:
    """Version 1 of `models` as `python -m export --out` would leave them."""
    for model in models:
        shutil.copytree(repository / model / "1", folder / model, ignore=shutil.ignore_patterns(".gitkeep"))
    return folder


def good(
    repository: Path, folder: Path, seed: int = 1, scale: float = 0.05, changed: tuple[str, ...] = CHANGED
) -> Path:
    """A whole set from slightly other weights; `changed` models differ, the others are the same files."""
    source = export_of(repository, folder)
    for model in changed:
        edit(source / model, perturbing(seed, scale))
    claim_weights(source, f"seed {seed}, scale {scale}")
    return source


def edit(folder: Path, change: Edit, files: tuple[str, ...] = ENGINE_FILES) -> None:
    """Change the graphs of one model and describe them honestly."""
    for name in files:
        model = onnx.load(folder / name)
        change(model)
        onnx.save(model, folder / name)
    describe(folder)


def describe(folder: Path, **fields: object) -> None:
    """Rewrite the manifest with the files' real hashes and with other `fields`."""
    content = manifest.read(folder)
    present = {name: folder / name for name in content["files"] if (folder / name).exists()}
    files = {
        name: {"sha256": manifest.sha256(file), "bytes": file.stat().st_size}
        for name, file in present.items()
    }
    (folder / manifest.FILE).write_text(manifest.render({**content, "files": files, **fields}))


def claim_weights(source: Path, origin: str) -> None:
    """Say in every manifest of a source that its engine was made from the weights of that name."""
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        claim_weights_of(folder, origin)


def claim_weights_of(folder: Path, origin: str) -> None:
    """Say in one manifest that its engine was made from the weights of that name."""
    digest = hashlib.sha256(origin.encode()).hexdigest()
    content = manifest.read(folder) | {"weights_sha256": digest}
    known = [field.name for field in fields(manifest.Recipe) if field.name in content]
    made = manifest.Recipe(**{name: content[name] for name in known})
    describe(folder, weights_sha256=digest, recipe_sha256=made.digest)


def perturbing(seed: int, scale: float) -> Edit:
    """Noise of `scale` times its own spread on every weight matrix."""

    def change(model: onnx.ModelProto) -> None:
        for tensor in float_matrices(model.graph):
            array = numpy_helper.to_array(tensor)
            draw = np.random.default_rng([seed, _number(tensor.name)]).standard_normal(array.shape)
            replace(tensor, array + (scale * array.std() * draw).astype(array.dtype))

    return change


def float_matrices(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Weight matrices of a graph and of the branches inside it."""
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) >= 2:
            yield tensor
    for branch in branches(graph):
        yield from float_matrices(branch)


def branches(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Graphs that nodes of a graph hold, such as both ways of an If."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield attribute.g


def replace(tensor: onnx.TensorProto, array: np.ndarray) -> None:
    """Give an initializer another content under its old name."""
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))


def initializer(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    """The initializer of that name; LookupError when the graph has none."""
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return tensor
    raise LookupError(f"{name}: expected an initializer of the graph, found none")


def nan_weights(repository: Path, folder: Path) -> Path:
    """One number of one weight matrix of the sound encoder is not one."""

    def change(model: onnx.ModelProto) -> None:
        tensor = next(float_matrices(model.graph))
        array = numpy_helper.to_array(tensor).copy()
        array.flat[array.size // 2] = np.nan
        replace(tensor, array)

    source = good(repository, folder)
    edit(source / AUDIO, change)
    return source


def truncated_engine(repository: Path, folder: Path) -> Path:
    """Half an engine, described after the disk had filled up: the hash is right."""
    source = good(repository, folder)
    for name in ENGINE_FILES:
        with (source / AUDIO / name).open("r+b") as file:
            file.truncate((source / AUDIO / name).stat().st_size // 2)
    describe(source / AUDIO)
    return source


def wrong_output_shape(repository: Path, folder: Path) -> Path:
    """A head for eleven classes, under a configuration that says twelve."""

    def change(model: onnx.ModelProto) -> None:
        for name in CLASSIFIER:
            tensor = initializer(model, name)
            replace(tensor, numpy_helper.to_array(tensor)[:-1])
        (output,) = (output for output in model.graph.output if output.name == "probabilities")
        output.type.tensor_type.shape.dim[1].dim_value = 11
        del model.graph.value_info[:]  # what the graph of twelve classes knew about its inside

    source = good(repository, folder)
    edit(source / FUSION, change)
    return source


def wrong_label_order(repository: Path, folder: Path) -> Path:
    """A head trained with the classes in alphabetical order, by an exporter that does not say so."""
    source = good(repository, folder)
    edit(source / FUSION, permuting(np.argsort(np.array(CLASS_NAMES))))
    claim_weights(source, "alphabetical labels")
    return source


def declared_label_order(repository: Path, folder: Path) -> Path:
    """The same, by an exporter that does say it."""
    source = wrong_label_order(repository, folder)
    describe(source / FUSION, class_names=sorted(CLASS_NAMES))
    return source


def permuting(order: np.ndarray) -> Edit:
    """Put the rows of the classifier into another order."""

    def change(model: onnx.ModelProto) -> None:
        for name in CLASSIFIER:
            tensor = initializer(model, name)
            replace(tensor, numpy_helper.to_array(tensor)[order])

    return change


def worse_head(repository: Path, folder: Path) -> Path:
    """A head that lost its accuracy in training."""
    source = good(repository, folder)
    edit(source / FUSION, spoiling(seed=5))
    claim_weights(source, "a training gone wrong")
    return source


def drifted_engine(repository: Path, folder: Path) -> Path:
    """A head that lost its accuracy on the way from good weights to an engine, as a bad quantisation does."""
    source = good(repository, folder)
    edit(source / FUSION, spoiling(seed=6))
    return source


def spoiling(seed: int) -> Edit:
    """Noise on the classifier, eight times its own spread: twice would not cost one answer in nine."""

    def change(model: onnx.ModelProto) -> None:
        tensor = initializer(model, CLASSIFIER[0])
        array = numpy_helper.to_array(tensor)
        noise = np.random.default_rng(seed).standard_normal(array.shape)
        replace(tensor, array + (8.0 * array.std() * noise).astype(array.dtype))

    return change


def mixed_weights(repository: Path, folder: Path) -> Path:
    """One source folder with the sound encoder of another training."""
    source = good(repository, folder)
    edit(source / AUDIO, perturbing(seed=99, scale=1.0))
    claim_weights_of(source / AUDIO, "another training")
    return source


def foreign_encoder(repository: Path, folder: Path) -> Path:
    """A set of one: the sensor encoder of another training, whose tokens mean nothing to the head here."""
    source = export_of(repository, folder, (SENSOR,))
    edit(source / SENSOR, perturbing(seed=99, scale=1.0))
    claim_weights(source, "another training")
    return source


def missing_file(repository: Path, folder: Path) -> Path:
    """A manifest that names an engine which was not copied."""
    source = good(repository, folder)
    (source / FUSION / "model.onnx").unlink()
    return source


def edited_hash(repository: Path, folder: Path) -> Path:
    """A manifest whose hash somebody edited."""
    return _lie(good(repository, folder), {"sha256": "0" * 64})


def edited_file(repository: Path, folder: Path) -> Path:
    """An engine with one byte changed after it was described."""
    source = good(repository, folder)
    path = source / SENSOR / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return source


def _lie(source: Path, entry: Mapping[str, object]) -> Path:
    content = manifest.read(source / AUDIO)
    content["files"]["model.onnx"].update(entry)
    (source / AUDIO / manifest.FILE).write_text(manifest.render(content))
    return source


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
