"""Read a folder of engines before anything is touched: every fault of the set, each in a sentence.

What can be known without loading an engine is known here: names, hashes, the contract, the graph's own
tensors, NaN among its weights, the order of the classes, and whether its members belong together.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export import contract, manifest
from serving.releases import graphs, word_files
from serving.required import EXPORTED, configuration, models_of, version_files

SHA256 = re.compile(r"[0-9a-f]{64}")
UNSEEN = ".plan"  # TensorRT opens a plan only on a GPU like the one it was built for: `check` is its proof


@dataclass(frozen=True)
class Candidate:
    """One model's engine in a candidate set, as its manifest describes it.

    folder:       where its files lie
    files:        name -> sha256
    bytes:        of all files together
    engine_bytes: of what a server loads: the engine and the weights it keeps beside itself
    manifest:     everything it says, to be copied along
    """

    model: str
    folder: Path
    files: Mapping[str, str]
    weights_sha256: str
    bytes: int
    engine_bytes: int
    manifest: Mapping[str, Any]

    @property
    def unseen(self) -> tuple[str, ...]:
        """Files that only a server can prove."""
        return tuple(name for name in self.files if name.endswith(UNSEEN))


def read_set(source: Path, pipeline: str, repository: Path, target: str) -> dict[str, Candidate]:
    """Model -> what `source` brings for it, in the order of the pipeline's steps.

    source: holds `<model>/manifest.json` and the files it names, or `<model>/<n>/` with the same (the highest
            n counts). It may be a whole model repository: models of other pipelines in it, and models that
            carry no manifest there, are then left out.
    errors: ValueError with every fault of the set, a sentence each, one per line
    """
    steps = members_of(repository, pipeline, target)
    folders, faults = _folders(Path(source), steps, pipeline)
    found: dict[str, Candidate] = {}
    for model in (model for model in steps if model in folders):
        described, wrong = _described(model, folders[model])
        if not wrong:
            found[model] = _candidate(model, folders[model], described, _loaded(repository, model, target))
            wrong = list(_member_faults(found[model], repository, target))
        faults += wrong
    faults += _class_faults(found.values(), contract.load(repository, pipeline, target))
    faults += _weights_faults(found)
    if faults:
        raise ValueError("\n".join(faults))
    return found


def members_of(repository: Path, pipeline: str, target: str) -> list[str]:
    """The models of an ensemble in the order of its steps; ValueError when it is no ensemble."""
    members = models_of(repository, [pipeline], target)[1:]
    if not members:
        raise ValueError(f"{pipeline}: expected an ensemble, got a single model; name a pipeline")
    return members


def newest_version(folder: Path) -> int | None:
    """The highest version folder of a model; None when it has none."""
    if not folder.is_dir():
        return None
    versions = [int(path.name) for path in folder.iterdir() if path.is_dir() and path.name.isdecimal()]
    return max(versions, default=None)


def _folders(source: Path, steps: list[str], pipeline: str) -> tuple[dict[str, Path], list[str]]:
    """Model -> the folder that holds its files, and a sentence for each folder that cannot be meant."""
    if not source.is_dir():
        raise ValueError(f"{source}: expected a folder of engines, found none; check the path")
    found: dict[str, Path] = {}
    faults = []
    for folder in sorted(path for path in source.iterdir() if path.is_dir() and path.name[0] != "."):
        name, of_repository = folder.name, (folder / "config.pbtxt").is_file()
        files = _files_of(folder)
        if name in steps and (not of_repository or _has_engine(files)):
            found[name] = files
        elif name not in steps and not of_repository:
            faults.append(_foreign(name, steps, pipeline))
    if not found and not faults:
        raise ValueError(
            f"{source}: expected engines of {pipeline} in folders such as {steps[-1]}, found none; "
            "name the folder that holds the models' folders"
        )
    return found, faults


def _files_of(folder: Path) -> Path:
    newest = newest_version(folder)
    return folder if newest is None or (folder / manifest.FILE).is_file() else folder / str(newest)


def _has_engine(folder: Path) -> bool:
    """Whether an export filled a version folder of a repository: a manifest, or what should have one."""
    return any(file.suffix in EXPORTED for file in folder.iterdir())


def _foreign(name: str, steps: list[str], pipeline: str) -> str:
    close = difflib.get_close_matches(name, steps, n=1)
    hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(steps)}"
    return f"{name}: expected a model of {pipeline}, got another; {hint}"


def _described(model: str, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What the manifest says, and what is wrong with it or with the files it names."""
    path = folder / manifest.FILE
    try:
        content = manifest.read(folder)
        manifest.render(content)  # it is written again, with its version
    except FileNotFoundError:
        return {}, [f"{model}: expected {path}, found none; export the model again"]
    except ValueError as error:
        return {}, [f"{model}: {path}: expected a manifest, got: {error}; export the model again"]
    faults = list(_manifest_faults(model, content))
    if not faults:
        faults = [f"{model}: {fault}" for fault in manifest.verify(folder)]
    return content, faults


