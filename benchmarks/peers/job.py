"""The job that every peer does: the files of welds in, the answers of `weld_inspection` out.

One module for all of them, so that servers are compared and not decoders: the reference decoder, then
PyTorch with the shipped weights or the very engines that we serve. Rows whose modality is absent are not
computed in either, as ours are not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.engines import opened
from benchmarks.peers.settings import TORCH, EngineFile, Settings
from benchmarks.peers.wire import PRESET, Files, packed
from multimodal.weld_classes import MODALITIES
from training.decoding import Status, decode_audio, decode_photos, decode_video, read_sensor

WEIGHTS = Path(__file__).parents[2] / "weights" / f"{PRESET.name}.safetensors"
# What the engine of a modality takes, and what the decoder calls it.
ENGINE_INPUTS = {
    "video": {"video_frames": "video"},
    "image": {"image_pixels": "image"},
    "audio": {"audio_waveform": "audio", "audio_samples": "audio_samples"},
    "sensor": {"sensor_series": "sensor"},
}

Tensors = dict[str, NDArray[np.generic]]
Masks = dict[str, NDArray[np.bool_]]
Model = Callable[[Tensors, Masks], Mapping[str, NDArray[np.generic]]]


@dataclass(frozen=True)
class Decoded:
    """One weld without a batch axis: what the networks take, which rows hold data, what became of the files.

    status: modality_status (4,) and image_status (5,), int32
    """

    raw: Tensors
    valid: Masks
    status: Tensors


def decode(files: Files) -> Decoded:
    """Decode the files of one weld; what cannot be read becomes zeros and a status."""
    first = {name: next(iter(files.get(name, ())), b"") for name in MODALITIES}
    video, video_status = decode_video(first["video"], PRESET.video)
    image, photos, image_statuses, image_status = decode_photos(list(files.get("image", ())), PRESET.image)
    audio, samples, audio_status = decode_audio(first["audio"], PRESET.audio)
    sensor, sensor_status = read_sensor(first["sensor"], PRESET.sensor)
    statuses = dict(zip(MODALITIES, (video_status, image_status, audio_status, sensor_status), strict=True))
    raw: Tensors = {
        "video": video,
        "image": image,
        "audio": audio,
        "audio_samples": np.array([samples], np.int32),
        "sensor": sensor,
    }
    valid = {name: np.array([status.usable]) for name, status in statuses.items()} | {"image": photos}
    return Decoded(
        raw,
        valid,
        {"modality_status": _numbers(statuses.values()), "image_status": _numbers(image_statuses)},
    )


def _numbers(statuses: Iterable[Status]) -> NDArray[np.int32]:
    return np.array([int(status) for status in statuses], np.int32)


class Job:
    """Decoding and a loaded model; safe to be called from several threads."""

    def __init__(self, settings: Settings) -> None:
        self.max_batch = settings.max_batch
        self._model: Model
        if settings.variant == TORCH:
            self._model = torch_model(settings.threads)
        else:
            self._model = engine_model(settings.engines, settings.threads)
        # Two at a time would only take the same cores from each other, and OpenVINO's request is for one.
        self._one_at_a_time = threading.Lock()

    def answer(self, welds: Sequence[Files]) -> list[bytes]:
        """Packed answers (`wire.packed`), one per weld and in order."""
        return self.predict([decode(files) for files in welds])

    def predict(self, welds: Sequence[Decoded]) -> list[bytes]:
        """The same from decoded welds."""
        if not welds:
            return []
        if len(welds) > self.max_batch:
            rest = self.predict(welds[self.max_batch :])
            return self.predict(welds[: self.max_batch]) + rest
        raw = {name: np.stack([weld.raw[name] for weld in welds]) for name in welds[0].raw}
        valid = {name: np.stack([weld.valid[name] for weld in welds]) for name in MODALITIES}
        with self._one_at_a_time:
            found = self._model(raw, valid)
        rows = [{name: tensor[row] for name, tensor in found.items()} for row in range(len(welds))]
        return [packed({**row, **weld.status}) for row, weld in zip(rows, welds, strict=True)]


def torch_model(threads: int) -> Model:
    """PyTorch with the shipped weights."""
    import torch

    from multimodal.build import build

    torch.set_num_threads(threads)
    model = build(PRESET, WEIGHTS)

    def tokens(modality: str, raw: Tensors, valid: torch.Tensor) -> torch.Tensor:
        rows = valid.any(dim=1)
        found = torch.zeros(len(rows), PRESET.token_count(modality), PRESET.token_width(modality))
        if rows.any():
            names = ENGINE_INPUTS[modality].values()
            part = {name: torch.from_numpy(raw[name][rows.numpy()]) for name in names}
            found[rows] = model.encode_one(modality, part, valid[rows])
        return found

    def run(raw: Tensors, valid: Masks) -> dict[str, NDArray[np.generic]]:
        with torch.inference_mode():
            masks = {name: torch.from_numpy(valid[name]) for name in MODALITIES}
            answer = model.fuse({name: tokens(name, raw, masks[name]) for name in MODALITIES}, masks)
        found = {
            "probabilities": answer.probabilities,
            "anomaly_score": answer.anomaly_score.unsqueeze(-1),
            "embedding": answer.features,
            **{f"{name}_attention": answer.attention[name] for name in MODALITIES},
        }
        return {name: tensor.numpy() for name, tensor in found.items()}

    return run


def engine_model(files: Mapping[str, EngineFile], threads: int) -> Model:
    """The engines that we serve; files: a modality or `fusion` -> its engine."""
    engines = {part: opened(file, threads) for part, file in files.items()}

    def tokens(modality: str, raw: Tensors, valid: NDArray[np.bool_]) -> NDArray[np.generic]:
        if not valid.any():
            return np.zeros(
                (len(valid), PRESET.token_count(modality), PRESET.token_width(modality)), np.float32
            )
        feed = {theirs: raw[ours] for theirs, ours in ENGINE_INPUTS[modality].items()}
        return engines[modality](feed | {f"{modality}_valid": valid})[f"{modality}_tokens"]

    def run(raw: Tensors, valid: Masks) -> dict[str, NDArray[np.generic]]:
        found = {f"{name}_tokens": tokens(name, raw, valid[name]) for name in MODALITIES}
        masks = {f"{name}_valid": valid[name] for name in MODALITIES}
        return dict(engines["fusion"](found | masks))

    return run
