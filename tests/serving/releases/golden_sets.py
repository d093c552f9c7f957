"""A golden set of twelve items without any network: three classes, answers made by hand."""

import hashlib
import json
from pathlib import Path

import numpy as np

from export.budgets import Budget, Classes

NAMES = ("Good", "Crack", "Pore")
WEIGHTS = "ab" * 32
BUDGET = Budget(
    tolerances={"probabilities": 0.03, "score": 0.03},
    lossless=frozenset({"sound"}),
    lossless_tolerance=1e-4,
    exact=("status",),
    distributions=("probabilities",),
    judged_as=Classes(probabilities="probabilities", anomaly="score"),
    drops={"accuracy": 0.1, "auroc": 0.05},
    median_ratio=1.2,
    p95_ratio=1.5,
)


def write_set(root: Path, pipeline: str = "nose") -> Path:
    """Items 0 to 11: classes in turn; the last three are sent as sound alone. Returns `root`."""
    folder = root / pipeline
    (folder / "inputs").mkdir(parents=True)
    items = []
    for index in range(12):
        path = folder / "inputs" / f"item-{index}.npz"
        np.savez(path, sound=np.full(3, index, np.uint8))
        is_part = index >= 9
        items.append(
            {
                "id": f"item-{index}",
                "label": index % 3,
                "modalities": ["sound"] if is_part else ["video", "sound"],
                "damage": "",
                "complete": not is_part,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
        )
    content = {"class_names": NAMES, "normal": 0, "items": items}
    (folder / "golden.json").write_text(json.dumps(content))
    np.savez(folder / f"expected-{WEIGHTS[:16]}.npz", **stacked([answer(index) for index in range(12)]))
    return root


def answer(index: int, named: int | None = None, off: float = 0.0) -> dict[str, np.ndarray]:
    """What a right set answers to an item; named: the class it names instead; off: added to its score."""
    label = index % 3 if named is None else named
    probabilities = np.full(3, 0.1, np.float32)
    probabilities[label] = 0.8
    return {
        "probabilities": probabilities,
        "score": np.asarray([(0.1 if label == 0 else 0.9) + off], np.float32),
        "status": np.zeros(2, np.int32),
    }


def stacked(answers: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([one[name] for one in answers]) for name in answers[0]}
