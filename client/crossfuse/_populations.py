"""Which requests meet the canary: the release that is tried on a share of the traffic before it goes live."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

from ._errors import InvalidInput
from ._payloads import InputTensor

Population = Literal["live", "canary"]


def population(pipeline: str, key: str, share: float) -> Population:
    """Whether a request belongs to the live pipeline or to its canary: the same answer everywhere, for ever.

    key: what must always meet the same side, such as a weld's id; share: of all keys that meet the canary
    returns: `canary` where BLAKE2b of pipeline and key, 64 bits as a fraction of 1, lies below `share`; so
    a share that grows keeps the keys it had
    raises: ValueError for a share outside 0 to 1
    """
    check_share(share)
    digest = hashlib.blake2b(f"{pipeline}\0{key}".encode(), digest_size=8).digest()
    return "canary" if int.from_bytes(digest, "big") < share * 2.0**64 else "live"


def canary_of(pipeline: str) -> str:
    """The name under which the server offers a pipeline's canary, while there is one."""
    return f"{pipeline}_canary"


def check_share(share: float) -> None:
    """Refuse what is no share. raises: ValueError."""
    if not 0.0 <= share <= 1.0:  # NaN too
        raise ValueError(
            f"canary: expected a share of the requests from 0 to 1, got {share}; 0.1 sends every tenth there"
        )


def check_key(key: Any) -> None:
    """Refuse what is no key. raises: InvalidInput."""
    if key is not None and (not isinstance(key, str) or not key):
        raise InvalidInput(
            f"key: expected a text such as the weld's id, got {key!r}; leave it out or name one"
        )


def payload_key(tensors: Sequence[InputTensor]) -> str:
    """The key of a request that names none: a digest of all that is sent, so a repetition meets the same."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        digest.update(f"{tensor.name} {tensor.shape}".encode())
        digest.update(tensor.data)
    return digest.hexdigest()
