"""The journal of a run: one line an answer, as they come, each with a checksum; the last line of a key counts.

    {"check": "1c9e07aa", "response": {...}}
    {"check": "b0f41d22", "response": {"key": ...            <- a kill or a full disk: cut off, and asked again

A line is written whole or not at all: where a disk takes a part of it, that part is cut off again. A line that is
damaged all the same is set aside in `journal-damaged.jsonl`, named, and its example is asked again; the other answers
count.
"""

import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from .errors import DataError, EnvironmentFault
from .files import disk_fault, open_to_read, parse_object, replace_whole
from .files.json_file import CHANGED
from .identity import canonical_json, content_hash
from .records import Response
from .serial import from_json, to_json
from .threads import start_thread

JOURNAL = "journal.jsonl"
DAMAGED = "journal-damaged.jsonl"
SYNC_SECONDS = 0.2
"""Written answers reach the operating system at once and the disk within this time."""


@dataclass(slots=True, eq=False)
class Journal:
    """The answers of one run: read once, then appended to."""

    path: Path
    responses: dict[str, Response] = field(default_factory=dict)
    """By request key: the newest of each."""
    torn_bytes: int = 0
    """Length of a last line that a kill had cut, dropped at opening."""
    damaged: tuple[str, ...] = ()
    """Lines that were set aside at opening: which, and what is wrong with them."""
    guard: Callable[[], None] = lambda: None
    """Called before each write: raises where another run has taken the folder over."""
    _descriptor: int | None = None
    _is_dirty: bool = False
    _writing: threading.Lock = field(default_factory=threading.Lock)
    _closing: threading.Event = field(default_factory=threading.Event)
    _syncing: threading.Thread | None = None
    """Runs while something is written that has not reached the disk, so that a thousand journals need no thousand."""
    _fault: OSError | None = None
    """Of a sync in the background, raised with the next answer or at the end."""

    def append(self, response: Response) -> None:
        """Add an answer; it survives a kill of this process at once, a power cut after SYNC_SECONDS.

        Raises EnvironmentFault where it cannot be written; the journal is then as it was before.
        """
        line = (canonical_json({"check": _check(response), "response": to_json(response)}) + "\n").encode("utf-8")
        self.guard()
        try:
            with self._writing:
                if self._fault is not None:
                    raise self._fault
                self._write(line)
        except OSError as error:
            raise disk_fault(error, self.path) from error
        self.responses[response.key] = response

    def _write(self, line: bytes) -> None:
        """Append all of `line`, or leave the file as it was."""
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        status = os.fstat(self._descriptor)
        if not status.st_nlink:
            raise OSError(errno.ENOENT, "it was deleted or replaced while the run wrote to it")
        left = memoryview(line)
        self._is_dirty = True
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        finally:
            if left:  # the disk was full, or a signal came between two parts
                self._cut_back(self._descriptor, status.st_size)
        if self._syncing is None:
            self._closing.clear()
            self._syncing = start_thread(self._keep_syncing, "journal")

    def _cut_back(self, descriptor: int, size: int) -> None:
        """Take back what was written of a line, unless another run may have written behind it."""
        with suppress(OSError, EnvironmentFault):
            self.guard()
            os.ftruncate(descriptor, size)

    def _keep_syncing(self) -> None:
        """Force what was written to disk, and close the file once nothing more came meanwhile."""
        while True:
            self._closing.wait(SYNC_SECONDS)
            self._sync()
            with self._writing:
                if self._is_dirty and self._fault is None:
                    continue
                self._release()
                self._syncing = None
                return

    def _sync(self) -> None:
        self._is_dirty = False
        try:
            if self._descriptor is not None:
                os.fsync(self._descriptor)
        except OSError as error:
            self._fault = error

    def _release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        try:
            if descriptor is not None:
                os.close(descriptor)
        except OSError as error:  # network file systems say here what they could not write
            self._fault = self._fault or error

    def close(self) -> None:
        """Force everything to disk and close; safe to call twice. EnvironmentFault where that has failed."""
        self._closing.set()
        if (syncing := self._syncing) is not None:
            syncing.join()
        self._sync()  # a signal may have come before the thread was started
        self._release()
        if self._fault is not None:
            raise disk_fault(self._fault, self.path) from self._fault


def _check(response: Response) -> str:
    return content_hash(to_json(response))[:8]


def open_journal(folder: Path, guard: Callable[[], None] = lambda: None) -> Journal:
    """Read the journal of a run folder that this run holds, empty where there is none yet, and mend it.

    A torn last line is cut off; damaged lines are moved to DAMAGED before the journal is written without them.
    """
    path = folder / JOURNAL
    journal = Journal(path=path, guard=guard)
    try:
        with open_to_read(path) as stream:
            data = stream.read()
    except FileNotFoundError:  # no other failure means that there is none: its answers would be asked for again
        return journal
    except OSError as error:
        raise disk_fault(error, path) from error
    guard()
    whole = data.rfind(b"\n") + 1
    journal.torn_bytes = len(data) - whole
    if journal.torn_bytes:
        _cut_torn(path, whole)
    good: list[bytes] = []
    bad: list[tuple[bytes, str]] = []
    for number, line in enumerate(data[:whole].split(b"\n")[:-1], start=1):
        try:
            response = read_line(line, path, number)
        except DataError as error:
            bad.append((line, f"line {number}: {error.what}"))
            continue
        journal.responses[response.key] = response
        good.append(line)
    if bad:
        _set_aside(folder, [line for line, _ in bad])
        _write_anew(path, good)
        journal.damaged = tuple(what for _, what in bad)
    return journal


def _cut_torn(path: Path, size: int) -> None:
    try:
        with path.open("r+b") as file:
            file.truncate(size)
    except OSError as error:
        raise disk_fault(error, path) from error


def answered_keys(folder: Path) -> frozenset[str]:
    """Return the keys of all requests that have an answer, read beside a run that may be at work: nothing is mended."""
    path = folder / JOURNAL
    if not path.is_file():
        return frozenset()
    failed: dict[str, bool] = {}
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            response = read_line(line, path, number)
        except DataError:  # the run sets it aside
            continue
        failed[response.key] = response.failure is not None
    return frozenset(key for key, is_failed in failed.items() if not is_failed)


def _set_aside(folder: Path, lines: list[bytes]) -> None:
    path = folder / DAMAGED
    try:
        with path.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise disk_fault(error, path) from error


def _write_anew(path: Path, lines: list[bytes]) -> None:
    try:
        with replace_whole(path) as stream:
            stream.writelines(line + b"\n" for line in lines)
    except OSError as error:
        raise disk_fault(error, path) from error


def read_line(line: bytes, path: Path, number: int) -> Response:
    """Return the answer in a line of a journal; DataError naming file and line for one that is damaged."""
    where = f"{path}:{number}"
    entry = parse_object(line, str(path), number)
    if set(entry) != {"check", "response"}:
        raise DataError("not a line of a journal", where=where, hint=CHANGED)
    response = from_json(Response, entry["response"], where=where)
    if entry["check"] != _check(response):
        raise DataError("the line does not match its checksum", where=where, hint=CHANGED)
    return response
