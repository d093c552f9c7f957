"""The model's card: what the weights are, what they learned from, how good they are, and where not."""

from __future__ import annotations

import json
from pathlib import Path

from training.evaluate import Evaluation, Judgement
from training.pictures import draw_confusion

_ABOUT = """\
# {preset}

Four encoders (V-JEPA 2, DINOv2, AST, sensor Transformer) and a cross-attention fusion head for weld inspection;
sizes in `multimodal/presets.py`. Weights: `{preset}.safetensors`, half precision, {megabytes:.1f} MB.

Made by `python -m training train {preset}`. The command is deterministic on one machine and one set of versions;
another processor rounds differently, so its weights differ in the last digits and its figures by a few runs.

## Data

Simulated weld runs (`python -m training generate`): {train} for training, {held} held out, no session in both.
Each defect shows itself in some modalities and looks Good in others; about one evidence in twelve is weak or
missing. **The figures say how well these networks fuse, not how well they inspect real welds**: for that, train
on real runs of the same folder layout (`--root`).

## Held-out results

| what the model saw | 12-class accuracy | macro F1 | anomaly AUROC |
|---|---|---|---|
{rows}

Fused minus the best single modality: {accuracy:+.1%} accuracy, {auroc:+.3f} AUROC.

The same fused features judged by their nearest neighbours (k = 5, cosine, bank of training runs):

| evaluation | figure |
|---|---|
| P1 classification: accuracy / macro F1 | {p1_accuracy:.1%} / {p1_f1:.3f} |
| P2 anomaly, bank of Good runs only: AUROC / average precision | {p2_auroc:.3f} / {p2_ap:.3f} |

Average precision starts at {chance:.3f} for a model that knows nothing, since most runs are defects; read AUROC.

| defect against Good | AUROC of the served anomaly score |
|---|---|
{defects}

![confusion matrix]({preset}_confusion.png)
"""


def _row(name: str, one: Judgement) -> str:
    return f"| {name} | {one.classes.accuracy:.1%} | {one.classes.macro_f1:.3f} | {one.anomaly.auroc:.3f} |"


def render(preset: str, evaluation: Evaluation, weight_bytes: int) -> str:
    """The card's text in Markdown."""
    fused, (accuracy, auroc) = evaluation.fused, evaluation.margin
    confusion = fused.classes.confusion
    rows = [
        _row("all four modalities", fused),
        *(_row(f"{name} alone", one) for name, one in evaluation.alone.items()),
    ]
    defects = [
        f"| {name.replace('_', ' ')} | {value:.3f} |"
        for name, value in fused.anomaly.per_defect_auroc.items()
    ]
    return _ABOUT.format(
        preset=preset,
        megabytes=weight_bytes / 1e6,
        train=evaluation.runs["train"],
        held=evaluation.runs["held out"],
        rows="\n".join(rows),
        accuracy=accuracy,
        auroc=auroc,
        p1_accuracy=evaluation.neighbour_classes.accuracy,
        p1_f1=evaluation.neighbour_classes.macro_f1,
        p2_auroc=evaluation.neighbour_anomaly.auroc,
        p2_ap=evaluation.neighbour_anomaly.average_precision,
        chance=1 - confusion[0].sum() / confusion.sum(),
        defects="\n".join(defects),
    )


def figures(evaluation: Evaluation) -> dict[str, object]:
    """The card's numbers for machines: tests and releases compare against them."""

    def both(one: Judgement) -> dict[str, object]:
        return {
            "accuracy": one.classes.accuracy,
            "macro_f1": one.classes.macro_f1,
            "auroc": one.anomaly.auroc,
        }

    return {
        "runs": evaluation.runs,
        "fused": both(evaluation.fused),
        "alone": {name: both(one) for name, one in evaluation.alone.items()},
        "threshold": evaluation.fused.anomaly.threshold,
        "neighbour_accuracy": evaluation.neighbour_classes.accuracy,
        "neighbour_auroc": evaluation.neighbour_anomaly.auroc,
    }


def write_card(preset: str, evaluation: Evaluation, folder: Path) -> Path:
    """Write `<preset>.md`, `<preset>.json` and the confusion matrix beside the weights; the card's path."""
    weight_bytes = (folder / f"{preset}.safetensors").stat().st_size
    card = folder / f"{preset}.md"
    card.write_text(render(preset, evaluation, weight_bytes), encoding="utf-8")
    (folder / f"{preset}.json").write_text(json.dumps(figures(evaluation), indent=2) + "\n", encoding="utf-8")
    subtitle = f"{preset}, all four modalities, {evaluation.runs['held out']} held-out runs"
    draw_confusion(evaluation.fused.classes.confusion, folder / f"{preset}_confusion.png", subtitle)
    return card
