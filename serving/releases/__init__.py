"""Releases: a whole set of engines goes live at once, proven first, and comes back in milliseconds.

    from serving.releases import Releases

    releases = Releases("weld_inspection", url="127.0.0.1:8001", metrics_url="http://127.0.0.1:8002/metrics")
    new = releases.prepare("build/candidate", why="retrained on November's welds")
    if releases.check(new.number).check.passed:
        releases.flip(new.number, why="retrained on November's welds", baseline_s=10)
        print(releases.watch(seconds=60).text)

Or all four in one call, which raises `NotPassed` for a set that is rejected or rolled back:

    releases.run("build/candidate", why="retrained on November's welds")

Every step takes the lock of the repository, first undoes what a crash left half done, and can be repeated;
`Busy` says that somebody else is at work. The same as commands: `python -m serving release --help`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.releases.sequence import NotPassed, Releases
    from serving.releases.store import Busy

__all__ = ["Busy", "NotPassed", "Releases"]

_MODULES = {"Busy": "store", "NotPassed": "sequence", "Releases": "sequence"}


def __getattr__(name: str) -> Any:
    """Import on first use: whoever wants one module of this package need not pay for all."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
