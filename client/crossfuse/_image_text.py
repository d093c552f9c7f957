"""One image and some words as the bytes that travel; the server decodes the one and tokenises the other.

What the server would refuse for certain is refused here, in its words: that saves sending the image.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from ._errors import InvalidInput
from ._payloads import InputTensor, Payload, byte_tensor, photo_bytes

QUESTION_NEEDS = ("image", "question")
# Spaces, line and paragraph breaks, control and format characters: all that a reader does not see.
INVISIBLE = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})


def vision_language_tensors(payloads: Mapping[str, Payload]) -> list[InputTensor]:
    """The two inputs of `vision_language`; what is left out travels as zero bytes.

    raises: InvalidInput for what cannot be sent: neither of the two, several images, a missing or empty
    file, words that are none
    """
    tensors = [
        byte_tensor("image", image_bytes(payloads.get("image"))),
        byte_tensor("text", text_bytes("text", payloads.get("text"))),
    ]
    if not any(tensor.data for tensor in tensors):
        raise InvalidInput("vision_language: expected at least one of image, text, got none; pass one")
    return tensors


def visual_question_tensors(payloads: Mapping[str, Payload]) -> list[InputTensor]:
    """The two inputs of `visual_question_answering`.

    raises: InvalidInput for what cannot be sent: one of the two is missing, several images, a missing or
    empty file, words that are none
    """
    image, question = image_bytes(payloads.get("image")), text_bytes("question", payloads.get("question"))
    tensors = [byte_tensor("image", image), byte_tensor("question", question)]
    for tensor in tensors:
        if not tensor.data:
            raise InvalidInput(
                f"{tensor.name}: expected {' and '.join(QUESTION_NEEDS)} in every request, got none; "
                f"pass the {tensor.name} too"
            )
    return tensors


def only_image(source: Any) -> Any:
    """The one image that was passed, as it is or as a list of one; None if there is none.

    raises: InvalidInput for several
    """
    if not isinstance(source, Sequence) or isinstance(source, (str, bytes, bytearray, memoryview)):
        return source
    if len(source) > 1:
        raise InvalidInput(f"image: expected one image, got {len(source)}; ask once for each")
    return source[0] if source else None


def image_bytes(source: Any) -> bytes:
    """The one image's file; empty if there is none. raises: InvalidInput if it cannot be sent"""
    image = only_image(source)
    return b"" if image is None else photo_bytes("image", image)


def text_bytes(name: str, source: Any) -> bytes:
    """Words as UTF-8; empty if there are none. Bytes travel as they are: the server judges them.

    name: how an error calls it; raises: InvalidInput for another type, or words that are none
    """
    if source is None:
        return b""
    if isinstance(source, os.PathLike) or not isinstance(source, (str, bytes, bytearray, memoryview)):
        raise InvalidInput(
            f"{name}: expected the words themselves, got {type(source).__name__}; pass a str or UTF-8 bytes"
        )
    data = _encoded(name, source) if isinstance(source, str) else bytes(source)
    _check_visible(name, data.decode("utf-8-sig", errors="replace"))
    return data


def _check_visible(name: str, text: str) -> None:
    if all(unicodedata.category(character) in INVISIBLE for character in text):
        count = {0: "an empty text", 1: "one blank character"}.get(len(text), f"{len(text)} blank characters")
        raise InvalidInput(
            f"{name}: expected a visible character, got {count}; send a {name} of at least one word"
        )


def _encoded(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{name}: expected UTF-8 text, got {text[error.start : error.end]!r}, half of a surrogate pair; "
            "decode it properly"
        ) from error
