"""Journals: what survives a kill, a torn write, a full disk and damaged lines."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from xlingual.errors import EnvironmentFault
from xlingual.journal import DAMAGED, SYNC_SECONDS, Journal, open_journal
from xlingual.records import Failure, Finish, Response

TEXTS = ["one", "zwei\u2028drei", "四", "a\ud835b", ""]


def _response(number: int, text: str) -> Response:
    return Response(
        key=f"key{number}", text=text, failure=None, finish=Finish.EOS, prompt_tokens=number, tokens=len(text)
    )


def _write(folder: Path) -> bytes:
    journal = open_journal(folder)
    for number, text in enumerate(TEXTS):
        journal.append(_response(number, text))
    journal.close()
    return journal.path.read_bytes()


def test_answers_come_back(tmp_path: Path) -> None:
    _write(tmp_path)
    journal = open_journal(tmp_path)
    assert [each.text for each in journal.responses.values()] == ["one", "zwei\u2028drei", "四", "a\ufffdb", ""]
    assert journal.torn_bytes == 0


def test_the_last_line_of_a_key_counts(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    failure = Failure(kind="timeout", message="slow")
    journal.append(Response(key="k", text=None, failure=failure, finish=None, prompt_tokens=None, tokens=None))
    journal.append(Response(key="k", text="x", failure=None, finish=None, prompt_tokens=None, tokens=None))
    journal.close()
    assert open_journal(tmp_path).responses["k"].text == "x"


def test_a_journal_cut_at_any_byte_opens_and_goes_on(tmp_path: Path) -> None:
    whole = _write(tmp_path)
    path = tmp_path / "journal.jsonl"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        journal = open_journal(tmp_path)
        complete = whole[:length].count(b"\n")
        assert len(journal.responses) == complete
        assert journal.torn_bytes == length - (whole[:length].rfind(b"\n") + 1)
        journal.append(_response(99, "later"))
        journal.close()
        assert len(open_journal(tmp_path).responses) == complete + 1


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "another answer": (lambda line: line.replace(b"zwei", b"drei"), "does not match its checksum"),
    "nonsense": (lambda line: b"nonsense", "not JSON"),
    "an empty object": (lambda line: b"{}", "not a line of a journal"),
    "a list": (lambda line: b"[]", "not an object"),
    "no UTF-8": (lambda line: b"\xff\xfe", "not JSON"),
    "blank": (lambda line: b"", "not JSON"),
    "NUL bytes": (lambda line: b"\x00" * len(line), "not JSON"),
    "a byte order mark": (lambda line: b"\xef\xbb\xbf" + line, "not JSON"),
    "cut": (lambda line: line[: len(line) // 2], "not JSON"),
    "two in one": (lambda line: line + line, "not JSON"),
    "deep": (lambda line: b"[" * 100_000, "not JSON"),
    "CRLF and more": (lambda line: line + b" x\r", "not JSON"),
}


@pytest.mark.parametrize("place", [0, 1, len(TEXTS) - 1])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_line_is_set_aside_and_the_others_count(tmp_path: Path, damage: str, place: int) -> None:
    change, _ = DAMAGES[damage]
    lines = _write(tmp_path).split(b"\n")
    lines[place] = changed = (
        change(lines[place]) if damage != "another answer" else lines[place].replace(b"key", b"kex")
    )
    (tmp_path / "journal.jsonl").write_bytes(b"\n".join(lines))
    journal = open_journal(tmp_path)
    assert list(journal.responses) == [f"key{number}" for number in range(len(TEXTS)) if number != place]
    assert len(journal.damaged) == 1
    assert journal.damaged[0].startswith(f"line {place + 1}: ")
    assert (tmp_path / DAMAGED).read_bytes() == changed + b"\n"
    journal.append(_response(place, "asked again"))
    journal.close()
    again = open_journal(tmp_path)
    assert (len(again.responses), again.damaged, again.torn_bytes) == (len(TEXTS), (), 0)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_wrong_is_said(tmp_path: Path, damage: str) -> None:
    change, message = DAMAGES[damage]
    lines = _write(tmp_path).split(b"\n")
    lines[1] = change(lines[1])
    (tmp_path / "journal.jsonl").write_bytes(b"\n".join(lines))
    (what,) = open_journal(tmp_path).damaged
    assert what.startswith("line 2: ")
    if damage in ("another answer", "an empty object", "a list"):
        assert message in what


@pytest.mark.parametrize("taken", [0, 1, 7, 60])
def test_a_disk_that_takes_a_part_of_a_line_and_has_room_again_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    journal = open_journal(tmp_path)
    journal.append(_response(0, "one"))
    write = os.write
    full = True

    def write_a_part(descriptor: int, data: bytes) -> int:
        nonlocal full
        if not full:
            return write(descriptor, data)
        if taken and len(data) > taken:
            full = False
            written = write(descriptor, data[:taken])
            monkeypatch.setattr(os, "write", fail)
            return written
        raise OSError(errno.ENOSPC, "No space left on device")

    def fail(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write_a_part)
    with pytest.raises(EnvironmentFault, match="No space left") as caught:
        journal.append(_response(1, "two"))
    assert caught.value.exit_code == 5
    monkeypatch.setattr(os, "write", write)
    journal.append(_response(2, "three"))
    journal.close()
    found = open_journal(tmp_path)
    assert list(found.responses) == ["key0", "key2"]
    assert (found.damaged, found.torn_bytes) == ((), 0)


def test_a_line_in_several_parts_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:5]))
    _write(tmp_path)
    monkeypatch.undo()
    assert len(open_journal(tmp_path).responses) == len(TEXTS)


def test_the_last_answer_reaches_the_disk_though_no_other_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.set())
    journal = open_journal(tmp_path)
    begun = time.monotonic()
    journal.append(_response(0, "one"))
    assert synced.wait(50 * SYNC_SECONDS)
    assert time.monotonic() - begun < 50 * SYNC_SECONDS
    journal.close()


def test_a_sync_that_fails_in_the_background_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    def fail(descriptor: int) -> None:
        failed.set()
        raise OSError(errno.EIO, "Input/output error")

    journal = open_journal(tmp_path)
    monkeypatch.setattr(os, "fsync", fail)
    journal.append(_response(0, "one"))
    assert failed.wait(50 * SYNC_SECONDS)
    with pytest.raises(EnvironmentFault, match="Input/output error"):
        _append_until_it_fails(journal)
    monkeypatch.undo()
    with pytest.raises(EnvironmentFault, match="Input/output error"):
        journal.close()


def test_a_sync_that_fails_after_the_last_answer_is_raised_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel tells of a failed write once: the next fsync says that all is well."""
    failed = threading.Event()

    def fail_once(descriptor: int) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError(errno.EIO, "Input/output error")

    journal = open_journal(tmp_path)
    monkeypatch.setattr(os, "fsync", fail_once)
    journal.append(_response(0, "one"))
    assert failed.wait(50 * SYNC_SECONDS)
    with pytest.raises(EnvironmentFault, match="Input/output error"):
        journal.close()


