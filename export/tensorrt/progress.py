"""TensorRT's own account of its phases as a bar; silent where stderr is no terminal."""

from __future__ import annotations

import sys
import threading
from typing import Any

from tqdm import tqdm


def monitor(trt: Any, name: str, shown: bool | None = None) -> Any | None:
    """An IProgressMonitor for `config.progress_monitor`; None where this package has none or nobody looks.

    name: of what is built; shown: None for whether stderr is a terminal
    """
    shown = sys.stderr.isatty() if shown is None else shown
    if not shown or not hasattr(trt, "IProgressMonitor"):
        return None

    class Bars(trt.IProgressMonitor):  # type: ignore[name-defined]
        """One bar, for the phase that began last of those without a parent; its parts are its steps."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._bars: dict[str, tqdm] = {}
            self._lock = threading.Lock()  # TensorRT reports from several threads

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            if parent is None:
                with self._lock:
                    self._bars[phase] = tqdm(total=steps, desc=f"{name}: {phase}", leave=False)

        def step_complete(self, phase: str, step: int) -> bool:
            with self._lock:
                if phase in self._bars:
                    self._bars[phase].update(step + 1 - self._bars[phase].n)
            return True

        def phase_finish(self, phase: str) -> None:
            with self._lock:
                if phase in self._bars:
                    self._bars.pop(phase).close()

    return Bars()
