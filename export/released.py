"""What `releases.json` says about a version folder: whether its engine is live or may become so.

Export comes before serving and knows nothing of it but these few fields; all are in
`serving/releases/record.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "releases.json"
WAITING = ("preparing", "prepared", "checked")  # states of a release that may still go live


@dataclass(frozen=True)
class Use:
    """A release that serves a version: of which pipeline, how, its engine files (name -> sha256), weights."""

    pipeline: str
    release: int
    role: str
    files: Mapping[str, str]
    weights_sha256: str


def refuse_other_weights(repository: Path, model: str, version: int, weights_sha256: str) -> None:
    """Raise ValueError where a release serves this version and was made from other weights."""
    for use in uses(repository, model, version):
        if use.weights_sha256 and use.weights_sha256 != weights_sha256:
            raise ValueError(_sentence(use, model, version, "made from other weights"))


def refuse_other_files(repository: Path, model: str, version: int, files: Mapping[str, str]) -> None:
    """Raise ValueError where a release serves this version with other bytes; files: name -> sha256."""
    for use in uses(repository, model, version):
        if any(files.get(name) != sha256 for name, sha256 in use.files.items()):
            raise ValueError(_sentence(use, model, version, "which these engines would replace by others"))


def uses(repository: Path, model: str, version: int) -> list[Use]:
    """The releases that are live, were live before, or wait, and have this version of the model.

    errors: ValueError when the file is not what the releases wrote
    """
    path = repository / FILE
    try:
        pipelines = json.loads(path.read_text())["pipelines"]
        return list(_uses(pipelines, model, version))
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected the releases of this repository, got {error!r}; restore the file from a backup"
        ) from error


def _uses(pipelines: Mapping[str, Any], model: str, version: int) -> Iterator[Use]:
    for pipeline, record in pipelines.items():
        roles = {record["previous"]: "the one before the live one", record["active"]: "live"}
        for number, release in record["releases"].items():
            role = roles.get(int(number)) or ("waiting" if release["state"] in WAITING else "")
            member = release["members"].get(model)
            if role and member and member["version"] == version:
                yield Use(pipeline, int(number), role, member["files"], member["weights_sha256"])


def _sentence(use: Use, model: str, version: int, what: str) -> str:
    return (
        f"{model}/{version}: expected to leave release {use.release} of {use.pipeline} ({use.role}) as it "
        f"is, got an export {what}; use --out FOLDER, then "
        f"`python -m serving release prepare {use.pipeline} --from FOLDER`"
    )
