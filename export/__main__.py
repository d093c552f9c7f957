"""python -m export PRESET: PyTorch weights -> proven ONNX files in the model repository.

    python -m export weld_small                                   # every model of the preset
    python -m export weld_small --only weld_small_fusion --force  # one of them, even if nothing changed
    python -m export weld_base --weights random                   # sizes and speed; the answers mean nothing
    python -m export video_quality_small --fusion gated           # another fusion than the preset's own
    python -m export vision_language_small --fusion attention     # of those that its weights have a head for
    python -m export weld_small --weights new.safetensors --out build/candidate   # a set to release
    python -m export weld_small --target gpu --precision bf16     # and TensorRT plans for this machine's GPU
    python -m export weld_small --target gpu --precision auto     # each as low as its task allows
    python -m export weld_small --target rtx --out build/rtx      # TensorRT for RTX: needs no GPU to build
    python -m export golden weld_inspection                       # what a release is compared on

The parity table and progress go to stderr, the path of what was written to stdout. Exit 1: an export or a
comparison failed, and nothing at all was published. Exit 2: mistyped.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from export import contract, jobs, manifest, parity, plans, publish, released
from export.pipelines import PRESETS, fusion_in, model_names
from export.precision.calibration import file_of as calibration_of
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
        found = self.chosen[model]["chosen"]
        real = calibration_of(self.graphs, model) if found["precision"] == "int8" else None
        order = replace(self.order, precision=found["precision"], keep=tuple(found["keep"]))
        return replace(order, calibration=real)

    @property
    def graphs(self) -> Path:
        """Where a search of precisions leaves its fp32 graphs, and the inputs that it calibrated on."""
        return ROOT / "build" / "precision" / f"{self.preset}-{self.fusion or 'own'}"

    def folder(self, model: str) -> Path:
        """Where the model's engine goes."""
        return self.out / model if self.out else self.repository / model / str(VERSION)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if words[:1] == ["golden"]:
            from export import golden  # here: its decoders cost a second that no other export needs

            print(golden.write(golden.parser(words[1:]).parse_args(words[1:])))
            return 0
        parser = _parser()
        return export_preset(_request(parser, parser.parse_args(words)))
    except (Refusal, OSError, ValueError, LookupError, ImportError, RuntimeError) as error:
        _say(f"export: {error}")
        return 1


def export_preset(request: Request) -> int:
    """Export what is not current; publish all of it or nothing. Returns the exit code."""
    if request.order.precision in SEARCHED:
        request = replace(request, chosen=_search(request))
    if not _export(request):
        return 1
    print(request.out or request.repository)
    return 0


def _search(request: Request) -> Mapping[str, Record]:
    """Find the precision of every network of the preset, on fp32 graphs that are kept for the next time."""
    precision = request.order.precision
    if request.weights is None:
        raise Refusal(
            f"--precision {precision}: expected trained weights, got random ones, {SEARCHED[precision]}"
        )
    models = model_names(request.preset)
    plain = replace(request, order=Order(), models=models, out=request.graphs, force=False)
    if not _export(plain):
        raise Refusal(f"{request.preset}: expected fp32 graphs to lower, got none; see the table")
    from export.precision import records  # here: no other export needs what trainings are made of

    return records.record_of(
        request.preset, request.graphs, request.repository, request.order.target, precision
    )


def _export(request: Request) -> bool:
    """Export what is not current; publish all of it or nothing."""
    weights = manifest.sha256(request.weights) if request.weights else "random, seed 0"
    recipes = {name: _recipe(request, name, weights) for name in request.models}
    stale = [
        n for n in request.models if request.force or not manifest.is_current(request.folder(n), recipes[n])
    ]
    for name in request.models:
        if name not in stale:
            _say(f"{name}: nothing changed")
        elif not request.out:
            released.refuse_other_weights(request.repository, name, VERSION, weights)
    return not stale or _make(request, stale, recipes)


def _recipe(request: Request, model: str, weights: str) -> manifest.Recipe:
    fusion = fusion_in(request.preset, model, request.fusion)
    made = manifest.recipe(contract.load(request.repository, model), request.preset, weights, fusion)
    if not plans.has_plan(request.repository, model, request.order.target):
        return made
    return plans.with_plan(made, contract.load(request.repository, model, "gpu"), request.order_of(model))


def _make(request: Request, names: list[str], recipes: dict[str, manifest.Recipe]) -> bool:
    """Export `names` into a staging folder, print the comparison, publish when every row is ok."""
    if request.weights is None:
        _say(f"{request.preset}: weights are random; shapes and speed are real, answers mean nothing")
    place = (
        publish.staging_beside(request.out)
        if request.out
        else publish.staging(request.repository, request.preset)
    )
    with place as folder:
        found = _compare(
            jobs.Job(
                request.preset,
                name,
                request.weights,
                request.repository,
                folder / name,
                request.recorded,
                request.fusion,
                **vars(request.order_of(name)),
            )
            for name in names
        )
        rows = [row for name in names for row in found[name]]
        _say(parity.table(rows))
        failed = sorted({row.model for row in rows if not row.ok})
        if failed:
            _say(f"export: {', '.join(failed)}: not equal to PyTorch, see the table; nothing was published")
            return False
        described = [_describe(request, folder / name, recipes[name], found[name]) for name in names]
        for path in described:
            _publish(request, path)
    return True


def _describe(request: Request, folder: Path, made: manifest.Recipe, rows: list[parity.ParityRow]) -> Path:
    """Write the manifest of what lies in `folder`; ValueError where it would change a release."""
    outputs = {tensor.name for tensor in contract.load(request.repository, made.model).outputs}
    path = manifest.write(
        folder,
        made,
        None if request.out else VERSION,
        [row.as_dict() for row in rows],
        PRESETS[request.preset].class_names(outputs),
        request.chosen.get(made.model),
    )
    if not request.out:
        files = {name: entry["sha256"] for name, entry in manifest.read(folder)["files"].items()}
        released.refuse_other_files(request.repository, made.model, VERSION, files)
    return path


def _publish(request: Request, described: Path) -> None:
    """Move what lies beside the manifest `described` to its place, the manifest last."""
    files = [file for file in sorted(described.parent.iterdir()) if file != described]
    name = described.parent.name
    published = publish.publish([*files, described], request.folder(name))
    size_mb = sum(file.stat().st_size for file in published) / 1e6
    _say(f"{name}: {'engine' if request.out else f'version {VERSION}'} published, {size_mb:.1f} MB")
    plan = request.folder(name) / (TARGETS[request.order.target].plan or "none")
    if plan in published:
        _say(f"{name}: {plans.line_about(plan)}")


def _compare(work: Iterable[jobs.Job]) -> dict[str, list[parity.ParityRow]]:
    """Run the jobs behind a progress bar; model -> its parity rows."""
    work = list(work)
    found = {}
    with tqdm(total=len(work), unit="model", desc="export", file=sys.stderr) as bar:
        for job, rows in jobs.run(work):
            found[job.model] = rows
            bar.set_postfix_str(job.model)
            bar.update()
    return found


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _request(parser: argparse.ArgumentParser, typed: argparse.Namespace) -> Request:
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
    if not TARGETS[typed.target].plan and typed.precision != "fp32":
        raise Refusal(
            f"--precision: expected fp32 for --target {typed.target}, got {typed.precision}; its engines "
            "compute in what configs/cpu.pbtxt says, see `python -m export.precision`"
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
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


if __name__ == "__main__":
    sys.exit(main())
