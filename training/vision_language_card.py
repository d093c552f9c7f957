"""The card of a vision-language preset: what the weights are, what they learned from, how good they are."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS
from training.easy_vqa import KINDS
from training.vision_language_evaluate import Answered, Found, VisionLanguageEvaluation
from training.vision_language_pictures import Shown, draw_shown

_ABOUT = """\
# {preset}

A photo and a text become an answer, an embedding each and one of both: sizes in
`multimodal/vision_language/presets.py`. Weights: `{preset}.safetensors`, half precision, {megabytes:.1f} MB:
both projections, the retrieval heads and a trained head for every fusion of the table. Served: `{fusion}`.
The trunks (`{seen}`, `{read}`) stay as they are; pretrained ones come from the packages that ship them and
are not in the file.

Made by `python -m training train {preset}`. The command is deterministic on one machine and one set of
versions; another processor rounds differently, so its figures differ in the last digits.

## Data

easy-VQA (MIT): synthetic pictures of one shape in one of eight colours, {questions} questions of its official
test split here. A tenth of the training pictures is held back to choose the served fusion by; the test split
chooses nothing. Captions for retrieval are derived from the same pictures: size, colour, shape and place are
measured from the pixels.

**A closed vocabulary.** The package has 107 wordings of questions, all of them in both splits. The answers
show that photo and question are both read; they do not show that other photos or other wordings would be
understood.

## Official test split

| | all | {kinds} |
|---|---|{rules}
{served}

Controls and changed photos, all with the served fusion: *question only* was trained and asked with one mean
photo, *shuffled* puts every question to another photo, *changed* resizes photos there and back, stores them
as JPEG or moves them by a few levels, as another decoder might.

## Every fusion

All on the same projections, which learnt together with `{together}`. The served one has the most right
answers on the pictures held back of the training split; the smaller cross entropy decides between equals.

| fusion | held back | cross entropy | test | cross entropy |
|---|---|---|---|---|
{fusions}

With two modalities `early` is the network of `mlp`. `gated` and `late` only add what each says by itself, so
that no answer can depend on whether photo and question agree.

## Retrieval

Full captions ("a small blue triangle in the upper left"), each once; a result fits when the caption is the
photo's own. Size and place have borders, and a shape on a border is as near to the caption next door.

| | R@1 | R@5 | R@1 by chance |
|---|---|---|---|
{retrieval}

![answers and searches]({preset}_answers.png)
"""


def render(preset: str, evaluation: VisionLanguageEvaluation, weight_bytes: int) -> str:
    """The card's text in Markdown."""
    one, sizes = evaluation, VISION_LANGUAGE_PRESETS[preset]
    rows = {
        f"**{preset}**": one.served,
        "changed photos": one.changed,
        "control: shuffled photos": one.shuffled,
        "control: question only": one.question_only,
    }
    return _ABOUT.format(
        preset=preset,
        megabytes=weight_bytes / 1e6,
        fusion=one.fusion,
        together=sizes.default_fusion,
        seen=sizes.photo.trunk,
        read=sizes.words.trunk,
        questions=f"{int(one.confusion.sum()):,}",
        kinds=" | ".join(KINDS),
        rules="---|" * len(KINDS),
        served="\n".join(_answered(name, row) for name, row in rows.items()),
        fusions="\n".join(_fusion(name, one) for name in one.fusions),
        retrieval="\n".join(
            [
                _found("photos found by their caption", one.photos_found, "captions", "photos"),
                _found("captions found by their photo", one.captions_found, "photos", "captions"),
            ]
        ),
    )


def _answered(name: str, one: Answered) -> str:
    kinds = " | ".join(f"{one.kinds[kind]:.2%}" if kind in one.kinds else "-" for kind in KINDS)
    return f"| {name} | {one.accuracy:.2%} | {kinds} |"


def _fusion(name: str, evaluation: VisionLanguageEvaluation) -> str:
    held, test = evaluation.choosing[name], evaluation.fusions[name]
    served = " (served)" if name == evaluation.fusion else ""
    figures = (
        f"{held.accuracy:.2%} | {held.cross_entropy:.4f} | {test.accuracy:.2%} | {test.cross_entropy:.4f}"
    )
    return f"| {name}{served} | {figures} |"


def _found(name: str, one: Found, queries: str, candidates: str) -> str:
    counts = f"{one.queries} {queries}, {one.candidates} {candidates}"
    return f"| {name} ({counts}) | {one.first:.1%} | {one.five:.1%} | {one.chance:.2%} |"


def write_vision_language_card(
    preset: str, evaluation: VisionLanguageEvaluation, shown: Shown, folder: Path
) -> Path:
    """Write `<preset>.md`, its picture and `<preset>.json` beside the weights; the card's path."""
    card = folder / f"{preset}.md"
    size = (folder / f"{preset}.safetensors").stat().st_size
    served = evaluation.served.accuracy
    title = f"{preset}: {served:.2%} of {int(evaluation.confusion.sum()):,} test questions answered right"
    draw_shown(shown, folder / f"{preset}_answers.png", title)
    card.write_text(render(preset, evaluation, size), encoding="utf-8")
    figures: dict[str, Any] = asdict(evaluation) | {
        "classes": VISION_LANGUAGE_PRESETS[preset].class_names,
        "confusion": evaluation.confusion.tolist(),
    }
    text = json.dumps(figures, indent=1, allow_nan=False)
    (folder / f"{preset}.json").write_text(text + "\n", encoding="utf-8")
    return card
