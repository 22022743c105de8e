"""Runs a server and ends it, with all of its children, as soon as the process that started it is gone.

    python watchdog.py PIPE LOG COMMAND...

PIPE is the number of an inherited descriptor whose other end the parent holds. When the parent ends, in whatever way,
the pipe does too; the server is then terminated, and killed if that is not enough. On Linux this process adopts the
orphans of the server instead of init, and the server dies with it. A script of the standard library and psutil only, so
that it starts fast.
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
"""For the server to end after SIGTERM."""
POLL_SECONDS = 0.1


def main() -> int:
    """Run the command until it ends or the pipe does; returns its exit code."""
    pipe, log, command = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the pipe ends it
    _control(PR_SET_CHILD_SUBREAPER, 1)
    with log.open("ab") as stream:
        server = subprocess.Popen(  # noqa: S603 - the command of a server program of ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            preexec_fn=_prepare,  # noqa: PLW1509 - no threads here
        )
    os.set_blocking(pipe, False)
    while server.poll() is None:
        ready, _, _ = select.select([pipe], [], [], POLL_SECONDS)
        if ready and os.read(pipe, 1) == b"":
            server.terminate()
            _wait_or_kill(server)
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


def _wait_or_kill(server: subprocess.Popen[bytes]) -> None:
    try:
        server.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()


def _end_all() -> None:
    """Kill all processes that the server has started and left."""
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
