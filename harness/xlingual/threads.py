"""Threads of ours, and what it means where the machine gives none."""

import threading
from collections.abc import Callable

from .errors import EnvironmentFault

NO_THREAD = "can't start new thread"
"""What Python says where the machine, or a limit of it, gives no more."""
HINT = "ulimit -u, or the pids limit of a container, allows too few; the same command goes on where it was"


def start_thread(work: Callable[..., None], name: str, *given: object) -> threading.Thread:
    """Return a daemon thread that runs `work` on what is `given`; EnvironmentFault where there can be no more."""
    thread = threading.Thread(target=work, args=given, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise no_thread() from error
    return thread


def no_thread() -> EnvironmentFault:
    """Return the error of a machine that gives no more threads."""
    return EnvironmentFault("the machine gives no more threads", where="threads", hint=HINT)
