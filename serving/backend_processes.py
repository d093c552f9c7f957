"""Notice a python backend process that crashed under a server that lives on."""

import logging
import time
from collections.abc import Callable

from serving.processes import Stub, deserted, stubs
from serving.server import Options, is_version_ready

BACKEND_POLL_S = 0.5

log = logging.getLogger("serving.supervisor")


class BackendProcesses:
    """The python backend processes of a server.

    Once one is gone, Triton 2.51 answers "Stub process is not healthy" for ever and still calls it ready.
    """

    def __init__(self, options: Options, can_spare: Callable[[Stub], bool] = lambda stub: False) -> None:
        """can_spare: whether the server is better off without that one than restarted for it."""
        self._options = options
        self._can_spare = can_spare
        self._spared: set[Stub] = set()
        self._known = stubs(options.shm_prefix)
        self._suspects: set[str] = set()
        self._looked = time.monotonic()

    def lost(self) -> str:
        """Names of those that crashed; empty when none did, or when it is too early to look again.

        One that dies while its version loads is none of ours: the server refuses the load and cleans up.
        """
        if time.monotonic() - self._looked < BACKEND_POLL_S:
            return ""
        self._looked = time.monotonic()
        self._known |= stubs(self._options.shm_prefix)
        # Two looks in a row must agree: a reload takes the old process away a moment before its region.
        gone = deserted(self._options.shm_prefix) & set(self._known)
        gone, self._suspects = gone & self._suspects, gone
        stubs_gone = [self._known[name] for name in gone]
        missed = [stub for stub in stubs_gone if is_version_ready(self._options, stub.model, stub.version)]
        spared = set(filter(self._can_spare, missed))
        for stub in spared - self._spared:
            log.warning("%s died; no answer needs version %s of %s", stub, stub.version, stub.model)
        self._spared |= spared
        missed = [stub for stub in missed if stub not in spared]
        return ", ".join(sorted(map(str, missed)))
