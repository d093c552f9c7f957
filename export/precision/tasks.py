"""What every pipeline is for, as arrays: real inputs of its first engines, and how good the answers are.

Calibration comes from what the weights were trained on, judgement from what they have never seen. Both are
what training reads: taken from its folder where it has run, made there where not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.parity import Arrays
from export.pipelines import PRESETS, pipeline_of

CALIBRATION = 64  # items: ranges of weld_small's activations change by 2 % from 32 to 64
QUESTIONS = 1200  # of easy-VQA's 9,673 that are judged; 0.1 points are one of them
CLIPS = 256  # of video quality's held-out 512: half, of every content and distortion
TASKS_FOLDER = Path("build/training")

Figures = dict[str, float]


@dataclass(frozen=True)
class Asked:
    """Which task is wanted; as the arguments of `task_of`."""

    preset: str
    work: Path
    items: int | None = None
    engines: Path | None = None


@dataclass(frozen=True)
class Task:
    """calibration, judged: input name -> (items, ...)

    figures: of a pipeline's answers on `judged`, higher is better; empty where only tensors are compared
    """

    calibration: Arrays
    judged: Arrays
    figures: Callable[[Mapping[str, np.ndarray]], Figures]


def task_of(
    preset: str, work: Path | None = None, items: int | None = None, engines: Path | None = None
) -> Task:
    """The task of a preset; work: its training's folder; items: judge at most so many.

    engines: folder of model folders, for a pipeline whose answers are written by one of them, which is not
             judged itself; may be left out by whom calibrates only
    errors: ValueError for a pipeline without a task, and what its training raises for data it cannot make
    """
    pipeline = pipeline_of(preset) if preset in PRESETS else preset
    if pipeline not in TASKS:
        raise ValueError(
            f"{preset}: expected a preset of {', '.join(TASKS)}; declare its task in "
            "export/precision/tasks.py"
        )
    return TASKS[pipeline](Asked(preset, work or TASKS_FOLDER / preset, items, engines))


def weld_inspection(asked: Asked) -> Task:
    """Runs of sessions that training has not seen: accuracy of the class, AUROC of the anomaly score."""
    from training.metrics import judge_classes, judge_scores
    from training.weld_training import recipe_of, weld_dataset
    from training.workplace import Workplace

    dataset, recipe = weld_dataset(asked.preset, Workplace(asked.work, asked.work)), recipe_of(asked.preset)
    splits = dataset.split(dict(recipe.shares), recipe.data_seed)
    rows = splits["held_out"][: asked.items]
    labels = dataset.labels[rows]

    def arrays(chosen: Sequence[int]) -> Arrays:
        raw, valid, _ = dataset.batch(chosen)
        named = {WELD[name]: tensor.numpy() for name, tensor in raw.items()}
        return named | {f"{name}_valid": mask.numpy() for name, mask in valid.items()}

    def figures(answers: Mapping[str, np.ndarray]) -> Figures:
        said = judge_classes(labels, answers["probabilities"].argmax(axis=1))
        return {
            "accuracy": said.accuracy,
            "auroc": judge_scores(labels, answers["anomaly_score"].reshape(-1)).auroc,
        }

    return Task(arrays(spread(splits["train"], CALIBRATION)), arrays(rows), figures)


# what training calls a tensor -> what the engines do
WELD = {
    "video": "video_frames",
    "image": "image_pixels",
    "audio": "audio_waveform",
    "audio_samples": "audio_samples",
    "sensor": "sensor_series",
}


def video_quality(asked: Asked) -> Task:
    """Clips of contents that training has not seen: rank correlation with their VMAF."""
    from training.quality_metrics import plcc, srcc
    from training.quality_training import clip_dataset
    from training.workplace import Workplace

    dataset = clip_dataset(asked.preset, Workplace(asked.work, asked.work))
    rows = spread(dataset.splits["held_out"], asked.items or CLIPS)
    scores = dataset.scores[rows]

    def arrays(chosen: Sequence[int]) -> Arrays:
        views = {name: tensor.numpy() for name, tensor in dataset.views(chosen).items()}
        return views | {"video_valid": np.ones((len(chosen), 1), bool)}

    def figures(answers: Mapping[str, np.ndarray]) -> Figures:
        said = answers["quality_score"].reshape(-1)
        return {"srcc": srcc(said, scores), "plcc": plcc(said, scores)}

    return Task(arrays(spread(dataset.splits["train"], CALIBRATION)), arrays(rows), figures)


def vision_language(asked: Asked) -> Task:
    """easy-VQA's test questions: how many are answered right."""
    from tokenizers import Tokenizer

    from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS
    from multimodal.vision_language.tokenizer import tokenise, tokenizer_json
    from training.vision_language_features import pixels_of

    sizes = VISION_LANGUAGE_PRESETS[asked.preset]
    tokenizer = Tokenizer.from_str(tokenizer_json(sizes))

    def words(texts: Sequence[str]) -> Arrays:
        ids, mask = tokenise(texts, tokenizer)
        return {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}

    def arrays(split: str, count: int) -> tuple[Arrays, np.ndarray]:
        photos, questions, answers = _questions(split, count)
        named = {"image_pixels": pixels_of(photos, sizes.photo.size_px)[:, None], **words(questions)}
        return named | _all_there(len(questions), ("image", "text")), answers

    judged, answers = arrays("test", asked.items or QUESTIONS)

    def figures(said: Mapping[str, np.ndarray]) -> Figures:
        return {"accuracy": float((said["answer_probabilities"].argmax(axis=1) == answers).mean())}

    return Task(arrays("train", CALIBRATION)[0], judged, figures)


