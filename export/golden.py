"""`python -m export golden PIPELINE`: requests with known truth, and what PyTorch answers to them.

<out>/<pipeline>/golden.json              items, labels, class names, sha256 of every input file
<out>/<pipeline>/inputs/<id>.npz          request tensors by ensemble input, without batch axis
<out>/<pipeline>/expected-<weights>.npz   answers by ensemble output, one row per item; one file per weights

A release is compared on them, so that needs neither PyTorch nor a client.
"""

from __future__ import annotations

import argparse
import difflib
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from export import manifest
from export.golden_items import Item, WeldSet

ROOT = Path(__file__).parents[1]
FILE = "golden.json"
PER_CLASS = 4  # and 12 Good ones: of 56 items 40 are complete, and a check takes half a minute
SEED = 2_417  # neither training's nor that of any benchmark or test

# pipeline -> how its items are chosen and answered; a new pipeline is one entry
GOLDEN = {"weld_inspection": WeldSet()}


def parser() -> argparse.ArgumentParser:
    """The arguments behind `python -m export golden`."""
    made = argparse.ArgumentParser(
        prog="python -m export golden",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("pipeline", type=_pipeline, help=f"one of {', '.join(GOLDEN)}")
    made.add_argument("--preset", default="weld_small", help="whose networks answer; default weld_small")
    made.add_argument(
        "--weights", type=Path, metavar="FILE", help="safetensors; default weights/PRESET.safetensors"
    )
    made.add_argument(
        "--welds", type=Path, metavar="FOLDER", help="labelled recordings; default: simulated ones"
    )
    made.add_argument(
        "--per-class", type=int, metavar="N", help=f"default: what the set in --out has, else {PER_CLASS}"
    )
    made.add_argument(
        "--seed", type=int, metavar="N", help=f"default: what the set in --out has, else {SEED}"
    )
    made.add_argument("--out", type=Path, default=ROOT / "build" / "golden", metavar="DIR")
    return made


def write(typed: argparse.Namespace) -> Path:
    """Write the set, or only the answers of other weights where it exists already; returns its folder.

    errors: ValueError for a set that cannot be, FileNotFoundError without weights or welds
    """
    weights = typed.weights or ROOT / "weights" / f"{typed.preset}.safetensors"
    if not weights.is_file():
        raise FileNotFoundError(
            f"{weights}: expected the weights of {typed.preset}, found no file; pass --weights FILE"
        )
    folder = typed.out / typed.pipeline
    made_from = _made_from(typed, folder)
    items = _kept(folder, made_from) or _write_items(typed.pipeline, folder, made_from)
    return _write_answers(folder, GOLDEN[typed.pipeline], items, typed.preset, weights).parent


def _pipeline(name: str) -> str:
    if name not in GOLDEN:
        near = difflib.get_close_matches(name, GOLDEN, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(GOLDEN)}, got {name}{hint}")
    return name


def _made_from(typed: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What decides the items: typed, else as in the set that is there."""
    known = _read(folder).get("made_from", {})
    wanted = {
        "welds": str(typed.welds.resolve()) if typed.welds else known.get("welds", ""),
        "per_class": typed.per_class if typed.per_class is not None else known.get("per_class", PER_CLASS),
        "seed": typed.seed if typed.seed is not None else known.get("seed", SEED),
    }
    if wanted["per_class"] < 1:
        raise ValueError(f"--per-class: expected at least 1, got {wanted['per_class']}")
    return wanted


def _read(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / FILE).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _kept(folder: Path, made_from: dict[str, Any]) -> list[Item]:
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
            items.append(Item.from_inputs(line, {name: arrays[name] for name in arrays.files}))
    return items


def _write_items(pipeline: str, folder: Path, made_from: dict[str, Any]) -> list[Item]:
    """Choose the items and put the set in place of whatever was there, answers of the old items included."""
    chosen, per_class, seed = GOLDEN[pipeline], made_from["per_class"], made_from["seed"]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{pipeline}-", dir=folder.parent) as work:
        welds = Path(made_from["welds"] or chosen.simulate(Path(work) / "welds", per_class, seed))
        items = chosen.items(welds, per_class, seed)
        fresh = Path(work) / "set"
        (fresh / "inputs").mkdir(parents=True)
        lines = []
        for item in items:
            path = fresh / "inputs" / f"{item.id}.npz"
            np.savez(path, **item.inputs())
            lines.append(item.describe() | {"sha256": manifest.sha256(path)})
        content = {
            "pipeline": pipeline,
            "made_from": made_from,
            "class_names": list(chosen.class_names),
            "normal": chosen.normal,
            "items": lines,
        }
        (fresh / FILE).write_text(json.dumps(content, indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return items


def _write_answers(folder: Path, chosen: WeldSet, items: Sequence[Item], preset: str, weights: Path) -> Path:
    """`expected-<weights>.npz`: output -> (items, ...); written beside its place and renamed into it."""
    path = folder / f"expected-{manifest.sha256(weights)[:16]}.npz"
    answers = list(
        tqdm(
            chosen.answers(items, preset, weights),
            total=len(items),
            desc="PyTorch answers",
            unit="item",
            file=sys.stderr,
        )
    )
    stacked = {name: np.stack([answer[name] for answer in answers]) for name in answers[0]}
    if broken := sorted(
        name for name, array in stacked.items() if not np.isfinite(array.astype(np.float64)).all()
    ):
        raise ValueError(f"{weights}: expected finite answers, got NaN or infinity in {', '.join(broken)}")
    draft = path.with_suffix(".draft.npz")
    np.savez_compressed(draft, **stacked)
    return draft.replace(path)
