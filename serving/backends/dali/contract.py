"""The sizes and names a preprocess model promises, read from its Triton configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

DTYPES: Mapping[str, type[np.generic]] = {
    "TYPE_UINT8": np.uint8,
    "TYPE_INT32": np.int32,
    "TYPE_FP32": np.float32,
    "TYPE_BOOL": np.bool_,
}
DECODED = {
    "video": "video_frames",
    "image": "image_pixels",
    "audio": "audio_waveform",
    "sensor": "sensor_series",
}
PATCH_PX = 32  # side of the patches that `video_fragments` are made of


class Status(IntEnum):
    """What became of a payload; OK and PARTIAL are used, the rest is zeros and masked."""

    OK = 0
    ABSENT = 1
    PARTIAL = 2
    CORRUPT = 3


@dataclass(frozen=True)
class Contract:
    """Modalities in order, and every output's shape (without batch) and dtype.

    frames:      (frames, size, size, 3) of `video_frames`
    moments:     rows of `frame_numbers`: `video_frames` then has a burst of frames from each moment on, and
                 `video_fragments` (moments, size, size, 3) and `frame_times` (moments,) may be there too
    photos:      (photos, size, size, 3) of `image_pixels`
    samples:     length of `audio_waveform` at `audio_rate_hz`
    steps:       rows of `sensor_series`, whose columns are `sensor_columns`
    present:     what the columns of the input `present` are of, where they are more than the modalities: a
                 pipeline may have some that another step reads
    """

    modalities: tuple[str, ...]
    outputs: Mapping[str, tuple[tuple[int, ...], type[np.generic]]]
    sensor_columns: tuple[str, ...] = ()
    audio_rate_hz: int = 16_000
    present: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        needed = [*(DECODED[name] for name in self.modalities), self.status_output]
        missing = [name for name in needed if name not in self.outputs]
        if missing:
            raise ValueError(f"preprocess: expected an output {missing[0]!r}, got none; add it to the config")
        unlisted = [name for name in self.modalities if name not in (self.present or self.modalities)]
        if unlisted:
            raise ValueError(
                f"present: expected {unlisted[0]} among the names of its columns, got "
                f"{', '.join(self.present)}; correct the config"
            )
        for name in {"video", "image"} & set(self.modalities):
            dims = self.outputs[DECODED[name]][0]
            if len(dims) != 4 or dims[1] != dims[2] or dims[3] != 3:
                raise ValueError(
                    f"{DECODED[name]}: expected dims [n, size, size, 3], got {list(dims)}; correct the config"
                )
        if "video" in self.modalities:
            self._check_moments()
        if "sensor" in self.modalities and self.outputs["sensor_series"][0][1] != len(self.sensor_columns):
            raise ValueError(
                f"sensor_columns: expected as many as sensor_series has channels, "
                f"got {len(self.sensor_columns)}; correct the config"
            )

    def _check_moments(self) -> None:
        """What is said per moment needs moments, and a whole number of frames and patches each."""
        frames = self.dims("video")[0]
        if not self.moments or frames % self.moments:
            raise ValueError(
                f"video_frames: expected a multiple of the {self.moments} frame_numbers, got {frames} rows; "
                "correct the config"
            )
        if "frame_numbers" not in self.outputs and {"frame_times", "video_fragments"} & set(self.outputs):
            raise ValueError("preprocess: expected an output 'frame_numbers', got none; add it to the config")
        if "frame_times" in self.outputs and self.outputs["frame_times"][0] != (self.moments,):
            got = list(self.outputs["frame_times"][0])
            raise ValueError(f"frame_times: expected dims [{self.moments}], got {got}; correct the config")
        dims = self.outputs["video_fragments"][0] if "video_fragments" in self.outputs else None
        if dims and (len(dims) != 4 or dims != (self.moments, dims[1], dims[1], 3) or dims[1] % PATCH_PX):
            raise ValueError(
                f"video_fragments: expected dims [{self.moments}, size, size, 3] and a size of whole "
                f"{PATCH_PX} px patches, got {list(dims)}; correct the config"
            )

    @property
    def status_output(self) -> str:
        """Where the status of every modality goes; that of a lone photo is all there is to say of it."""
        lone_photo = self.modalities == ("image",) and self.outputs.get("image_status", ((),))[0] == (1,)
        return "image_status" if lone_photo and "modality_status" not in self.outputs else "modality_status"

    @property
    def present_columns(self) -> tuple[int, ...]:
        """The column of `present` that belongs to each modality."""
        return tuple((self.present or self.modalities).index(name) for name in self.modalities)

    @property
    def moments(self) -> int:
        """Moments of a video; every frame is one where the model does not number them."""
        numbered = self.outputs.get("frame_numbers")
        return numbered[0][0] if numbered else self.dims("video")[0]

    @property
    def burst(self) -> int:
        """Frames taken from each moment on."""
        return self.dims("video")[0] // self.moments

    @property
    def fragments_px(self) -> int:
        """Side of `video_fragments`, 0 for models without."""
        return self.outputs["video_fragments"][0][1] if "video_fragments" in self.outputs else 0

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Contract:
        """Read the JSON form of a config.pbtxt, as Triton hands it to a backend."""
        parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
        outputs = {
            output["name"]: (tuple(int(dim) for dim in output["dims"]), DTYPES[output["data_type"]])
            for output in config["output"]
        }
        return cls(
            _names(parameters["modalities"]),
            outputs,
            _names(parameters.get("sensor_columns", "")),
            int(parameters.get("audio_rate_hz", 16_000)),
            _names(parameters.get("present", "")),
        )

    def dims(self, modality: str) -> tuple[int, ...]:
        """The shape of a modality's decoded tensor, without batch."""
        return self.outputs[DECODED[modality]][0]

    def blank(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Zeros for the outputs in `names` that this model has, without batch."""
        return {name: np.zeros(*self.outputs[name]) for name in names if name in self.outputs}


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def evenly(count: int, picks: int) -> np.ndarray:
    """Indices of `picks` items from the first to the last of `count`; they repeat when count < picks."""
    return np.floor(np.arange(picks) * (count - 1) / max(picks - 1, 1) + 0.5).astype(np.int64)
