"""What each pipeline is asked in a measurement, when an answer is too late, and when it is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

Payloads = Mapping[str, Any]

CLIPS, RUNGS = 6, 2  # sources of videos, and how often each is compressed
QUESTION_STEP = 800  # of easy-VQA's 9,673: a dozen, about as many pictures


@dataclass(frozen=True)
class Workload:
    """One entry of WORKLOADS.

    payloads:  (seed, working folder) -> requests as `Client.infer` takes them, whole files in memory
    outputs:   what of an answer is compared with the same request's answer when it was asked alone
    tolerance: how far any of those values may lie from it; other neighbours in a batch move them a little
    slo_ms:    later answers are misses; why: what that number rests on
    at_once:   requests of a burst, fewer than the gate lets in
    """

    pipeline: str
    preset: str
    payloads: Callable[[int, Path], list[dict[str, Any]]]
    outputs: tuple[str, ...]
    tolerance: float
    slo_ms: float
    why: str
    at_once: int = 240


def _welds(seed: int, work: Path) -> list[dict[str, Any]]:
    from benchmarks import stages

    return stages.welds(None, seed, work)


def _clips(seed: int, work: Path) -> list[dict[str, Any]]:
    from benchmarks import rungs

    sources = rungs.first_of_each(rungs.held_out(), CLIPS)
    chosen = [rung for source in sources for rung in islice(rungs.climb(source, work / "ladder"), RUNGS)]
    return [{"video": rung.path.read_bytes()} for rung in chosen]


def _questions(name: str) -> Callable[[int, Path], list[dict[str, Any]]]:
    def payloads(seed: int, work: Path) -> list[dict[str, Any]]:
        from training.easy_vqa import load_split

        few = load_split("test").every(QUESTION_STEP)
        return [
            {"image": few.pictures[row].read_bytes(), name: question}
            for row, question in zip(few.rows, few.questions, strict=True)
        ]

    return payloads


# An SLO is the user's, not the server's: what each says is what somebody waits for.
WORKLOADS: dict[str, Workload] = {
    one.pipeline: one
    for one in (
        Workload(
            "weld_inspection",
            "weld_small",
            _welds,
            ("probabilities", "anomaly_score", "embedding"),
            1e-3,
            500.0,
            "a robot lays the next seam seconds after this one; half a second leaves it time to be stopped, "
            "and is more than ten times what a lone request takes on two cores",
        ),
        Workload(
            "video_quality",
            "video_quality_small",
            _clips,
            ("quality_score",),
            0.1,
            1000.0,
            "an upload is judged before its next segment, of two seconds or more, has arrived",
            at_once=60,
        ),
        Workload(
            "vision_language",
            "vision_language_small",
            _questions("text"),
            ("answer_probabilities", "image_embedding", "text_embedding"),
            1e-3,
            200.0,
            "a search that answers while one types: 200 ms is what still feels immediate",
        ),
        Workload(
            "visual_question_answering",
            "visual_question_answering_small",
            _questions("question"),
            ("answer_probability", "matching_score", "relevance"),
            1e-3,
            1000.0,
            "a person has asked and reads the answer: a second keeps a conversation going (Nielsen 1993)",
            at_once=120,
        ),
    )
}


def workload(pipeline: str) -> Workload:
    """The entry of a pipeline; LookupError with the names there are."""
    if pipeline not in WORKLOADS:
        raise LookupError(f"pipeline: expected one of {', '.join(WORKLOADS)}, got {pipeline}")
    return WORKLOADS[pipeline]


def alone(payloads: Sequence[Payloads], modality: str) -> list[dict[str, Any]]:
    """The same requests with one modality only."""
    return [{modality: each[modality]} for each in payloads]
