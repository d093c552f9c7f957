"""A whole batch of requests through decoding: each modality of all requests together, each failure alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from . import audio, sensors, serialised, video
from .contract import DECODED, Contract, Status, evenly
from .handed_on import Rows
from .isolation import IsolatedPipeline
from .moments import Sampling
from .stretching import stretched

log = logging.getLogger(__name__)

DECODER_THREADS = 2
MAX_BATCH = 8
# Photos of one run lie in memory at full size: eight of 50 megapixels are 1.2 GB. Runs of 40: 5-20 % faster.
PHOTOS_PER_RUN = 8
# In the place of a photo that a request has not: a black square once it is resized, decoded in microseconds.
BLANK = np.frombuffer(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060"
        "000000040001f61738550000000049454e44ae426082"  # a PNG of one black pixel
    ),
    np.uint8,
)

BESIDE = {  # what else is said of a modality, by models that say it
    "video": ("video_fragments", "frame_numbers", "frame_times"),
    "image": ("image_status",),
    "audio": ("audio_samples",),
}

Payloads = Mapping[str, np.ndarray]  # input name -> (n,) of one request
Tensors = dict[str, Any]  # output name -> array or Rows of one request, without batch


@dataclass(frozen=True)
class Reading:
    """What one modality of one request became."""

    tensors: Tensors
    status: Status


Reader = Callable[[Sequence[Payloads]], list[Reading]]


class Preprocessor:
    """Decodes batches to the tensors of one contract; it never raises for a bad payload.

    pipelines: the module `<version>/dali.py` of the model
    device:    "cpu" or "gpu"; device_id is the GPU of this instance
    in_place:  hand pixels on where DALI wrote them, valid until the next call; by default on a GPU
    """

    def __init__(
        self,
        contract: Contract,
        pipelines: ModuleType,
        device: str = "cpu",
        device_id: int = 0,
        in_place: bool | None = None,
    ) -> None:
        self.contract = contract
        self._gpu = device == "gpu"
        self._in_place = self._gpu if in_place is None else in_place
        self._pool = ThreadPoolExecutor(DECODER_THREADS, thread_name_prefix="video")
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="videos")
        on_cpu: dict[str, Any] = {"num_threads": DECODER_THREADS, "device_id": None}
        settings = {**on_cpu, "device_id": device_id} if self._gpu else on_cpu
        self._pipelines: dict[str, IsolatedPipeline] = {}
        if "image" in contract.modalities:
            self._pipelines["image"] = self._photo_pipeline(pipelines, device, settings)
        if "audio" in contract.modalities:
            how = wanted(contract, "audio", device)
            built = serialised.pipeline(pipelines, *how, batch_size=MAX_BATCH, **on_cpu)
            self._pipelines["audio"] = IsolatedPipeline(built)
        # Through DALI frames come at one size and without their times: a model that takes fragments or times
        # of a video reads it with PyAV on a GPU too, until a GPU is at hand to measure what that costs.
        nvdec = self._in_place and "frame_numbers" not in contract.outputs
        if "video" in contract.modalities and nvdec:
            how = wanted(contract, "video", device)
            built = serialised.pipeline(pipelines, *how, batch_size=MAX_BATCH, **settings)
            self._pipelines["video"] = IsolatedPipeline(built)
        if "video" in contract.modalities:
            size_px = contract.dims("video")[1]
            self._sampling = Sampling(contract.moments, size_px, contract.burst, contract.fragments_px)
        readers: dict[str, Reader] = {
            "video": self._videos_in_place if nvdec else self._videos,
            "image": self._photos_in_place if self._in_place else self._photos,
            "audio": self._recordings,
            "sensor": self._logs,
        }
        self._readers = {name: readers[name] for name in contract.modalities}
        # Of all requests without a modality: new zeros would be new pages of memory, 240 for a weld.
        self._zeros = contract.blank([DECODED[name] for name in contract.modalities])
        for zeros in self._zeros.values():
            zeros.setflags(write=False)
        # Of a batch that breaks, one by one: a second run would write over what the first handed on.
        self._lone_readers = self._readers | {"video": self._videos, "image": self._photos}

    def _photo_pipeline(
        self, pipelines: ModuleType, device: str, settings: Mapping[str, Any]
    ) -> IsolatedPipeline:
        """Squares; in place they come in one run per batch, as a second one would write over the first."""
        count, size_px = self.contract.dims("image")[:2]
        if self._in_place:
            how = wanted(self.contract, "image", device)
            return IsolatedPipeline(
                serialised.pipeline(pipelines, *how, batch_size=count * MAX_BATCH, **settings)
            )
        built = serialised.pipeline(pipelines, "originals", (), batch_size=PHOTOS_PER_RUN, **settings)
        return IsolatedPipeline(built, partial(stretched, size_px=size_px))

    def close(self) -> None:
        """Stop the decoder threads."""
        self._aside.shutdown()
        self._pool.shutdown()

    def __call__(self, requests: Sequence[Payloads], present: np.ndarray) -> list[Tensors]:
        """Decode one batch.

        requests: per request, input name -> (n,)
        present:  (batch, columns) bool, False where a payload is absent; the contract knows the columns
        returns:  per request, every output of the contract without batch
        """
        answers = [self.contract.blank([self.contract.status_output]) for _ in requests]
        came = present[:, self.contract.present_columns]
        here = {
            name: [request for request, there in zip(requests, came[:, column], strict=True) if there]
            for column, name in enumerate(self.contract.modalities)
        }
        # Videos aside: PyAV and DALI release the GIL, so that a lone request has a core for each.
        videos = self._aside.submit(self._guarded, "video", here["video"]) if here.get("video") else None
        readings = {name: iter(self._guarded(name, here[name])) for name in here if name != "video"}
        readings["video"] = iter(videos.result() if videos else ())
        for column, name in enumerate(self.contract.modalities):
            for answer, there in zip(answers, came[:, column], strict=True):
                reading = next(readings[name]) if there else self._unread(name, Status.ABSENT)
                answer.update(reading.tensors)
                answer[self.contract.status_output][column] = reading.status
        return [{name: answer[name] for name in self.contract.outputs} for answer in answers]

    def _guarded(self, modality: str, batch: Sequence[Payloads], whole: bool = True) -> list[Reading]:
        """Read a batch; when that breaks, each request alone; what breaks alone is CORRUPT."""
        if not batch:
            return []
        readers = self._readers if whole else self._lone_readers
        try:
            return readers[modality](batch)
        except Exception as error:  # whatever a hostile file brings about in a decoder
            if len(batch) == 1:
                log.warning("%s is corrupt: %s: %s", modality, type(error).__name__, error)
                return [self._unread(modality, Status.CORRUPT)]
        return [reading for request in batch for reading in self._guarded(modality, [request], whole=False)]

    def _unread(self, modality: str, status: Status) -> Reading:
        """Zeros, nothing valid."""
        decoded = DECODED[modality]
        tensors = self.contract.blank((f"{modality}_valid", *BESIDE.get(modality, ())))
        tensors[decoded] = self._zeros[decoded]
        if "image_status" in tensors:
            tensors["image_status"][:] = status
        return Reading(tensors, status)

    def _read(self, modality: str, value: np.ndarray | Rows, status: Status = Status.OK) -> Reading:
        valid = self.contract.blank((f"{modality}_valid",))
        return Reading({DECODED[modality]: value} | {name: ~zero for name, zero in valid.items()}, status)

    def _videos(self, batch: Sequence[Payloads]) -> list[Reading]:
        """PyAV releases the GIL: several videos share the threads of the pool, a single one gets them all."""
        threads = DECODER_THREADS if len(batch) == 1 else 1
        return list(
            self._pool.map(partial(self._video, threads=threads), [request["video"] for request in batch])
        )

    def _video(self, payload: np.ndarray, threads: int) -> Reading:
        try:
            clip = video.read(payload, self._sampling, threads)
        except video.Undecodable as error:
            log.warning("%s", error)
            return self._unread("video", Status.CORRUPT)
        more = {
            "video_fragments": clip.fragments,
            "frame_numbers": clip.numbers,
            "frame_times": clip.times,
        }
        reading = self._read("video", clip.frames, clip.status)
        reading.tensors.update({name: more[name] for name in more.keys() & self.contract.outputs.keys()})
        return reading

    def _videos_in_place(self, batch: Sequence[Payloads]) -> list[Reading]:
        """DALI (NVDEC on a GPU) decodes what it can; PyAV reads what it refused, judges what is broken."""
        frames = self.contract.dims("video")[0]
        samples = []
        for request in batch:
            packets, declared, slack, _ = video.index(request["video"].tobytes())
            whole = packets >= declared - slack
            numbers = evenly(packets, frames).astype(np.int32)
            samples.append(({"video": request["video"], "frames": numbers}, whole))
        clips = self._pipelines["video"].in_place([sample for sample, _ in samples])
        if clips is not None:
            return [
                self._read("video", clips.part(row, 1).reshaped(*clips.shape[1:]), _status(whole))
                for row, (_, whole) in enumerate(samples)
            ]
        decoded = self._pipelines["video"]([sample for sample, _ in samples])
        return [
            self._read("video", pixels, _status(whole))
            if pixels is not None
            else self._video(request["video"], DECODER_THREADS)
            for request, pixels, (_, whole) in zip(batch, decoded, samples, strict=True)
        ]

    def _photos(self, batch: Sequence[Payloads]) -> list[Reading]:
        """All photos of all requests in one go."""
        cut = [_photos_of(request) for request in batch]
        decoded = iter(self._pipelines["image"]([{"image": photo} for photos in cut for photo in photos]))
        return [self._album([next(decoded) for _ in photos]) for photos in cut]

    def _photos_in_place(self, batch: Sequence[Payloads]) -> list[Reading]:
        """All rows of all requests in one block, blanks where there is no photo; one is broken: no block."""
        count = self.contract.dims("image")[0]
        cut = [_photos_of(request) for request in batch]
        rows = [{"image": one} for photos in cut for one in (*photos, *[BLANK] * (count - len(photos)))]
        block = self._pipelines["image"].in_place(rows)
        if block is None:
            return self._photos(batch)
        readings = []
        for row, photos in enumerate(cut):
            reading = self._album(len(photos) * [None])
            reading = Reading({**reading.tensors, "image_pixels": block.part(row * count, count)}, Status.OK)
            reading.tensors["image_valid"][: len(photos)] = True
            if "image_status" in reading.tensors:
                reading.tensors["image_status"][: len(photos)] = Status.OK
            readings.append(reading)
        return readings

    def _album(self, photos: Sequence[np.ndarray | None]) -> Reading:
        album = self._unread("image", Status.ABSENT).tensors
        album |= self.contract.blank((DECODED["image"],))
        for row, photo in enumerate(photos):
            status = Status.CORRUPT if photo is None else Status.OK
            if photo is not None:
                album["image_pixels"][row] = photo
            if "image_status" in album:
                album["image_status"][row] = status
            album["image_valid"][row] = photo is not None
        lost = sum(photo is None for photo in photos)
        status = Status.OK if lost == 0 else Status.PARTIAL if lost < len(photos) else Status.CORRUPT
        return Reading(album, status)

    def _recordings(self, batch: Sequence[Payloads]) -> list[Reading]:
        whole = [not audio.is_cut_off(request["audio"].tobytes()) for request in batch]
        payloads = [{"audio": request["audio"]} for request, kept in zip(batch, whole, strict=True) if kept]
        decoded = iter(self._pipelines["audio"](payloads))
        return [self._recording(next(decoded) if kept else None) for kept in whole]

    def _recording(self, waveform: np.ndarray | None) -> Reading:
        if waveform is None or waveform.size == 0 or not np.isfinite(waveform).all():
            return self._unread("audio", Status.CORRUPT)
        fitted, samples = audio.window(waveform, self.contract.dims("audio")[0])
        reading = self._read("audio", fitted)
        reading.tensors["audio_samples"] = np.array([samples], np.int32)
        return reading

    def _logs(self, batch: Sequence[Payloads]) -> list[Reading]:
        steps = self.contract.dims("sensor")[0]
        return [
            self._read("sensor", *sensors.read(request["sensor"], self.contract.sensor_columns, steps))
            for request in batch
        ]


def wanted(contract: Contract, modality: str, device: str) -> tuple[str, tuple[object, ...]]:
    """The pipeline of a modality: its name in `dali.py`, and what it is called with."""
    if modality == "audio":
        return "recordings", (contract.audio_rate_hz,)
    return {"image": "photos", "video": "videos"}[modality], (contract.dims(modality)[1], device)


def _status(whole: bool) -> Status:
    return Status.OK if whole else Status.PARTIAL


def _photos_of(request: Payloads) -> list[np.ndarray]:
    """The files of one request; where no sizes come with them there is one."""
    if "image_sizes" not in request:
        return [request["image"]]
    return np.split(request["image"], np.cumsum(request["image_sizes"])[:-1])