def _manifest_faults(model: str, content: Mapping[str, Any]) -> Iterator[str]:
    files = content.get("files")
    if not isinstance(files, dict) or not files or not all(map(_is_entry, files.items())):
        yield f"{model}: expected files with sha256 and bytes in its manifest, got {files!r}; export it again"
    if content.get("model") != model:
        yield (
            f"{model}: expected the manifest of {model}, got that of {content.get('model')}; "
            "put each engine into its own folder"
        )
    if "recipe_sha256" in content and content["recipe_sha256"] != _recipe_sha256(content):
        yield (
            f"{model}: expected a manifest as export wrote it, got an edited one: its recipe_sha256 does not "
            "fit the weights, contract and packages it names; export the model again"
        )


def _is_entry(item: tuple[str, Any]) -> bool:
    """A plain file name with its hash and size: nothing may be fetched from outside the folder."""
    name, entry = item
    return (
        name == Path(name).name
        and name not in ("", "..", manifest.FILE)
        and isinstance(entry, dict)
        and isinstance(entry.get("bytes"), int)
        and SHA256.fullmatch(str(entry.get("sha256"))) is not None
    )


def _recipe_sha256(content: Mapping[str, Any]) -> str:
    try:
        return manifest.recipe_of(content).digest
    except (KeyError, TypeError, ValueError):
        return ""


def _loaded(repository: Path, model: str, target: str) -> tuple[str, ...]:
    """The files that the server of `target` loads from a version folder."""
    return tuple(name for name in version_files(configuration(repository, model, target)) if name)


def _candidate(model: str, folder: Path, content: Mapping[str, Any], engines: tuple[str, ...]) -> Candidate:
    files = content["files"]
    loaded = [entry["bytes"] for name, entry in files.items() if name.startswith(engines)]
    return Candidate(
        model=model,
        folder=folder,
        files={name: entry["sha256"] for name, entry in files.items()},
        weights_sha256=str(content.get("weights_sha256", "")),
        bytes=sum(entry["bytes"] for entry in files.values()),
        engine_bytes=sum(loaded),
        manifest=content,
    )


def _member_faults(candidate: Candidate, repository: Path, target: str) -> Iterator[str]:
    model = candidate.model
    promised = contract.load(repository, model, target)
    for engine in _loaded(repository, model, target):
        if engine not in candidate.files:
            named = ", ".join(candidate.files)
            yield (
                f"{model}: expected {engine}, which target {target} loads, its manifest names {named}; add it"
            )
    if candidate.manifest.get("contract_sha256", promised.digest) != promised.digest:
        yield (
            f"{model}: expected an engine for the tensors of its config.pbtxt, got one exported for others "
            "(contract_sha256); export it for this repository, or give a new interface a new model name"
        )
    seen: set[str] = set()
    for name, digest in candidate.files.items():
        described = word_files.graph_contract(promised, name)
        if name.endswith(".onnx") and described and digest not in seen:  # of a head both files are the same
            seen.add(digest)
            for fault in graphs.faults(candidate.folder / name, described, candidate.files):
                yield f"{model}: {name}: {fault}"
    for name, fault in word_files.faults(candidate.folder, promised):
        yield f"{model}: {name}: {fault}"


def _class_faults(found: Any, ensemble: contract.Contract) -> Iterator[str]:
    stated = ensemble.parameters.get("class_names", "")
    for candidate in found:
        names = candidate.manifest.get("class_names")
        expected = stated.split(",") if stated else []
        if names and list(names) != expected:
            yield f"{candidate.model}: {_class_fault(list(map(str, names)), expected, ensemble.name)}"


def _class_fault(names: list[str], expected: list[str], pipeline: str) -> str:
    if sorted(names) != sorted(expected):
        missing = ", ".join(name for name in expected if name not in names) or "none"
        unknown = ", ".join(name for name in names if name not in expected) or "none"
        return (
            f"expected the {len(expected)} classes of {pipeline}, got {len(names)} (missing: {missing}; "
            f"unknown: {unknown}); train and export it for these classes"
        )
    differ = [place for place, pair in enumerate(zip(names, expected, strict=True)) if pair[0] != pair[1]]
    wanted, got = (", ".join(f"{place} {side[place]}" for place in differ) for side in (expected, names))
    return (
        f"expected the classes in the order of {pipeline}: {wanted}; got {got}: its answers would carry the "
        "wrong labels; export it with the labels in that order"
    )


def _weights_faults(found: Mapping[str, Candidate]) -> Iterator[str]:
    origins: dict[str, list[str]] = {}
    for model, candidate in found.items():
        if candidate.weights_sha256:  # a preprocessing step has none
            origins.setdefault(candidate.weights_sha256, []).append(model)
    if len(origins) > 1:
        told = "; ".join(f"{', '.join(models)} from {origin[:16]}" for origin, models in origins.items())
        yield (
            f"set: expected engines made from the same weights, got {told}; export them together, or release "
            "them one at a time if that is meant"
        )
