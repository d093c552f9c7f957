"""What the command line of an export asks for, checked: the words that may be typed, and their meaning."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from export.pipelines import PRESETS, model_names
from export.precision import calibration
from export.targets import PRECISIONS, TARGETS, Order
from export.tensorrt import OPTIONS

ROOT = Path(__file__).parents[1]
VERSION = 1  # what a fresh checkout serves; later versions are made by releases, which stage their own
RANDOM = "random"
# precisions that need the preset's task, and why random weights will not do
SEARCHED = {"auto": "which no precision hurts", "int8": "whose ranges say nothing of trained ones"}
Record = Mapping[str, Any]


class Refusal(Exception):
    """A request that cannot be carried out, in a sentence for the person who typed it."""


@dataclass(frozen=True)
class Request:
    """What the command line asks for, checked.

    out:    where to instead of version 1 of the repository
    fusion: the chosen one, empty where the preset has no choice
    order:  target, precision and build options
    chosen: model -> what a search of its precision found, of the precisions `auto` and `int8`
    """

    preset: str
    models: tuple[str, ...]
    weights: Path | None
    repository: Path
    recorded: Path | None
    force: bool
    out: Path | None = None
    fusion: str = ""
    order: Order = field(default_factory=Order)
    chosen: Mapping[str, Record] = field(default_factory=dict)

    def order_of(self, model: str) -> Order:
        """Of one model, whose precision a search may have found."""
        if model not in self.chosen:
            return self.order
        found = self.chosen[model]
        low = found.get("written", found["chosen"])  # plans are written as chosen
        real = calibration.file_of(self.graphs, model) if low["precision"] == "int8" else None
        return replace(self.order, precision=low["precision"], keep=tuple(low["keep"]), calibration=real)

    @property
    def graphs(self) -> Path:
        """Where a search of precisions leaves its fp32 graphs, and the inputs that it calibrated on."""
        beside = self.repository.resolve().parent
        return beside / "build" / "precision" / f"{self.preset}-{self.fusion or 'own'}"

    def folder(self, model: str) -> Path:
        """Where the model's engine goes."""
        return self.out / model if self.out else self.repository / model / str(VERSION)


def request_of(parser: argparse.ArgumentParser, typed: argparse.Namespace) -> Request:
    """The request of what was typed; Refusal for what cannot be carried out, exit 2 for what is mistyped."""
    if typed.preset not in PRESETS:
        parser.error(
            f"preset: expected one of {', '.join(PRESETS)}, got {typed.preset}{_meant(typed.preset, PRESETS)}"
        )
    names = model_names(typed.preset)
    for name in typed.only or ():
        if name not in names:
            parser.error(f"--only: expected some of {', '.join(names)}, got {name}{_meant(name, names)}")
    fusion = _fusion(parser, typed.preset, typed.fusion)
    if not TARGETS[typed.target].served and not typed.out:
        parser.error(f"--target {typed.target}: expected --out FOLDER, as Triton cannot run its engines")
    if not typed.repository.is_dir():
        raise Refusal(f"{typed.repository}: expected a model repository, found no folder; check --repository")
    return Request(
        preset=typed.preset,
        models=tuple(name for name in names if not typed.only or name in typed.only),
        weights=_weights(typed.preset, typed.weights),
        fusion=fusion,
        repository=typed.repository.resolve(),
        recorded=typed.recorded,
        force=typed.force,
        out=typed.out.resolve() if typed.out else None,
        order=_order(typed),
    )


def _order(typed: argparse.Namespace) -> Order:
    if not TARGETS[typed.target].plan and typed.precision not in ("fp32", "auto"):
        raise Refusal(
            f"--precision: expected fp32 or auto for --target {typed.target}, got {typed.precision}; its "
            "engines compute in what configs/cpu.pbtxt says, and auto writes int8 where that is the fastest "
            "within budget"
        )
    return Order(typed.target, typed.precision, typed.build)


def _weights(preset: str, typed: str | None) -> Path | None:
    if typed == RANDOM:
        return None
    path = Path(typed) if typed else ROOT / "weights" / f"{preset}.safetensors"
    if not path.is_file():
        advice = PRESETS[preset].advice(preset) or "pass --weights random"
        raise Refusal(
            f"{path}: expected the weights of {preset}, found no file; {advice}, or pass --weights FILE"
        )
    return path.resolve()


def _fusion(parser: argparse.ArgumentParser, preset: str, typed: str | None) -> str:
    pipeline = PRESETS[preset]
    if typed is None:
        return pipeline.default_fusion(preset)
    known = pipeline.fusions(preset)
    if not known:
        parser.error(f"--fusion: expected none, as {preset} has one fusion, got {typed}; leave it out")
    if typed not in known:
        parser.error(f"--fusion: expected one of {', '.join(known)}, got {typed}{_meant(typed, known)}")
    return typed


def _meant(typed: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(typed, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Of all words but `golden`, which has its own."""
    parser = argparse.ArgumentParser(
        prog="python -m export", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("preset", help=f"one of {', '.join(PRESETS)}")
    parser.add_argument(
        "--weights", metavar="FILE", help="safetensors, or `random`; default weights/PRESET.safetensors"
    )
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository", metavar="DIR")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where to, for `python -m serving release prepare --from`; default: version 1 of the repository",
    )
    parser.add_argument(
        "--fusion", metavar="NAME", help="of a preset that has a choice; default: the preset's own"
    )
    parser.add_argument("--target", choices=TARGETS, default="cpu", help="what runs it; default: cpu")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="default: fp32")
    parser.add_argument("--build", choices=OPTIONS, default="default", help="options of a TensorRT plan")
    parser.add_argument("--only", nargs="+", metavar="MODEL", help="only these models of the preset")
    parser.add_argument(
        "--recorded", type=Path, metavar="NPZ", help="decoded welds to compare on too, arrays by tensor name"
    )
    parser.add_argument("--force", action="store_true", help="export again even if nothing changed")
    return parser
