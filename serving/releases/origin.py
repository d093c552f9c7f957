"""What the engines of a release were made from, so that PyTorch's answers to the same can be found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from export import manifest
from serving.releases.record import Release


@dataclass(frozen=True)
class Origin:
    """Of a whole set.

    weights_sha256: of the weights that all engines were made from; empty when there are several
    fusion:         the chosen one where it is not the one that its preset has anyway
    """

    weights_sha256: str
    fusion: str = ""


def origin_of(release: Release, repository: Path) -> Origin:
    """By the record, and by the manifests in the version folders, which say what was chosen."""
    return Origin(weights_of(release), other_fusion(release, repository))


def weights_of(release: Release) -> str:
    """sha256 of the weights that all engines of a release were made from; empty when there are several."""
    made = {member.weights_sha256 for member in release.members.values() if member.weights_sha256}
    return made.pop() if len(made) == 1 else ""


def other_fusion(release: Release, repository: Path) -> str:
    """The fusion that a model's manifest names, if it is not its preset's own; empty without a choice."""
    from export.pipelines import PRESETS

    for model, member in release.members.items():
        if not member.files:
            continue  # code of the checkout, which has no manifest
        try:
            content = manifest.read(repository / model / str(member.version))
        except (FileNotFoundError, ValueError):
            continue  # what is not described was not chosen; that its files are whole was seen before
        preset, fusion = str(content.get("preset", "")), str(content.get("fusion", ""))
        if fusion:
            usual = PRESETS[preset].default_fusion(preset) if preset in PRESETS else ""
            return "" if fusion == usual else fusion
    return ""
