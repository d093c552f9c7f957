"""What travels between the generator and a peer: files in, the tensors of an answer out.

HTTP peers take a form with one part per file and give the tensors back as they lie in memory: text would cost
them more than the whole fusion. The V2 protocol carries the same as texts (BYTES), whose rows need not be
equally long; numbers (UINT8) would have MLServer make a Python object of every byte.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal.presets import PRESETS
from multimodal.weld_classes import CLASS_NAMES, MODALITIES

PRESET = PRESETS["weld_small"]
MODEL = "weld"  # of the V2 protocol
ANSWER = "answer"
PHOTOS = PRESET.image.count
BOUNDARY = "1d2f5c0e9ab84c7c8d3c6f2e7b40a951"  # random, and in no file
FORM = f"multipart/form-data; boundary={BOUNDARY}"
RAW = "application/octet-stream"

Files = Mapping[str, Sequence[bytes]]
"""Modality -> its files; a modality without any is absent."""

LAYOUT: dict[str, tuple[int, ...]] = {
    "probabilities": (len(CLASS_NAMES),),
    "anomaly_score": (1,),
    "embedding": (PRESET.fusion.width,),
    **{f"{name}_attention": (PRESET.fusion.tokens, PRESET.token_count(name)) for name in MODALITIES},
    "modality_status": (len(MODALITIES),),
    "image_status": (PHOTOS,),
}


def dtype_of(name: str) -> np.dtype[Any]:
    """Of a tensor of an answer."""
    return np.dtype("<i4" if name.endswith("_status") else "<f4")


def packed(answer: Mapping[str, NDArray[Any]]) -> bytes:
    """The tensors of one answer, one behind the other."""
    return b"".join(np.ascontiguousarray(answer[name], dtype_of(name)).tobytes() for name in LAYOUT)


def unpacked(reply: bytes) -> dict[str, NDArray[Any]]:
    """The tensors of one answer; ValueError when it is not as long as one."""
    expected = sum(prod(shape) * dtype_of(name).itemsize for name, shape in LAYOUT.items())
    if len(reply) != expected:
        raise ValueError(f"answer: expected {expected} bytes, got {len(reply)}")
    found, at = {}, 0
    for name, shape in LAYOUT.items():
        found[name] = np.frombuffer(reply, dtype_of(name), prod(shape), at).reshape(shape)
        at += found[name].nbytes
    return found


def files_of(payloads: Mapping[str, Any]) -> dict[str, list[bytes]]:
    """Payloads as `Client.infer` takes them, files in memory."""
    found = {}
    for name in MODALITIES:
        given = payloads.get(name) or []
        found[name] = [given] if isinstance(given, bytes) else list(given)
    return found


def form(files: Files) -> bytes:
    """The body of a POST request, of the content type FORM."""
    lines = []
    for name in MODALITIES:
        for number, file in enumerate(files.get(name, ())):
            head = f'Content-Disposition: form-data; name="{name}"; filename="{name}{number}"'
            lines.append(f"--{BOUNDARY}\r\n{head}\r\nContent-Type: {RAW}\r\n\r\n".encode() + file + b"\r\n")
    return b"".join(lines) + f"--{BOUNDARY}--\r\n".encode()


def infer_message(files: Files) -> bytes:
    """A serialized ModelInferRequest; every input is there, an absent file has no bytes."""
    from tritonclient.grpc import service_pb2  # here: a peer has no use for it

    request = service_pb2.ModelInferRequest(model_name=MODEL)
    for name in MODALITIES:
        slots = PHOTOS if name == "image" else 1
        given = [*files.get(name, ()), *[b""] * slots][:slots]
        request.inputs.add(name=name, datatype="BYTES", shape=[1, slots])
        request.raw_input_contents.append(b"".join(struct.pack("<I", len(file)) + file for file in given))
    return bytes(request.SerializeToString())


def infer_answer(reply: bytes) -> bytes:
    """The packed answer in a serialized ModelInferResponse; ValueError when there is none."""
    from tritonclient.grpc import service_pb2

    response = service_pb2.ModelInferResponse.FromString(reply)
    if [output.name for output in response.outputs] != [ANSWER]:
        named = ", ".join(output.name for output in response.outputs)
        raise ValueError(f"answer: expected the output {ANSWER}, got {named}")
    if response.raw_output_contents:
        return bytes(response.raw_output_contents[0][4:])  # behind its length
    return bytes(response.outputs[0].contents.bytes_contents[0])


def rows_of(columns: Mapping[str, Sequence[bytes]]) -> list[dict[str, list[bytes]]]:
    """Several requests of the V2 protocol, merged by the server, as the files of each.

    columns: modality -> files of all requests one behind the other, PHOTOS of each for images
    """
    count = len(columns["video"])
    found = []
    for row in range(count):
        files = {name: [file for file in columns[name][row : row + 1] if file] for name in MODALITIES}
        photos = columns["image"][row * PHOTOS : (row + 1) * PHOTOS]
        found.append(files | {"image": [file for file in photos if file]})
    return found
