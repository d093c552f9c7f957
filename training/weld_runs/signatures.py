"""What each defect shows in each modality.

A modality sees only three to five groups; a class is the combination. So fusion has something to fuse: the
best guess from one modality is right in a quarter to two fifths of the runs, from all four in most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multimodal.weld_classes import CLASS_NAMES, MODALITIES

NOMINAL = "nominal"

# class -> (video, image, audio, sensor), in the order of MODALITIES
_TABLE: dict[str, tuple[str, str, str, str]] = {
    "Good": (NOMINAL, NOMINAL, NOMINAL, NOMINAL),
    "Excessive_Penetration": ("big_pool", NOMINAL, NOMINAL, "hot"),
    "Burnthrough": (NOMINAL, "sag", "pops", "hot"),
    "Porosity": (NOMINAL, NOMINAL, "hiss", "gas_low"),
    "Porosity_w_Excessive_Penetration": ("big_pool", NOMINAL, "hiss", "hot"),
    "Undercut": ("big_pool", "grooves", NOMINAL, NOMINAL),
    "Overlap": (NOMINAL, "lip", NOMINAL, "cold"),
    "Lack_of_Fusion": ("small_pool", NOMINAL, NOMINAL, "cold"),
    "Excessive_Convexity": ("small_pool", "lip", NOMINAL, "cold"),
    "Spatter": ("sparks", NOMINAL, "pops", NOMINAL),
    "Warping": ("drift", "curve", NOMINAL, NOMINAL),
    "Crater_Cracks": (NOMINAL, "sag", "pops", NOMINAL),
}
SIGNATURES: tuple[dict[str, str], ...] = tuple(
    dict(zip(MODALITIES, _TABLE[name], strict=True)) for name in CLASS_NAMES
)
KINDS: dict[str, tuple[str, ...]] = {
    modality: tuple(sorted({signature[modality] for signature in SIGNATURES} - {NOMINAL}))
    for modality in MODALITIES
}

WEAK_SHARE = 0.08  # of the runs, per modality: the evidence is there in the metal but hardly in the recording
DISTRACTOR_SHARE = 0.15  # of the modalities that look nominal: a weak echo of a signature


@dataclass(frozen=True)
class Evidence:
    """A signature and how strongly it shows: 0 not at all, 1 as the table means it."""

    kind: str
    strength: float

    def of(self, kind: str) -> float:
        """Strength of `kind`, 0 where this evidence is of another kind."""
        return self.strength if self.kind == kind else 0.0


def draw_evidence(class_index: int, modality: str, rng: np.random.Generator) -> Evidence:
    """Decide what one run of a class shows in one modality.

    Full evidence has strength 0.8-1.25, weak evidence 0-0.45; a modality that has nothing to show sometimes
    carries a distractor of 0.05-0.3.
    """
    kind = SIGNATURES[class_index][modality]
    if kind != NOMINAL:
        weak = rng.random() < WEAK_SHARE
        return Evidence(kind, float(rng.uniform(0.0, 0.45) if weak else rng.uniform(0.8, 1.25)))
    if rng.random() < DISTRACTOR_SHARE:
        return Evidence(str(rng.choice(KINDS[modality])), float(rng.uniform(0.05, 0.3)))
    return Evidence(NOMINAL, 0.0)
