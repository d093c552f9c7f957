"""What a candidate's engines answer to a golden set, by ONNX Runtime in this process.

`python -m export golden --weights` asks PyTorch, which needs weights; a set made by editing engines has none.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from export import manifest
from export.golden_items import Item
from multimodal.presets import PRESETS
from multimodal.weld_classes import MODALITIES
from serving.releases import golden
from tests.end_to_end.releases.sets import FUSION, PIPELINE, PRESET
from training.decoding import decode_audio, decode_photos, decode_video, read_sensor

Arrays = dict[str, np.ndarray]


def write_expected(source: Path, folder: Path) -> Path:
    """Put the answers of `source`'s engines beside the golden set of `folder`; returns their file.

    source: all engines of the pipeline, each in its own folder
    """
    chosen = golden.read(folder, PIPELINE)
    sessions = {place.name: _session(place / "model.onnx") for place in sorted(source.iterdir())}
    answers = [_answer(sessions, _tensors(request)) for request in chosen.requests()]
    weights = str(manifest.read(source / FUSION)["weights_sha256"])
    path = chosen.folder / f"expected-{weights[: golden.DIGITS]}.npz"
    np.savez_compressed(path, **{name: np.stack([one[name] for one in answers]) for name in answers[0]})
    return path


def first_items(folder: Path, smaller: Path, count: int) -> Path:
    """The same golden set with its first items only; returns `smaller`."""
    whole, part = folder / PIPELINE, smaller / PIPELINE
    content = json.loads((whole / golden.FILE).read_text())
    content["items"] = content["items"][:count]
    (part / "inputs").mkdir(parents=True)
    (part / golden.FILE).write_text(json.dumps(content))
    for item in content["items"]:
        shutil.copy(whole / "inputs" / f"{item['id']}.npz", part / "inputs")
    for path in whole.glob("expected-*.npz"):
        with np.load(path) as arrays:
            np.savez(part / path.name, **{name: arrays[name][:count] for name in arrays.files})
    return smaller


def _session(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _tensors(request: Mapping[str, np.ndarray]) -> Arrays:
    """What the engines see of one request, a batch of one, by the names of the wires; and the statuses."""
    preset = PRESETS[PRESET]
    line = {"id": "", "label": 0, "modalities": (), "damage": ""}
    item = Item.from_inputs(line, request)
    frames, video = decode_video(item.video, preset.video)
    pixels, photos, image_status, image = decode_photos(list(item.photos), preset.image)
    waveform, samples, audio = decode_audio(item.audio, preset.audio)
    series, sensor = read_sensor(item.sensor, preset.sensor)
    statuses = (video, image, audio, sensor)
    found = {
        "video_frames": frames,
        "image_pixels": pixels,
        "audio_waveform": waveform,
        "audio_samples": np.asarray([samples], np.int32),
        "sensor_series": series,
        "modality_status": np.asarray(statuses, np.int32),
        "image_status": np.asarray(image_status, np.int32),
        **{f"{name}_valid": np.asarray([one.usable]) for name, one in zip(MODALITIES, statuses, strict=True)},
    }
    return {name: np.asarray(array)[None] for name, array in (found | {"image_valid": photos}).items()}


def _answer(sessions: Mapping[str, onnxruntime.InferenceSession], tensors: Arrays) -> Arrays:
    """Output of the pipeline -> its value for one request, without batch axis."""
    wires = dict(tensors)
    for model in (*(name for name in sessions if name != FUSION), FUSION):
        names = [value.name for value in sessions[model].get_outputs()]
        inputs = {value.name: wires[value.name] for value in sessions[model].get_inputs()}
        wires |= dict(zip(names, sessions[model].run(names, inputs), strict=True))
    answers = [value.name for value in sessions[FUSION].get_outputs()]
    return {name: wires[name][0] for name in (*answers, "modality_status", "image_status")}
