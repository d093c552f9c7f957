"""What every report of the pipelines of images and words has at its end: the state of each modality."""

from __future__ import annotations

from collections.abc import Mapping

from ._report import MEANING
from ._results import Answer, Status

LOST: Mapping[str, str] = {  # modality -> what PARTIAL says about it
    "image": "it ends early",
    "text": "it is longer than the model reads; its end was left out",
    "question": "it is longer than the model reads; its end was left out",
}


def meaning(modality: str, state: Status) -> str:
    """What a state means for an image or for words."""
    if state is Status.PARTIAL:
        return f"{MEANING[state]}: {LOST[modality]}"
    return MEANING[state].split(";")[0]  # what was made without it is said by what is missing


def state_lines(answer: Answer) -> list[str]:
    """One line for each modality."""
    wide = max(len(name) for name in answer.status)
    return [
        f"  {name:<{wide}}  {state.name:<8} {meaning(name, state)}" for name, state in answer.status.items()
    ]


def answered_by(answer: Answer) -> str:
    """A remark for the verdict where a release on trial answered."""
    return "" if answer.population == "live" else f"  (answered by the {answer.population})"
