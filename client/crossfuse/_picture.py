"""One picture of one answer: what was sent, what the server made of it, and where it looked."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from pathlib import Path

from ._errors import CrossfuseError
from ._payloads import Payload
from ._presentations import PRESENTATIONS
from ._results import Answer

EXTRA = {"matplotlib": "matplotlib", "av": "av", "soundfile": "soundfile", "PIL": "pillow"}


def require_extra() -> None:
    """Refuse early when what pictures need is not installed.

    raises: CrossfuseError naming what is missing
    """
    missing = [package for module, package in EXTRA.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise CrossfuseError(
            f"picture: expected {', '.join(EXTRA.values())}, got no {', '.join(missing)}; "
            "pip install 'crossfuse[picture]'"
        )


def save_picture(
    path: str | Path, answer: Answer, payloads: Mapping[str, Payload], *, title: str = ""
) -> Path:
    """Draw an answer beside what was sent, as a PNG 1800 pixels wide.

    payloads: what was passed to `infer`, by modality.  returns: the path written
    raises: CrossfuseError when the extra `picture` is missing, or the file cannot be written
    """
    require_extra()
    target = Path(path)
    from matplotlib import rc_context

    try:
        with rc_context({"text.parse_math": False}), warnings.catch_warnings():  # a $ is a $
            warnings.filterwarnings("ignore", "Glyph .* missing from font")  # it is drawn as a box
            figure = PRESENTATIONS[answer.pipeline].figure(answer, payloads, title)
            figure.savefig(target, format="png", facecolor=figure.get_facecolor())
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise CrossfuseError(
            f"picture: expected a writable file, got {target} ({reason}); choose another place"
        ) from error
    return target
