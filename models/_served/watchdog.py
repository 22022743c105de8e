"""Runs a server and ends it, with all of its children, as soon as the process that wanted it is gone.

    python watchdog.py PIPE LOG COMMAND...

PIPE is the number of an inherited descriptor whose other end the parent holds: at its end, whatever ended the parent,
the server is told to stop, and killed if it does not. On Linux orphans of the server fall to this process instead of
init, and the server dies with it. A script of the standard library and psutil, so that it starts at once.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 5.0
"""For the server to end by itself after it was told to."""
LOOK_SECONDS = 0.1


def main() -> int:
    """Run the command until it ends or the pipe does; returns its exit code."""
    pipe, log, command = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the pipe alone says when it is over
    _control(PR_SET_CHILD_SUBREAPER, 1)
    with log.open("ab") as stream:
        server = subprocess.Popen(  # noqa: S603 - the command of an engine of ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            preexec_fn=_prepare,  # noqa: PLW1509 - no threads here
        )
    os.set_blocking(pipe, False)
    while server.poll() is None:
        ready, _, _ = select.select([pipe], [], [], LOOK_SECONDS)
        if ready and os.read(pipe, 1) == b"":
            server.terminate()
            _await(server)
            break
    _end_all()
    code = server.wait()
    return code if code >= 0 else 128 - code  # of a signal, as shells say it


def _prepare() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _control(PR_SET_PDEATHSIG, signal.SIGKILL)


def _control(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _await(server: subprocess.Popen[bytes]) -> None:
    try:
        server.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()


def _end_all() -> None:
    """Kill whatever the server has started and left, until nothing is left."""
    deadline = time.monotonic() + GRACE_SECONDS
    while children := psutil.Process().children(recursive=True):
        for child in children:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(children, timeout=1.0)
        if time.monotonic() > deadline:
            return


if __name__ == "__main__":
    sys.exit(main())
