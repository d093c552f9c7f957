"""From files and arrays to the bytes that travel: nothing is decoded here, and absent means zero bytes."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from ._errors import InvalidInput, PayloadTooLarge
from ._png import png_bytes

File = str | os.PathLike[str] | bytes | bytearray | memoryview
"""A path (text or path object), or the file's own bytes."""
Payload = File | Sequence[File | NDArray[Any]] | NDArray[Any] | None
"""What a modality may be given as; None or an empty list means absent. For words, str is the words."""

MESSAGE_LIMIT_BYTES = 2**31 - 1  # protobuf's own limit, and the most that gRPC can be told to carry


@dataclass(frozen=True)
class InputTensor:
    """One input of a request: Triton's data type, shape with the batch axis, bytes in C order."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes


def byte_tensor(name: str, data: bytes) -> InputTensor:
    """One payload as UINT8 (1, bytes); zero bytes mean absent."""
    return InputTensor(name, "UINT8", (1, len(data)), data)


def infer_request(pipeline: str, tensors: Sequence[InputTensor]) -> Any:
    """The KServe message; it is built once and sent as often as it takes.

    raises: PayloadTooLarge when no gRPC message can hold it
    """
    size = sum(len(tensor.data) for tensor in tensors)
    if size > MESSAGE_LIMIT_BYTES - (1 << 20):
        raise PayloadTooLarge(
            f"{pipeline}: expected payloads below 2 GiB together, got {size:,} bytes; send shorter recordings"
        )
    request = service_pb2.ModelInferRequest(model_name=pipeline)
    for tensor in tensors:
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        request.raw_input_contents.append(tensor.data)
    return request


def set_timeout(request: Any, wait_s: float) -> None:
    """Say how long the answer is waited for: a server that expects to take longer refuses at once.

    request: what `infer_request` made; source: `timeout` among the request parameters of KServe's protocol in
    Triton, microseconds (docs/protocol/extension_parameters.md)
    """
    request.parameters["timeout"].int64_param = max(1, round(wait_s * 1e6))


def weld_tensors(payloads: Mapping[str, Payload]) -> list[InputTensor]:
    """The five inputs of `weld_inspection`, read from disk where they are paths.

    raises: InvalidInput for what cannot be sent: no payload at all, a missing or empty file, an array of a
    wrong shape
    """
    photos = [
        photo_bytes(f"image {number}", photo)
        for number, photo in enumerate(_photos(payloads.get("image")), 1)
    ]
    video, audio, sensor = payloads.get("video"), payloads.get("audio"), payloads.get("sensor")
    series = array_bytes(sensor) if isinstance(sensor, np.ndarray) else _one_file("sensor", sensor)
    sizes = np.array([len(photo) for photo in photos], dtype="<i8")
    tensors = [
        byte_tensor("video", _one_file("video", video)),
        byte_tensor("image", b"".join(photos)),
        InputTensor("image_sizes", "INT64", (1, len(photos)), sizes.tobytes()),
        byte_tensor("audio", _one_file("audio", audio)),
        byte_tensor("sensor", series),
    ]
    if not any(tensor.data for tensor in tensors):
        raise InvalidInput(
            "weld_inspection: expected at least one of video, image, audio, sensor, got none; pass one"
        )
    return tensors


def quality_tensors(payloads: Mapping[str, Payload]) -> list[InputTensor]:
    """The one input of `video_quality`.

    raises: InvalidInput for what cannot be sent: no video, a missing or empty file
    """
    video = payloads.get("video")
    if video is None:
        raise InvalidInput("video_quality: expected a video, got none; pass one")
    return [byte_tensor("video", _one_file("video", video))]


def file_bytes(name: str, source: File) -> bytes:
    """The bytes of one file.

    name: how an error calls it; raises: InvalidInput if it cannot be read or is empty
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        data, origin = bytes(source), "an empty bytes object"
    elif isinstance(source, (str, os.PathLike)):
        data, origin = _read(name, Path(source)), f"the empty file {os.fspath(source)}"
    else:
        raise InvalidInput(
            f"{name}: expected a path or the file's bytes, got {type(source).__name__}; pass one of those"
        )
    if not data:
        raise InvalidInput(
            f"{name}: expected a recording, got {origin}; record again or leave the modality out"
        )
    return data


def photo_bytes(name: str, source: File | NDArray[Any]) -> bytes:
    """One photo: a file as it is, or an array of pixels as a PNG. raises: InvalidInput; see `file_bytes`"""
    return png_bytes(name, source) if isinstance(source, np.ndarray) else file_bytes(name, source)


def array_bytes(series: NDArray[Any]) -> bytes:
    """Sensor rows (rows, 6) as the bytes of a .npy file of float32."""
    if series.ndim != 2 or series.shape[1] != 6 or not series.shape[0] or series.dtype.kind not in "fiu":
        raise InvalidInput(
            f"sensor: expected numbers of shape (rows, 6), got {series.dtype} of shape {series.shape}; "
            "select and order the six columns, or pass the CSV file"
        )
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(series, dtype="<f4"), allow_pickle=False)
    return buffer.getvalue()


def _one_file(name: str, source: Any) -> bytes:
    return b"" if source is None else file_bytes(name, source)


def _photos(source: Any) -> Iterable[File | NDArray[Any]]:
    if source is None:
        return ()
    if isinstance(source, (str, bytes, bytearray, memoryview, os.PathLike, np.ndarray)):
        return (source,)  # one photo need not be a list
    if isinstance(source, Sequence):
        return tuple(source)
    raise InvalidInput(
        f"image: expected a list of photos (paths or bytes), got {type(source).__name__}; pass image=[...]"
    )


def _read(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise InvalidInput(
            f"{name}: expected a readable file, got {path} ({reason}); check the path or leave it out"
        ) from error
