"""R12: a lock that is none: judged at once where no run can have written it, else the wait is said."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from xlingual import lease as leases
from xlingual.cli import run_command
from xlingual.errors import EnvironmentFault
from xlingual.lease import LOCK, lock_folder

SECONDS = 5.0
EVAL = ["eval", "-m", "oracle", "-t", "xquad/zh", "--data", "sample", "--progress", "none"]


def linked(path: Path) -> None:
    path.with_name("other").write_bytes(b"\xff")
    path.symlink_to("other")


STRANGE: dict[str, Callable[[Path], object]] = {
    "binary": lambda path: path.write_bytes(bytes(range(255, -1, -1)) * 16),
    "a megabyte": lambda path: path.write_bytes(b"x" * 2**20),
    "deep": lambda path: path.write_bytes(b'["' * 100_000),
    "words": lambda path: path.write_text("in use\n", encoding="utf-8"),
    "a number": lambda path: path.write_text("4711\n", encoding="utf-8"),
    "a link to one": linked,
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_lock_that_no_run_has_written_is_taken_over_at_once(kind: str, tmp_path: Path) -> None:
    STRANGE[kind](tmp_path / LOCK)
    before, notes = time.monotonic(), list[str]()
    with lock_folder(tmp_path, notes.append) as lease:
        lease.check()
        assert lease.note == "took over a lock that no run has written"
    assert time.monotonic() - before < SECONDS
    assert notes == []
    assert not (tmp_path / LOCK).exists()


OTHER: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (lambda path: path.mkdir(), "is no regular file"),
    "a pipe": (os.mkfifo, "is no regular file"),
    "a link to a folder": (lambda path: path.symlink_to("."), "is no regular file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is no regular file"),
}


@pytest.mark.parametrize("kind", OTHER)
def test_a_lock_that_is_no_file_is_named(kind: str, tmp_path: Path) -> None:
    make, what = OTHER[kind]
    make(tmp_path / LOCK)
    before = time.monotonic()
    with pytest.raises(EnvironmentFault, match=what) as caught, lock_folder(tmp_path):
        pass
    assert time.monotonic() - before < SECONDS
    assert str(tmp_path / LOCK) in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"{", b'{"pid": 1', b'{"pid": "x"}\n', b"{}\n"], ids=repr)
def test_a_lock_that_a_run_may_be_writing_is_watched_and_the_wait_is_said(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a network file system a lock may be seen before all of it is there."""
    monkeypatch.setattr(leases, "STALE_SECONDS", 1.0)
    (tmp_path / LOCK).write_bytes(content)
    notes: list[str] = []
    with lock_folder(tmp_path, notes.append):
        pass
    assert len(notes) == 1
    assert notes[0].startswith("waiting up to 1 s to see whether")


def test_a_lock_of_a_terabyte_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "STALE_SECONDS", 1.0)
    with (tmp_path / LOCK).open("wb") as stream:
        stream.truncate(2**40)
    before = time.monotonic()
    with lock_folder(tmp_path) as lease:
        lease.check()
    assert time.monotonic() - before < SECONDS


def test_the_command_line_says_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([*EVAL, "-o", str(tmp_path)]) == 0
    [results] = tmp_path.rglob("results.json")
    lock = results.with_name(LOCK)
    lock.mkdir()
    capsys.readouterr()
    for words in ([*EVAL, "-o", str(tmp_path)], ["score", str(results.parent), "--data", "sample"]):
        assert run_command(words) == 5
        assert capsys.readouterr().err.startswith(f"error: {lock}: is no regular file\nhint: ")
