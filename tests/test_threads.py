"""A machine that gives no more threads: exit code 5 with a hint, wherever it happens, and nothing is lost."""

import errno
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from xlingual.cli import run_command
from xlingual.cli.uncaught import explain_uncaught
from xlingual.errors import EnvironmentFault
from xlingual.lease import LOCK
from xlingual.threads import start_thread

EVAL = ["eval", "-m", "oracle", "-t", "xquad/zh", "--data", "sample", "--progress", "none"]


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the Nth start of a thread fail, and all after it."""
    started = 0
    start = threading.Thread.start

    def allow(count: int) -> None:
        def limited(self: threading.Thread) -> None:
            nonlocal started
            started += 1
            if started >= count:
                raise RuntimeError("can't start new thread")
            start(self)

        monkeypatch.setattr(threading.Thread, "start", limited)

    return allow


@pytest.mark.parametrize("count", [1, 2])
def test_a_run_without_a_thread_ends_in_order_and_goes_on_later(
    count: int,
    fails: Callable[[int], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first is the heartbeat of the lease, the second syncs the journal."""
    fails(count)
    assert run_command([*EVAL, "-o", str(tmp_path)]) == 5
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert error == "error: threads: the machine gives no more threads"
    assert "ulimit -u" in hint
    assert not list(tmp_path.rglob(LOCK))
    monkeypatch.undo()
    assert run_command([*EVAL, "-o", str(tmp_path), "--json"]) == 0
    [record] = json.loads(capsys.readouterr().out)["runs"]
    assert record["counts"]["answered"] == record["protocol"]["n"]


def test_a_thread_that_cannot_be_started(fails: Callable[[int], None]) -> None:
    fails(1)
    with pytest.raises(EnvironmentFault, match="no more threads"):
        start_thread(lambda: None, "x")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("can't start new thread"), "threads: the machine gives no more threads"),
        (MemoryError(), "the memory is not enough"),
        (OSError(errno.EMFILE, "Too many open files", "a.json"), "a.json: Too many open files"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "Resource temporarily unavailable"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_the_machine_refuses_is_its_fault(error: Exception, said: str) -> None:
    found = explain_uncaught(error)
    assert (found.exit_code, str(found)) == (5, said)
    assert found.hint


@pytest.mark.parametrize("error", [RuntimeError("odd"), KeyError("x")])
def test_all_else_is_a_bug(error: Exception) -> None:
    assert explain_uncaught(error).exit_code == 70
