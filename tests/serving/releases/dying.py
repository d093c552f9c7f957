"""Run something in a forked process that dies, killed, at one chosen change of the file system."""

import os
import signal
import sys
import traceback
from collections.abc import Callable

# Audit events of the standard library; each is heard just before the change happens.
CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def dies_at(moment: int, work: Callable[[Callable[[], None]], object]) -> bool:
    """Whether the process died at that change, counted from 1; False when it ended before, its work done.

    work: is given a function that it may call for one more moment of its own
    """
    child = os.fork()
    if child == 0:
        _work(moment, work)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the step failed, its traceback is above"
    return os.WIFSIGNALED(status)


def _work(moment: int, work: Callable[[Callable[[], None]], object]) -> None:
    """In the child: never returns."""
    passed = 0

    def pass_by() -> None:
        nonlocal passed
        passed += 1
        if passed == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(event: str, arguments: tuple) -> None:
        if event in CHANGES or (event == "open" and arguments[2] & WRITING):
            pass_by()

    sys.addaudithook(hear)
    try:
        work(pass_by)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
