"""Replace this process by a command that the kernel ends when its parent ends.

    python lifeline.py PARENT_PID COMMAND [ARGUMENT ...]

A supervisor that is killed with SIGKILL can stop nothing any more; without this its server would live on,
hold the ports and the shared memory, and nobody would restart it. Run by path: it imports nothing of ours.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(number: signal.Signals) -> None:
    """Have the kernel send `number` when the thread that started this process ends; holds across exec."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0):
        code = ctypes.get_errno()
        raise OSError(code, f"prctl(PR_SET_PDEATHSIG): {os.strerror(code)}")


def main(parent: int, command: list[str]) -> None:
    """Become `command`, unless the parent is gone already."""
    end_with_parent(signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the line above took hold
        sys.exit(f"lifeline: expected parent {parent}, got {os.getppid()}; not starting {command[0]}")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