def visual_question_answering(asked: Asked) -> Task:
    """easy-VQA's test questions: how many are answered right by the generator, which reads what the engines
    before it leave and stays in fp32 itself.
    """
    from export.precision.words import Answerer
    from multimodal.visual_question.presets import VISUAL_QUESTION_PRESETS
    from multimodal.visual_question.tokenizer import build_tokenizer
    from training.easy_vqa import answer_names

    sizes = VISUAL_QUESTION_PRESETS[asked.preset]
    tokenizer = build_tokenizer(sizes)
    length, pad = sizes.question_length, sizes.text.tokens.pad

    def arrays(split: str, count: int) -> tuple[Arrays, np.ndarray]:
        photos, questions, answers = _questions(split, count)
        ids = np.full((len(questions), length), pad, np.int64)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(tokenizer.encode_batch(list(questions))):
            kept = encoding.ids[:length]
            ids[row, : len(kept)], mask[row, : len(kept)] = kept, 1
        named = {"image_pixels": np.stack(photos)[:, None], "input_ids": ids, "attention_mask": mask}
        return named | _all_there(len(questions), ("image", "question")), answers

    judged, truth = arrays("test", asked.items or QUESTIONS)
    wanted = [answer_names()[answer] for answer in truth]

    def figures(answers: Mapping[str, np.ndarray]) -> Figures:
        if asked.engines is None:
            raise ValueError(f"{asked.preset}: expected the folder of its engines, got none; name it")
        said = Answerer(asked.engines / f"{asked.preset}_answers").answers(
            answers["question_states"], answers["attention_mask"]
        )
        return {"accuracy": float(np.mean([one == right for one, right in zip(said, wanted, strict=True)]))}

    return Task(arrays("train", CALIBRATION)[0], judged, figures)


def _questions(split: str, count: int) -> tuple[list[np.ndarray], tuple[str, ...], np.ndarray]:
    """Photos, questions and answers of some of a split, spread over it."""
    from training.easy_vqa import load_split

    data = load_split(split)
    chosen = spread(range(len(data.questions)), count)
    photos = [data.images[data.rows[row]] for row in chosen]
    return photos, tuple(data.questions[row] for row in chosen), data.answers[chosen]


def _all_there(items: int, modalities: Sequence[str]) -> Arrays:
    valid = {f"{name}_valid": np.ones((items, 1), bool) for name in modalities}
    return valid | {f"{name}_status": np.zeros((items, 1), np.int32) for name in modalities}


def spread(rows: Sequence[int], count: int) -> list[int]:
    """`count` of the rows at even distances, all of them if there are no more."""
    if len(rows) <= count:
        return list(rows)
    return [rows[place] for place in np.linspace(0, len(rows) - 1, count).round().astype(int)]


TASKS: dict[str, Callable[[Asked], Task]] = {
    "weld_inspection": weld_inspection,
    "video_quality": video_quality,
    "vision_language": vision_language,
    "visual_question_answering": visual_question_answering,
}
