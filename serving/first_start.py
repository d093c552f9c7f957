"""What a container does before its server starts: configurations, plans for this GPU, warm-up files.

A plan runs only on the kind of GPU and the TensorRT that it was built with, so that none ships in the image.
The first start builds them, minutes for large engines; each is kept under the digest of all that it depends
on, so that the second start finds it there, and another GPU or a new image builds its own beside it.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export import contract, manifest, plans
from export.targets import TARGETS
from export.tensorrt import OPTIONS, Device, build, import_tensorrt, profiles
from export.tensorrt.build import built_for, require_gpu
from export.tensorrt.device import find
from export.tensorrt.profiles import as_dicts
from serving import whole_files
from serving.required import configuration, models_of, served_versions
from serving.warm_up import as_backends_see_it

KIND_GPU = 1  # of ModelInstanceGroup.Kind
PLAN, KEY = TARGETS["gpu"].plan, "plan.json"
COMMITTED = ("config.pbtxt", "configs/*.pbtxt", "1/*.py")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Builder:
    """What turns a graph into a plan on this machine.

    package, version: of TensorRT; build: (graph, the model's contract, precision of the graph) -> plan
    """

    package: str
    version: str
    device: Device
    build: Callable[[Path, contract.Contract, str], bytes]


@dataclass(frozen=True)
class Plan:
    """One plan that a server needs.

    graph: the ONNX file that it is made of, in `precision`; facts: all that its bytes depend on
    """

    model: str
    folder: Path
    graph: Path
    precision: str
    facts: Mapping[str, Any]

    @property
    def key(self) -> str:
        """sha256 of the facts, 64 hex digits."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()

    @property
    def is_current(self) -> bool:
        """Whether the version folder has the plan of this key, whole, or one that an export built here."""
        if _is_exported(self.folder, self.facts):
            return True
        try:
            said = json.loads((self.folder / KEY).read_text())
            return said["key"] == self.key and said["bytes"] == (self.folder / PLAN).stat().st_size
        except (FileNotFoundError, ValueError, KeyError):
            return False


def seed(source: Path, repository: Path) -> list[str]:
    """Bring the configurations of the image into a repository on a volume; returns those that changed.

    What an export or a release wrote there is left alone.
    """
    changed: list[str] = []
    if repository.resolve() == source.resolve():
        return changed
    for pattern in COMMITTED:
        for file in sorted(source.glob(f"*/{pattern}")):
            target = repository / file.relative_to(source)
            if not target.is_file() or target.read_bytes() != file.read_bytes():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
                changed.append(str(file.relative_to(source)))
    for model in {path.parent for path in source.glob("*/config.pbtxt")}:
        (repository / model.name / "1").mkdir(parents=True, exist_ok=True)
    return sorted(changed)


def needed(repository: Path, pipelines: Iterable[str], builder: Builder) -> list[Plan]:
    """The plans that the pipelines need, of every served version that has a graph to build one of."""
    found = []
    for model in models_of(repository, pipelines, "gpu"):
        promised = contract.load(repository, model, "gpu")
        if promised.engine != plans.PLATFORM:
            continue
        config = configuration(repository, model, "gpu")
        for version in served_versions(repository / model, config):
            folder = repository / model / version
            precision = str(_said(folder).get("precision", "fp32"))
            graph = folder / plans.graph_file(precision)
            if graph.is_file():
                found.append(Plan(model, folder, graph, precision, _facts(graph, promised, builder)))
    return found


def serialise(repository: Path, pipelines: Iterable[str]) -> list[Path]:
    """Write the DALI pipelines that run on the GPU beside the code that defines them; returns the new ones.

    They need no GPU for it; which one they run on, and the batch, is said when they are loaded.
    """
    preprocess = importlib.import_module("serving.backends.dali.preprocess")
    written = []
    for model in models_of(repository, pipelines, "gpu"):
        config = configuration(repository, model, "gpu")
        if config.backend != "dali" or config.instance_group[0].kind != KIND_GPU:
            continue
        promised = preprocess.Contract.from_config(as_backends_see_it(config))
        for version in served_versions(repository / model, config):
            code = preprocess.serialised.pipelines_of(repository / model / version / "dali.py")
            for modality in {"image", "video"} & set(promised.modalities):
                how = preprocess.wanted(promised, modality, "gpu")
                written.append(preprocess.serialised.write(code, *how))
    return [path for path in written if path]


def bring(wanted: Iterable[Plan], cache: Path, builder: Builder, repository: Path, say: Say) -> int:
    """Put every plan that is not current in place, from the cache or built; returns how many were built.

    errors: those of the builder, for the first plan that fails; what was built before it stays
    """
    pending = [plan for plan in wanted if not plan.is_current]
    built = 0
    for position, plan in enumerate(pending, start=1):
        kept = cache / f"{plan.key}.plan"
        if not kept.is_file():
            say(f"building {plan.model} for {builder.device}, {position} of {len(pending)}")
            begun = time.monotonic()
            promised = contract.load(repository, plan.model, "gpu")
            whole_files.write(kept, builder.build(plan.graph, promised, plan.precision))
            say(f"{plan.model}: {kept.stat().st_size / 1e6:.0f} MB in {time.monotonic() - begun:.0f} s")
            built += 1
        whole_files.write(plan.folder / PLAN, kept.read_bytes())
        said = {"key": plan.key, "bytes": kept.stat().st_size, **plan.facts}
        whole_files.write(plan.folder / KEY, (json.dumps(said, indent=2) + "\n").encode())
    return built


def _facts(graph: Path, promised: contract.Contract, builder: Builder) -> dict[str, Any]:
    return {
        "graph_sha256": _graph_sha256(graph),
        "contract_sha256": promised.digest,
        "profiles": as_dicts(profiles(promised)),
        "options": str(OPTIONS["default"]),
        "package": builder.package,
        "version": builder.version,
        "device": asdict(builder.device),
    }


def _said(folder: Path) -> Mapping[str, Any]:
    """The manifest of a version folder; empty for one that has none."""
    try:
        return manifest.read(folder)
    except (FileNotFoundError, ValueError):
        return {}


def _is_exported(folder: Path, facts: Mapping[str, Any]) -> bool:
    """Whether `python -m export --target gpu` built the plan for this GPU by this TensorRT."""
    said, device = _said(folder), Device(**facts["device"])
    entry = said.get("files", {}).get(PLAN)
    made_by = (said.get("engine"), said.get("device"))
    if not entry or made_by != (f"{facts['package']} {facts['version']}", built_for(device)):
        return False
    path = folder / PLAN
    return path.is_file() and path.stat().st_size == entry["bytes"]


def _graph_sha256(graph: Path) -> dict[str, str]:
    """Of the graph and its weights; as the manifest says where sizes agree: a gigabyte takes a second."""
    said, found = _said(graph.parent).get("files", {}), {}
    for file in sorted(graph.parent.glob(f"{graph.name}*")):
        entry = said.get(file.name, {})
        known = entry.get("bytes") == file.stat().st_size
        found[file.name] = str(entry["sha256"]) if known else manifest.sha256(file)
    return found


def tensorrt_builder(cache: Path) -> Builder:
    """TensorRT on this machine's GPU; timings are kept in `cache`.

    errors: RuntimeError that says what is missing
    """
    try:
        package = import_tensorrt("gpu")
    except ModuleNotFoundError as error:
        raise RuntimeError(str(error)) from error
    device = find()
    require_gpu("gpu", device)
    assert device is not None  # refused above

    def made(graph: Path, promised: contract.Contract, precision: str) -> bytes:
        return build(graph, promised, precision=precision, target="gpu", cache_dir=cache, device=device).plan

    return Builder("tensorrt", package.__version__, device, made)
