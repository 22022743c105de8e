"""A process that has imported everything: each command of the fault suite is a fork of it, with a fault or without.

Reads a JSON object a line from standard input and answers each with one:

    {"start": {"words": [...], "folder": ..., ...}}      -> {"pid": 4711}
    {"wait": 4711}                                        -> {"code": 5}, or {"code": -9} for a signal
    {"import": ["xlingual.cli.evaluation", ...]}          -> {"modules": 812}
"""

import importlib
import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from .layer import Fault, FaultLayer

TRACE = 200
"""The descriptor that calls are written down to."""
UNWANTED = ("tests", "__main__", "torch._inductor")


def _become_command(job: dict[str, Any]) -> int:
    """Run the command line in this process as `python -m xlingual` does; return its exit code."""
    os.chdir(job["folder"])
    os.environ.update(job["environment"])
    _redirect(job)
    if job["file_size"]:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_size"],) * 2)
    watched, fault = job["watched"], {**job["fault"], "kinds": tuple(job["fault"]["kinds"])}
    sys.argv = ["xlingual", *job["words"]]
    from xlingual.__main__ import main  # noqa: PLC0415 - in the fork

    if watched:
        FaultLayer(Fault(**fault), watched, TRACE).install()
    try:
        main()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
    return 0


def _redirect(job: dict[str, Any]) -> None:
    """Give this process the streams of the job: a path, "closed", or "pipe" for one that nobody reads."""
    for descriptor, name in ((0, "/dev/null"), (1, job["output"]), (2, job["error"])):
        if name == "closed":
            os.close(descriptor)
            continue
        if name == "pipe":
            reader, opened = os.pipe()
            os.close(reader)
        else:
            opened = os.open(name, os.O_RDWR | os.O_CREAT | (os.O_APPEND if descriptor else 0), 0o644)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)
    opened = os.open(job["trace"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(opened, TRACE, inheritable=False)
    os.close(opened)


def _start(job: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setpgid(0, 0)
        for descriptor in CHANNEL:
            os.close(descriptor)
        code = _become_command(job)
        if job["modules"]:
            Path(job["modules"]).write_text("\n".join(sys.modules), encoding="utf-8")
    except BaseException as error:  # noqa: BLE001 - the border of the fork
        os.write(2, f"Traceback of the fork: {error!r}\n".encode())
    finally:
        os._exit(code)


def _wait(pid: int, seconds: float) -> dict[str, object]:
    """Wait until a fork has ended; kill it after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            return {"code": os.waitstatus_to_exitcode(status), "peak": usage.ru_maxrss}
        if time.monotonic() > until:
            os.killpg(pid, signal.SIGKILL)
            os.wait4(pid, 0)
            return {"code": None, "peak": 0}
        time.sleep(0.002)


def _import(names: list[str]) -> int:
    """Import what a pilot had imported, so that forks need not."""
    for name in names:
        if name not in sys.modules and not name.startswith(UNWANTED):
            try:
                importlib.import_module(name)
            except Exception:  # noqa: BLE001 - names of lazy modules are among them
                continue
    return len(sys.modules)


CHANNEL: list[int] = []


def main() -> None:
    """Answer until standard input ends."""
    CHANNEL[:] = [os.dup(0), os.dup(1)]
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    with os.fdopen(CHANNEL[0], "r", closefd=False) as orders, os.fdopen(CHANNEL[1], "w", closefd=False) as answers:
        for line in orders:
            match json.loads(line):
                case {"start": dict(job)}:
                    answer: object = {"pid": _start(job)}
                case {"wait": int(pid), "seconds": int(seconds)}:
                    answer = _wait(pid, seconds)
                case {"import": list(names)}:
                    answer = {"modules": _import(names)}
                case other:
                    answer = {"unknown": other}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
