"""Write the Triton configurations of every pipeline from its description.

Every model has one for the GPU (`config.pbtxt`) and one for the CPU (`configs/cpu.pbtxt`): too many
near-identical files to keep in step by hand. The committed text is the contract that export, server and
client read; a test regenerates it and compares. A new pipeline is one module and one line in `PIPELINES`.

    python -m model_repository.describe        # rewrites the files in place
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from model_repository import (
    video_quality_models,
    vision_language_models,
    visual_question_models,
    weld_models,
)
from model_repository.configuration import Model, files

ROOT = Path(__file__).parent
PIPELINES: dict[str, Callable[[], list[Model]]] = {
    "weld_inspection": weld_models.models,
    "video_quality": video_quality_models.models,
    "vision_language": vision_language_models.models,
    "visual_question_answering": visual_question_models.models,
}


def main() -> None:
    """Write the files of every pipeline, and the folder of every model's first version."""
    for described in PIPELINES.values():
        for path, text in files(described()).items():
            file = ROOT / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            version = ROOT / path.split("/")[0] / "1"
            version.mkdir(exist_ok=True)
            if not any(version.glob("*.py")):
                (version / ".gitkeep").touch()
            print(path)


if __name__ == "__main__":
    main()
