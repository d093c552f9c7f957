"""Read a golden set as `python -m export golden` writes it: requests and their right answers."""

from __future__ import annotations

import hashlib
import json
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
    """One request. label: index of its true class; complete: all of it whole, so the class must be right.

    damage: the modality whose file is broken on purpose, else empty
    """

    id: str
    label: int
    modalities: tuple[str, ...]
    damage: str
    complete: bool
    sha256: str

    @property
    def sent(self) -> str:
        """What was sent, in words."""
        return " + ".join(self.modalities) + (f", {self.damage} cut off" if self.damage else "")


@dataclass(frozen=True)
class Golden:
    """A whole set. class_names: in the order of the class probabilities; normal: index of the good class."""

    folder: Path
    class_names: tuple[str, ...]
    normal: int
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

    def expected(self, weights_sha256: str) -> Arrays | None:
        """What PyTorch answers with these weights: output -> (items, ...); None where nobody asked it.

        errors: ValueError for a file that does not fit the set
        """
        import numpy as np

        path = self.folder / f"expected-{weights_sha256[:DIGITS]}.npz"
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
