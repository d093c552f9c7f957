"""`python -m export golden PIPELINE`: requests with known truth, and what PyTorch answers to them.

<out>/<pipeline>/golden.json              items, labels or targets, class names, sha256 of every input file
<out>/<pipeline>/inputs/<id>.npz          request tensors by ensemble input, without batch axis
<out>/<pipeline>/expected-<weights>.npz   answers by ensemble output, one row per item; one file per weights,
                                          and expected-<weights>-<fusion>.npz for another fusion than usual

An item has a `label`, the index of its class, or a `target`, a number; either may be null. A release is
compared on them, so that needs neither PyTorch nor a client.
"""

from __future__ import annotations

import argparse
import difflib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from export import manifest
from export.golden_items import WeldSet
from export.golden_network import Network
from export.golden_questions import QuestionSet
from export.golden_replies import vision_language, visual_question
from export.golden_videos import VideoSet

ROOT = Path(__file__).parents[1]
FILE = "golden.json"
SEED = 2_417  # neither training's nor that of any benchmark or test


class Item(Protocol):
    """One request: what an entry's items have to offer."""

    @property
    def id(self) -> str:
        """Its name, which no other item of the set has."""
        ...

    def describe(self) -> dict[str, object]:
        """Its line in golden.json."""
        ...

    def inputs(self) -> dict[str, np.ndarray]:
        """Request tensors by ensemble input, no batch axis."""
        ...


class GoldenSet(Protocol):
    """How the items of a pipeline are chosen and answered."""

    @property
    def preset(self) -> str:
        """Whose networks answer by default."""
        ...

    def options(self, parser: argparse.ArgumentParser) -> None:
        """Arguments of its own."""
        ...

    def made_from(self, typed: argparse.Namespace, known: Mapping[str, Any]) -> dict[str, Any]:
        """What decides the items, beside the seed: typed, else as in the set that is there (`known`)."""
        ...

    def facts(self) -> dict[str, Any]:
        """What stands beside the items: class_names, and normal, the class that is no anomaly."""
        ...

    def choose(self, made_from: Mapping[str, Any], work: Path) -> Sequence[Any]:
        """The items; work: an empty folder for files on the way."""
        ...

    def item(self, line: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Any:
        """An item from its line in golden.json and its tensors."""
        ...

    def answers(self, items: Sequence[Any], network: Network) -> Iterator[dict[str, np.ndarray]]:
        """What PyTorch answers to each item, by ensemble output name."""
        ...


# pipeline -> how its items are chosen and answered; a new pipeline is one entry
GOLDEN: dict[str, GoldenSet] = {
    "weld_inspection": WeldSet(),
    "video_quality": VideoSet(),
    "vision_language": QuestionSet(
        "vision_language_small", "text", vision_language, alone=True, fusions=True
    ),
    "visual_question_answering": QuestionSet("visual_question_answering_small", "question", visual_question),
}


def parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The arguments behind `python -m export golden`; words: as typed, for a pipeline adds its own."""
    made = argparse.ArgumentParser(
        prog="python -m export golden",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("pipeline", type=_pipeline, help=f"one of {', '.join(GOLDEN)}")
    made.add_argument("--preset", help="whose networks answer; default: the one that CPUs serve")
    made.add_argument(
        "--weights", type=Path, metavar="FILE", help="safetensors; default weights/PRESET.safetensors"
    )
    made.add_argument(
        "--seed", type=int, metavar="N", help=f"default: what the set in --out has, else {SEED}"
    )
    made.add_argument("--out", type=Path, default=ROOT / "build" / "golden", metavar="DIR")
    for name in GOLDEN.keys() & set(words):
        GOLDEN[name].options(made)
    return made


def write(typed: argparse.Namespace) -> Path:
    """Write the set, or only the answers of other weights where it exists already; returns its folder.

    errors: ValueError for a set that cannot be, FileNotFoundError without weights or welds
    """
    chosen = GOLDEN[typed.pipeline]
    preset = typed.preset or chosen.preset
    weights = typed.weights or ROOT / "weights" / f"{preset}.safetensors"
    if not weights.is_file():
        raise FileNotFoundError(
            f"{weights}: expected the weights of {preset}, found no file; pass --weights FILE"
        )
    folder = typed.out / typed.pipeline
    made_from = _made_from(typed, folder)
    items = _kept(chosen, folder, made_from) or _write_items(typed.pipeline, folder, made_from)
    network = Network(preset, weights, getattr(typed, "fusion", None) or "")
    return _write_answers(folder, chosen, items, network).parent


def _pipeline(name: str) -> str:
    if name not in GOLDEN:
        near = difflib.get_close_matches(name, GOLDEN, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(GOLDEN)}, got {name}{hint}")
    return name


def _made_from(typed: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What decides the items: typed, else as in the set that is there."""
    known = _read(folder).get("made_from", {})
    seed = typed.seed if typed.seed is not None else known.get("seed", SEED)
    return GOLDEN[typed.pipeline].made_from(typed, known) | {"seed": seed}


def _read(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / FILE).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _kept(chosen: GoldenSet, folder: Path, made_from: dict[str, Any]) -> list[Item]:
    """The items of the set that is there, from its own files; empty where it is another set or not whole."""
    known = _read(folder)
    if known.get("made_from") != made_from:
        return []
    items = []
    for line in known["items"]:
        path = folder / "inputs" / f"{line['id']}.npz"
        if not path.is_file() or manifest.sha256(path) != line["sha256"]:
            return []
        with np.load(path, allow_pickle=False) as arrays:
            items.append(chosen.item(line, {name: arrays[name] for name in arrays.files}))
    return items


def _write_items(pipeline: str, folder: Path, made_from: dict[str, Any]) -> list[Item]:
    """Choose the items and put the set in place of whatever was there, answers of the old items included."""
    chosen = GOLDEN[pipeline]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{pipeline}-", dir=folder.parent) as work:
        passing = Path(work) / "passing"
        passing.mkdir()
        items = list(chosen.choose(made_from, passing))
        fresh = Path(work) / "set"
        (fresh / "inputs").mkdir(parents=True)
        lines = []
        for item in items:
            path = fresh / "inputs" / f"{item.id}.npz"
            np.savez(path, **item.inputs())
            lines.append(item.describe() | {"sha256": manifest.sha256(path)})
        content = {"pipeline": pipeline, "made_from": made_from, **chosen.facts(), "items": lines}
        (fresh / FILE).write_text(json.dumps(content, indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return items


def _write_answers(folder: Path, chosen: GoldenSet, items: Sequence[Item], network: Network) -> Path:
    """`expected-<weights>.npz`: output -> (items, ...); written beside its place and renamed into it."""
    weights, fusion = network.weights, network.other_fusion
    path = folder / f"expected-{manifest.sha256(weights)[:16]}{'-' if fusion else ''}{fusion}.npz"
    answers = list(
        tqdm(
            chosen.answers(items, network),
            total=len(items),
            desc="PyTorch answers",
            unit="item",
            file=sys.stderr,
        )
    )
    stacked = {name: np.stack([answer[name] for answer in answers]) for name in answers[0]}
    if broken := sorted(
        name for name, array in stacked.items() if array.dtype.kind == "f" and not np.isfinite(array).all()
    ):
        raise ValueError(f"{weights}: expected finite answers, got NaN or infinity in {', '.join(broken)}")
    draft = path.with_suffix(".draft.npz")
    np.savez_compressed(draft, **stacked)
    return draft.replace(path)
