"""python -m export PRESET: PyTorch weights -> proven ONNX files in the model repository.

    python -m export weld_small                                   # every model of the preset
    python -m export weld_small --only weld_small_fusion --force  # one of them, even if nothing changed
    python -m export weld_base --weights random                   # sizes and speed; the answers mean nothing
    python -m export video_quality_small --fusion gated           # another fusion than the preset's own
    python -m export vision_language_small --fusion attention     # of those that its weights have a head for
    python -m export weld_small --weights new.safetensors --out build/candidate   # a set to release
    python -m export weld_small --precision auto                  # each graph as low as its task allows
    python -m export weld_small --target gpu --precision bf16     # and TensorRT plans for this machine's GPU
    python -m export weld_small --target gpu --precision auto     # each as low as its task allows
    python -m export weld_small --target rtx --out build/rtx      # TensorRT for RTX: needs no GPU to build
    python -m export golden weld_inspection                       # what a release is compared on

The parity table and progress go to stderr, the path of what was written to stdout. Exit 1: an export or a
comparison failed, and nothing at all was published. Exit 2: mistyped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from export import contract, jobs, manifest, parity, plans, publish, released
from export.pipelines import PRESETS, fusion_in, model_names
from export.precision import calibration
from export.request import SEARCHED, VERSION, Record, Refusal, Request, parser_of, request_of
from export.targets import TARGETS, Order


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if words[:1] == ["golden"]:
            from export import golden  # here: its decoders cost a second that no other export needs

            print(golden.write(golden.parser(words[1:]).parse_args(words[1:])))
            return 0
        parser = parser_of(__doc__)
        return export_preset(request_of(parser, parser.parse_args(words)))
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
    from export.precision import records, served  # here: no other export needs what trainings are made of

    if not TARGETS[request.order.target].plan:
        found, said = served.records_of(request.preset, request.graphs, request.repository)
        _say("\n".join(said))
        return found
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
    if stale and not _make(request, stale, recipes):
        return False
    for name in request.chosen.keys() & set(request.models) - set(stale):
        manifest.remember(request.folder(name), request.chosen[name])
    return True


def _recipe(request: Request, model: str, weights: str) -> manifest.Recipe:
    fusion = fusion_in(request.preset, model, request.fusion)
    made = manifest.recipe(contract.load(request.repository, model), request.preset, weights, fusion)
    order = request.order_of(model)
    if plans.has_plan(request.repository, model, request.order.target):
        return plans.with_plan(made, contract.load(request.repository, model, "gpu"), order)
    return calibration.recipe(made, order.calibration, order.keep) if order.calibration else made


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


if __name__ == "__main__":
    sys.exit(main())
