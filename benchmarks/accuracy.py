"""How many questions of easy-VQA's official test split a server answers right, beside PyTorch and controls.

Every question travels as a client's request would: a file's bytes and the words. PyTorch answers the same
bytes, decoded by the reference decoder, with the weights that were exported; the difference is what export,
engines and serving cost.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from crossfuse import Answer, Client
from numpy.typing import NDArray
from tqdm import tqdm

from training.easy_vqa import KINDS, EasyVqa, answer_names, load_split

WEIGHTS: Final = Path(__file__).parents[1] / "weights"
ASKERS = 8  # requests under way at once: enough to fill a batch
MOST_POINTS = 0.2  # that server and PyTorch may lie apart
LISTED = 20  # wrong answers that are written down
SEED = 0  # of the pictures that change places, and of weights that nobody trained

Infer = Callable[..., Answer]


class Reference(Protocol):
    """A pipeline in PyTorch, asked about the same questions as the server."""

    def measure(self, infer: Infer, asked: EasyVqa) -> dict[str, Any]:
        """All figures of the pipeline; `server` and `pytorch` are from `judged`."""
        ...


def _vision_language(preset: str, weights: Path) -> Reference:
    from benchmarks.vision_language_accuracy import VisionLanguageReference  # here: seconds of imports

    return VisionLanguageReference.load(preset, weights)


def _visual_question_answering(preset: str, weights: Path) -> Reference:
    from benchmarks.visual_question_accuracy import VisualQuestionReference

    return VisualQuestionReference.load(preset, weights)


# Pipeline -> its reference; and what it is to reach, share of right answers.
REFERENCES: dict[str, Callable[[str, Path], Reference]] = {
    "vision_language": _vision_language,
    "visual_question_answering": _visual_question_answering,
}
GOALS = {"vision_language": 0.99, "visual_question_answering": 0.95}


def measure(url: str, pipeline: str, preset: str, weights: Path, every: int = 1) -> dict[str, Any]:
    """Ask every so manyth question of the test split; returns all figures.

    preset, weights: what the server was exported from
    raises: CrossfuseError when something is not answered in full, FileNotFoundError without weights
    """
    reference = REFERENCES[pipeline](preset, weights)
    asked = load_split("test").every(every)
    with Client(url, strict=True) as client:
        found = reference.measure(lambda **payloads: client.infer(pipeline, **payloads), asked)
    goal = GOALS[pipeline]
    return {
        "pipeline": pipeline,
        "preset": preset,
        "data": f"easy-vqa {version('easy-vqa')}, test split, every {every}. question",
        "pictures": len(asked.pictures),
        "goal": {"accuracy": goal, "reached": found["server"]["accuracy"] >= goal},
        "difference_points": 100 * (found["server"]["accuracy"] - found["pytorch"]["accuracy"]),
        **found,
        "controls": {"question_only": judged(asked, question_only(asked)), **found["controls"]},
    }


def ask_all(infer: Infer, requests: Sequence[Mapping[str, Any]], title: str) -> list[Any]:
    """The server's answers in the order of the requests, ASKERS at a time, under a bar.

    raises: CrossfuseError for the first request that is not answered
    """
    with ThreadPoolExecutor(ASKERS) as askers:
        answers = askers.map(lambda payloads: infer(**payloads), requests)
        return list(tqdm(answers, total=len(requests), desc=title, unit="request", file=sys.stderr))


def batches(count: int, size: int, title: str) -> Iterator[slice]:
    """Slices of at most `size` rows, under a bar that counts rows."""
    with tqdm(total=count, desc=title, unit="row", file=sys.stderr) as bar:
        for start in range(0, count, size):
            yield slice(start, min(start + size, count))
            bar.update(min(size, count - start))


def judged(asked: EasyVqa, said: Sequence[str]) -> dict[str, Any]:
    """Right answers of all questions and of each kind, and the first wrong ones."""
    names = answer_names()
    wanted = [names[answer] for answer in asked.answers]
    right = np.array([given == name for given, name in zip(said, wanted, strict=True)])
    kinds = np.array(asked.kinds)
    return {
        **_share(right),
        "kinds": {kind: _share(right[kinds == kind]) for kind in KINDS},
        "wrong": [
            {
                "picture": int(asked.image_ids[asked.rows[place]]),
                "question": asked.questions[place],
                "answer": wanted[place],
                "said": said[place],
            }
            for place in np.flatnonzero(~right)[:LISTED]
        ],
    }


def _share(right: NDArray[np.bool_]) -> dict[str, Any]:
    count = len(right)
    return {"accuracy": float(right.mean()) if count else None, "right": int(right.sum()), "questions": count}


def question_only(asked: EasyVqa) -> list[str]:
    """What one would say without looking: the commonest answer in `train` to the very same question."""
    train, names = load_split("train"), answer_names()
    answers: dict[str, Counter[int]] = {}
    for question, answer in zip(train.questions, train.answers, strict=True):
        answers.setdefault(question, Counter())[int(answer)] += 1
    commonest = Counter(train.answers.tolist()).most_common(1)
    return [
        names[(answers.get(text) or Counter(dict(commonest))).most_common(1)[0][0]]
        for text in asked.questions
    ]


def other_pictures(asked: EasyVqa) -> NDArray[np.int64]:
    """For every question a picture that it is not about, (questions,): pictures change places in a ring."""
    order = np.random.default_rng(SEED).permutation(len(asked.pictures))
    following = np.empty_like(order)
    following[order] = np.roll(order, 1)
    return following[asked.rows]


def faults(result: Mapping[str, Any]) -> list[str]:
    """A sentence where server and PyTorch lie further apart than one question and MOST_POINTS."""
    apart, questions = abs(result["difference_points"]), result["server"]["questions"]
    allowed = max(MOST_POINTS, 100 / questions)
    if apart <= allowed + 1e-9:
        return []
    return [f"server and PyTorch: expected at most {allowed:.2f} points apart, got {apart:.2f}"]


def table(result: Mapping[str, Any]) -> str:
    """The result for a terminal."""
    rows = {"server": result["server"], "PyTorch": result["pytorch"], **result["controls"]}
    width = max(map(len, rows))
    head = f"{'right answers':<{width}}{'all':>10}" + "".join(f"{kind:>10}" for kind in KINDS)
    lines = [
        f"{name:<{width}}{_percent(row)}" + "".join(_percent(row["kinds"][kind]) for kind in KINDS)
        for name, row in rows.items()
    ]
    goal = result["goal"]
    return "\n".join(
        [
            head,
            *lines,
            f"{result['server']['right']} of {result['server']['questions']} right; goal "
            f"{goal['accuracy']:.0%}: {'reached' if goal['reached'] else 'NOT reached'}; server minus "
            f"PyTorch {result['difference_points']:+.2f} points",
            *result.get("remarks", ()),
        ]
    )


def _percent(row: Mapping[str, Any]) -> str:
    return f"{'-':>10}" if row["accuracy"] is None else f"{row['accuracy']:>10.2%}"
