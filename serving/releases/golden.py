"""Read a golden set as `python -m export golden` writes it: requests and their right answers."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Arrays = dict[str, np.ndarray]

FILE = "golden.json"
DIGITS = 16  # of the weights' sha256 in the name of a file of expected answers


@dataclass(frozen=True)
class Item:
    """One request.

    label:    index of its true class; target: the number that its answer should be near; None where nobody
              knows it
    complete: all of it whole and its truth known, so the answer must be right
    damage:   the modality whose file is broken on purpose, else empty
    """

    id: str
    label: int | None
    modalities: tuple[str, ...]
    damage: str
    complete: bool
    sha256: str
    target: float | None = None

    def __post_init__(self) -> None:
        if self.complete and self.label is None and self.target is None:
            raise ValueError(f"{self.id}: expected a label or a target of a complete item, got neither")
        if self.target is not None and not math.isfinite(self.target):
            raise ValueError(f"{self.id}: expected a target that is a number, got {self.target}")

    @property
    def sent(self) -> str:
        """What was sent, in words."""
        return " + ".join(self.modalities) + (f", {self.damage} cut off" if self.damage else "")


@dataclass(frozen=True)
class Golden:
    """A whole set.

    class_names: in the order of the class probabilities; normal: index of the good class; empty and None
    where answers are no classes
    """

    folder: Path
    class_names: tuple[str, ...]
    normal: int | None
    items: tuple[Item, ...]

    def requests(self) -> Iterator[Arrays]:
        """Input tensors of each item in order, without batch axis.

        errors: ValueError for a file that is not the one the set was made with
        """
        import numpy as np

        for item in self.items:
            path = self.folder / "inputs" / f"{item.id}.npz"
            if not path.is_file() or _sha256(path) != item.sha256:
                raise ValueError(
                    f"{path}: expected the request that {FILE} describes, got "
                    f"{'another file' if path.is_file() else 'no file'}; {_remedy(self.folder)}"
                )
            with np.load(path, allow_pickle=False) as arrays:
                yield {name: arrays[name] for name in arrays.files}

    def expected(self, weights_sha256: str, fusion: str = "") -> Arrays | None:
        """What PyTorch answers with these weights: output -> (items, ...); None where nobody asked it.

        fusion: the chosen one where it is not the one that the preset has anyway
        errors: ValueError for a file that does not fit the set
        """
        import numpy as np

        path = self.folder / f"expected-{weights_sha256[:DIGITS]}{'-' if fusion else ''}{fusion}.npz"
        if not weights_sha256 or not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        for name, array in found.items():
            if len(array) != len(self.items):
                raise ValueError(
                    f"{path}: expected {len(self.items)} answers, got {len(array)} of {name}; "
                    f"{_remedy(self.folder)}"
                )
        return found


def read(folder: Path, pipeline: str) -> Golden:
    """The golden set of a pipeline below `folder`; ValueError that says how to make one."""
    place = Path(folder) / pipeline
    try:
        content = json.loads((place / FILE).read_text())
        items = tuple(
            Item(
                line["id"],
                line["label"],
                tuple(line["modalities"]),
                line["damage"],
                line["complete"],
                line["sha256"],
                line.get("target"),
            )
            for line in content["items"]
        )
        return Golden(place, tuple(content["class_names"]), content["normal"], items)
    except FileNotFoundError as error:
        raise ValueError(
            f"{place / FILE}: expected a golden set, found none; run `python -m export golden {pipeline}`, "
            "or pass --golden"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{place / FILE}: expected a golden set, got {error!r}; {_remedy(place)}") from error


def _remedy(folder: Path) -> str:
    return f"remove {folder} and run `python -m export golden {folder.name}`"


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
