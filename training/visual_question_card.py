"""The card of a question answering preset: what the weights are, what they learned from, how good."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from multimodal.visual_question.plug_and_play import PNPVQAFusion
from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS
from multimodal.visual_question.tokenizer import build_tokenizer
from training.easy_vqa import EasyVqa
from training.visual_question_evaluate import Judge, Looking, VisualQuestionEvaluation
from training.visual_question_figure import Answered, draw_answered

_ABOUT = """\
# {preset}

A BLIP family in small, trained here: a model that matches pictures with texts, a captioner, a question
answerer, each two layers of text, two ViTs of three layers; a fusion of what both ViTs see, and a T5 that
answers from captions alone. Sizes in `multimodal/visual_question/presets.py`. Weights:
`{preset}.safetensors`, half precision, {megabytes:.1f} MB, {parameters:,} parameters, with the tokenizer in
its metadata.

Made by `python -m training train {preset}`. The command is deterministic on one machine and one set of
versions; another processor rounds differently, so its figures differ in the last digits.

## Data

The training split of easy-VQA: 4,000 synthetic pictures of 64 x 64 px with one shape each, nine tenths to
learn from, one tenth ({held_back:.1%} of its questions answered right) to choose the state of the fusion
by. The shapes are painted anew in every step, mirrored, at another place, in another of the eight colours,
on another ground; captions are made from what was painted. All figures below are on the official test
split, {questions:,} questions about 1,000 pictures, asked once, of the weights as they lie on disk.

**What this is not.** One shape on a plain ground, 107 questions, 13 answers, eight colours with one word
each. The weights show that the chain works; they know nothing of photographs.

## Answers

| | all | {kinds_head} |
|---|---|{kinds_rule}
{answers}

Text mode answers from five sampled captions, without the picture; every fifth question was asked.

| visual mode, with | right |
|---|---|
{controls}

A model that sees only the question reaches 67.0 %. While the fusion learns, the captioner's tokens are hidden
in three of ten pictures: it has to carry what the matching model sees.

## Captions

Of the five that every fifth question got, {captions_right:.1%} name the right shape and the right colour,
{captions_false:.1%} a wrong shape or a wrong colour.

## Where it looks

Share of questions whose map peaks on a patch with some of the shape, and on one or next to one:

| questions | | on the shape | chance | on or next to it | chance |
|---|---|---|---|---|---|
{looking}

Chance is a patch drawn at random; the last row is what a shape on a plain ground gives away by itself. The
map is the gradient of the match by the cross-attention of the matching model's first text layer, from that
model's own features; the fusion has no part in it. Whether a picture has what a question names, the
matching score says in {matching:.1%} of the questions that name something.

![questions, maps, captions and answers]({preset}_answers.png)

The gate of the fusion stands at {gate:.3f} (0 leaves it out, 1 adds all of it).
"""


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _looked(name: str, one: Looking) -> str:
    shares = " | ".join(map(_percent, (one.on, one.on_chance, one.near, one.chance)))
    return f"| {name} | {one.questions:,} | {shares} |"


def render(preset: str, one: VisualQuestionEvaluation, weight_bytes: int) -> str:
    """The card's text in Markdown."""
    kinds = list(one.visual)
    rows = {
        f"visual mode, {one.questions:,} questions": one.visual,
        f"text mode, {one.text_questions:,} questions": one.text,
    }
    return _ABOUT.format(
        preset=preset,
        megabytes=weight_bytes / 1e6,
        parameters=one.parameters,
        held_back=one.held_back,
        questions=one.questions,
        kinds_head=" | ".join(kinds[1:]),
        kinds_rule="---|" * (len(kinds) - 1),
        answers="\n".join(
            f"| {name} | {' | '.join(_percent(shares[kind]) for kind in kinds)} |"
            for name, shares in rows.items()
        ),
        controls="\n".join(f"| {name} | {_percent(share)} |" for name, share in one.controls.items()),
        captions_right=one.captions_right,
        captions_false=one.captions_false,
        looking="\n".join(_looked(name, group) for name, group in one.looking.items()),
        matching=one.matching,
        gate=one.gate,
    )


def write_visual_question_card(
    preset: str, evaluation: VisualQuestionEvaluation, model: PNPVQAFusion, data: EasyVqa, folder: Path
) -> Path:
    """Write `<preset>.md`, its picture and `<preset>.json` beside the weights; the card's path."""
    weights = folder / f"{preset}.safetensors"
    card = folder / f"{preset}.md"
    draw_answered(answered(preset, model, data), folder / f"{preset}_answers.png")
    card.write_text(render(preset, evaluation, weights.stat().st_size), encoding="utf-8")
    figures = json.dumps(evaluation.as_dict(), indent=2)
    (folder / f"{preset}.json").write_text(figures + "\n", encoding="utf-8")
    return card


def answered(preset: str, model: PNPVQAFusion, data: EasyVqa, count: int = 8) -> list[Answered]:
    """One question about each of `count` pictures, evenly spaced over the set, not chosen by answer."""
    sizes = VISUAL_QUESTION_PRESETS[preset]
    judge = Judge(model, sizes, build_tokenizer(sizes))
    pictures = np.linspace(0, len(data.images) - 1, count).astype(int)
    some = data.only(pictures)
    asked = [np.flatnonzero(some.rows == row) for row in range(count)]
    rows = [int(found[row % len(found)]) for row, found in enumerate(asked)]
    seen = judge.see(some.images)
    heats, scores = judge.maps(some, seen)
    captions = judge.captions(some, seen, heats, rows)
    questions = [some.questions[row] for row in rows]
    texts = judge.texts(questions)
    answers, chances = model.answer_visually(
        seen.fused[some.rows[rows]], texts.ids, texts.mask, judge.settings.answer, judge.tokenizer
    )
    read, _ = model.answer_from_text(questions, captions, judge.settings, judge.tokenizer)
    return [
        Answered(
            some.images[some.rows[row]],
            questions[place],
            heats[row].numpy(),
            float(scores[row]),
            captions[place],
            answers[place],
            float(chances[place]),
            read[place],
        )
        for place, row in enumerate(rows)
    ]