def test_close_waits_until_everything_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers come while a slow disk takes the ones before them."""
    synced: list[int] = []

    def slow(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        time.sleep(0.1)
        synced.append(size)

    journal = open_journal(tmp_path)
    monkeypatch.setattr(os, "fsync", slow)
    for number in range(30):
        journal.append(_response(number, "x"))
        time.sleep(0.02)
    journal.close()
    assert synced[-1] == (tmp_path / "journal.jsonl").stat().st_size
    assert len(synced) < 12


@pytest.mark.slow
def test_a_thousand_journals_hold_no_thousand_files_and_threads(tmp_path: Path) -> None:
    journals = []
    threads, files = threading.active_count(), len(list(Path("/dev/fd").iterdir()))
    for number in range(1000):
        (tmp_path / str(number)).mkdir()
        journals.append(open_journal(tmp_path / str(number)))
        journals[-1].append(_response(number, "x"))
        if number % 50 == 0:
            time.sleep(2 * SYNC_SECONDS)
    until = time.monotonic() + 20
    while threading.active_count() > threads and time.monotonic() < until:
        time.sleep(0.05)
    assert threading.active_count() <= threads
    assert len(list(Path("/dev/fd").iterdir())) <= files
    for journal in journals:
        journal.append(_response(1001, "y"))
        journal.close()
    assert len(open_journal(tmp_path / "7").responses) == 2


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_a_journal_that_is_gone_while_a_run_writes_to_it_is_an_error(tmp_path: Path, change: str) -> None:
    """What is written to a file without a name is lost when the run ends."""
    journal = open_journal(tmp_path)
    journal.append(_response(0, "one"))
    copy = tmp_path / "copy"
    copy.write_bytes((tmp_path / "journal.jsonl").read_bytes())
    if change == "deleted":
        (tmp_path / "journal.jsonl").unlink()
    else:
        copy.replace(tmp_path / "journal.jsonl")
    with pytest.raises(EnvironmentFault, match="deleted or replaced"):
        journal.append(_response(1, "two"))


def test_a_run_that_lost_its_folder_cuts_nothing_of_the_next_one_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped in the middle of a line that the disk would not take; meanwhile another run took over."""

    def refuse() -> None:
        raise EnvironmentFault("taken over", where=str(tmp_path))

    journal = open_journal(tmp_path)
    journal.append(_response(0, "one"))
    write = os.write

    def stop(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", write)
        journal.guard = refuse
        write(descriptor, bytes(data)[:7])
        other = open_journal(tmp_path)
        other.append(_response(2, "of the other"))
        other.close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", stop)
    with pytest.raises(EnvironmentFault, match="No space left"):
        journal.append(_response(1, "two"))
    assert list(open_journal(tmp_path).responses) == ["key0", "key2"]


def _append_until_it_fails(journal: Journal) -> None:
    for number in range(200):
        journal.append(_response(number, "x"))
        time.sleep(0.02)


def test_nothing_is_written_once_another_run_has_the_folder(tmp_path: Path) -> None:
    def refuse() -> None:
        raise EnvironmentFault("taken over", where=str(tmp_path))

    journal = open_journal(tmp_path)
    journal.append(_response(0, "one"))
    before = (tmp_path / "journal.jsonl").read_bytes()
    journal.guard = refuse
    with pytest.raises(EnvironmentFault, match="taken over"):
        journal.append(_response(1, "two"))
    assert (tmp_path / "journal.jsonl").read_bytes() == before
    assert list(journal.responses) == ["key0"]
    journal.close()


MOUNT = """
import pathlib, sys
from xlingual.errors import EnvironmentFault
from xlingual.journal import open_journal
from xlingual.records import Finish, Response
folder, ballast = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1]) / "ballast"
kept, size = [], 0
for room in range(0, 4096 * 3, 4096):
    ballast.unlink(missing_ok=True)
    journal = open_journal(folder)
    assert (sorted(journal.responses), journal.torn_bytes, journal.damaged) == (sorted(kept), 0, ()), journal
    while True:
        number = len(kept)
        response = Response(
            key=f"k{number}",
            text="x" * (number * 37 % 1500),
            failure=None,
            finish=Finish.EOS,
            prompt_tokens=1,
            tokens=1,
        )
        if not ballast.exists():
            with open(ballast, "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError:
                    pass
                file.truncate(max(0, file.tell() - room))
        try:
            journal.append(response)
        except EnvironmentFault as error:
            assert error.exit_code == 5
            break
        kept.append(response.key)
    journal.close()
print(len(kept))
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount")
def test_a_disk_that_is_full_again_and_again_loses_nothing(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=False)
    if mounted.returncode:
        pytest.skip("mount is not allowed here")
    try:
        words = [sys.executable, "-c", MOUNT, str(tmp_path)]
        finished = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
        assert finished.returncode == 0, finished.stderr
        assert int(finished.stdout) > 3
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
