"""What a load sends: real recordings of every pipeline, and which of its modalities go together how often."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

QUESTIONS = 24
Mix = tuple[str, ...]

# pipeline -> the modalities of a request -> how often, relative to the pipeline's other mixes
MIXES: Mapping[str, Mapping[Mix, int]] = {
    "weld_inspection": {
        ("video", "image", "audio", "sensor"): 6,
        ("video", "sensor"): 2,
        ("audio", "sensor"): 1,
        ("image",): 1,
    },
    "video_quality": {("video",): 1},
    "vision_language": {("image", "text"): 2, ("image",): 1, ("text",): 1},
    "visual_question_answering": {("image", "question"): 1},
}


@dataclass(frozen=True)
class Sample:
    """One request: what `Client.infer` takes, and the modalities that it holds."""

    mix: Mix
    payloads: Mapping[str, Any]


def complete_only(pipeline: str) -> Mapping[Mix, int]:
    """The mix in which nothing is absent, alone: a load whose requests all cost the same."""
    return {max(MIXES[pipeline], key=len): 1}


def draw(pipeline: str, mixes: Mapping[Mix, int], welds: Path, seed: str) -> Iterator[Sample]:
    """Requests without end, the same for the same seed.

    welds: folder of simulated or recorded weld runs, see `stages.welds`
    """
    randomly = random.Random(seed)
    recordings = of_pipeline(pipeline, welds)
    kinds, weights = list(mixes), list(mixes.values())
    while True:
        (mix,) = randomly.choices(kinds, weights)
        whole = randomly.choice(recordings)
        yield Sample(mix, {modality: whole[modality] for modality in mix})


@cache
def of_pipeline(pipeline: str, welds: Path) -> Sequence[Mapping[str, Any]]:
    """Recordings with every modality of a pipeline, read once per process.

    raises: FileNotFoundError when no weld runs lie there; ModuleNotFoundError without easy-VQA
    """
    if pipeline in ("weld_inspection", "video_quality"):
        runs = _welds(welds)
        return runs if pipeline == "weld_inspection" else [{"video": run["video"]} for run in runs]
    words = "text" if pipeline == "vision_language" else "question"
    return [{"image": picture, words: question} for picture, question in _questions()]


@cache
def _welds(folder: Path) -> Sequence[Mapping[str, Any]]:
    from benchmarks.stages import payloads_of  # here, as below: a process that only counts needs none of it
    from training.weld_folder import find_runs

    if not (folder / "manifest.csv").is_file():
        raise FileNotFoundError(
            f"welds: expected a folder of weld runs, got {folder} without a manifest.csv; "
            "`python -m benchmarks load` makes one"
        )
    return [payloads_of(run) for run in find_runs(folder)]


@cache
def _questions() -> Sequence[tuple[bytes, str]]:
    """(picture as PNG, question) pairs spread over easy-VQA's test split."""
    from training.easy_vqa import package_folder

    folder = package_folder() / "test"
    asked = json.loads((folder / "questions.json").read_text())
    chosen = asked[:: max(1, len(asked) // QUESTIONS)][:QUESTIONS]
    return [
        ((folder / "images" / f"{picture}.png").read_bytes(), question) for question, _, picture in chosen
    ]
