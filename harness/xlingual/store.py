"""Run folders: an append-only journal of answers, a lock, and summary files that are replaced whole.

    OUT/MODEL-xxxxxxxx/TASK-xxxxxxxx/
        run.json                 who and what: model and task in full, before the first answer
        journal.jsonl            one line an answer, as they come; the last line of a key counts
        samples.jsonl            one line an example: prompt, answer, statistics (samples-limit-1-40.jsonl with a limit)
        results.json             the RunRecord (results-limit-1-40.json with a limit)
        lock                     pid and host of the run at work
        before-20250131T120000/  what `--fresh` moved aside: kept, and read by nothing that walks through runs

A torn last line of the journal, left by a kill, is dropped and reported; any other bad line is an error.
"""

import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from .errors import DataError, EnvironmentFault
from .files import disk_fault, parse_object, read_json_lines
from .files.json_file import CHANGED
from .identity import Json, canonical_json, content_hash
from .provenance import timestamp
from .records import Response
from .serial import from_json, to_json

JOURNAL = "journal.jsonl"
LOCK = "lock"
_UNFINISHED = "-unfinished"
_EARLIER = re.compile(rf"before-\d{{8}}T\d{{6}}(-\d{{1,7}})?({_UNFINISHED})?")
"""Name of a folder that `--fresh` moved earlier answers and results to, with the time: nothing else is called so.

Not even a model: folders of models and plans end in a hyphen and eight hexadecimal digits.
"""
SYNC_SECONDS = 0.2
"""Written answers reach the operating system at once and the disk within this time."""
NEEDED_BYTES = 16 * 2**20


def prepare_folder(folder: Path) -> None:
    """Make `folder`, and find out before any model is loaded whether it can be written and has room."""
    probe = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise disk_fault(error, folder) from error
    if free < NEEDED_BYTES:
        raise EnvironmentFault(
            f"only {free} bytes are free", where=str(folder), hint="make room or choose another --out"
        )


@dataclass(slots=True)
class Journal:
    """The answers of one run: read once, then appended to."""

    path: Path
    responses: dict[str, Response] = field(default_factory=dict)
    """By request key: the newest of each."""
    torn_bytes: int = 0
    """Length of a last line that a kill had cut, dropped at opening."""
    _file: IO[bytes] | None = None
    _synced: float = 0.0

    def append(self, response: Response) -> None:
        """Add an answer; it survives a kill of this process at once, a power cut within SYNC_SECONDS."""
        line = canonical_json({"check": _check(response), "response": to_json(response)}) + "\n"
        try:
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
            self._file.write(line.encode("utf-8"))
            if time.monotonic() - self._synced >= SYNC_SECONDS:
                self.sync()
        except OSError as error:
            raise disk_fault(error, self.path) from error
        self.responses[response.key] = response

    def sync(self) -> None:
        """Force everything appended so far to disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        """Sync and close; safe to call twice."""
        if self._file is not None:
            try:
                self.sync()
            finally:
                self._file.close()
                self._file = None


def _check(response: Response) -> str:
    return content_hash(to_json(response))[:8]


def open_journal(folder: Path) -> Journal:
    """Read the journal of a run folder, empty where there is none yet, and cut off a torn last line."""
    path = folder / JOURNAL
    journal = Journal(path=path)
    if not path.exists():
        return journal
    try:
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        journal.torn_bytes = len(data) - whole
        if journal.torn_bytes:
            with path.open("r+b") as file:
                file.truncate(whole)
    except OSError as error:
        raise disk_fault(error, path) from error
    for number, line in enumerate(data[:whole].split(b"\n")[:-1], start=1):
        response = _read_line(line, path, number)
        journal.responses[response.key] = response
    return journal


def answered_keys(folder: Path) -> frozenset[str]:
    """Return the keys of all requests that have an answer, read beside a run that may be at work: nothing is mended."""
    path = folder / JOURNAL
    if not path.is_file():
        return frozenset()
    failed: dict[str, bool] = {}
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        response = _read_line(line, path, number)
        failed[response.key] = response.failure is not None
    return frozenset(key for key, is_failed in failed.items() if not is_failed)


def _read_line(line: bytes, path: Path, number: int) -> Response:
    where = f"{path}:{number}"
    entry = parse_object(line, str(path), number)
    if set(entry) != {"check", "response"}:
        raise DataError("not a line of a journal", where=where, hint=CHANGED)
    response = from_json(Response, entry["response"], where=where)
    if entry["check"] != _check(response):
        raise DataError("the line does not match its checksum", where=where, hint=CHANGED)
    return response


def read_samples(folder: Path) -> list[Mapping[str, Json]]:
    """Return the lines of a run's `samples.jsonl`; DataError naming the first without id, cluster and statistics."""
    path = folder / "samples.jsonl"
    samples = read_json_lines(path)
    for number, sample in enumerate(samples, start=1):
        match sample:
            case {"id": str(), "cluster": str(), "statistics": dict()}:
                continue
        raise DataError("not a line of samples", where=f"{path}:{number}", hint=CHANGED)
    return samples


def is_earlier(folder: Path) -> bool:
    """Return whether `folder` holds what `--fresh` moved aside."""
    return _EARLIER.fullmatch(folder.name) is not None


def is_half_moved(folder: Path) -> bool:
    """Return whether a kill has stopped `move_aside` in `folder`: what is left there is to be moved before all else."""
    return _half_moved(folder) is not None


def move_aside(folder: Path, paths: Sequence[Path]) -> None:
    """Move `paths` to a new folder in `folder`, so that nothing is written over; none for no paths.

    Its first name says that it is unfinished. From then on nothing in `folder` is read as a result, so that a kill
    between two moves leaves no half of a run; the next move goes on where it was.
    """
    unfinished = _half_moved(folder)
    if not paths and unfinished is None:
        return
    target = (
        _new_place(folder) if unfinished is None else unfinished.with_name(unfinished.name.removesuffix(_UNFINISHED))
    )
    unfinished = unfinished or target.with_name(target.name + _UNFINISHED)
    try:
        unfinished.mkdir(exist_ok=True)
        for path in paths:
            path.rename(unfinished / path.name)
        unfinished.rename(target)
    except OSError as error:
        raise disk_fault(error, target) from error


def _half_moved(folder: Path) -> Path | None:
    return next((path for path in sorted(folder.glob(f"before-*{_UNFINISHED}")) if is_earlier(path)), None)


def _new_place(folder: Path) -> Path:
    name = f"before-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    target, number = folder / name, 1
    while target.exists():
        number += 1
        target = folder / f"{name}-{number}"
    return target


def walk_runs(root: Path, on_error: Callable[[OSError], object] | None = None) -> Iterator[Path]:
    """Yield every file below `root`, folder by folder in order of their names, but for what is no result any more.

    Left out is what `--fresh` moved aside, or was about to when it was killed, finished again or not, and what lies
    behind links to folders. A `root` that was moved aside is walked: who names such a folder means it. Folders that
    cannot be read are passed to `on_error`.
    """
    for place, folders, names in os.walk(root, onerror=on_error):
        if any(name.endswith(_UNFINISHED) and is_earlier(Path(name)) for name in folders):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not is_earlier(Path(name)))
        yield from (Path(place, name) for name in sorted(names))


@contextmanager
def lock_folder(folder: Path) -> Iterator[str | None]:
    """Hold the folder's lock; yields a note where the lock of a dead run was taken over.

    Raises EnvironmentFault naming the holder where a live run has it. A lock file with pid and host is used, since
    flock does nothing on some network file systems.
    """
    path = folder / LOCK
    note = _take_lock(path)
    try:
        yield note
    finally:
        path.unlink(missing_ok=True)


def _take_lock(path: Path) -> str | None:
    mine = canonical_json(
        {"pid": os.getpid(), "host": platform.node(), "started": _started(os.getpid()), "at": timestamp()}
    )
    note = None
    for _ in range(3):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            note = _evict_dead(path)
            continue
        except OSError as error:
            raise disk_fault(error, path) from error
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(mine)
        return note
    raise EnvironmentFault("another run keeps taking the lock", where=str(path), hint="wait for it to end")


def _evict_dead(path: Path) -> str | None:
    """Remove the lock of a run that is gone and say so; EnvironmentFault where it may be alive."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    pid, host, started = _holder(content, path)
    who = f"pid {pid} on {host or 'an unknown host'}"
    unreadable_but_fresh = pid == 0 and time.time() - path.stat().st_mtime < 5
    if unreadable_but_fresh or (pid and (host != platform.node() or abs(_started(pid) - started) < 2)):
        raise EnvironmentFault(
            f"in use by {who}", where=str(path.parent), hint=f"wait for it, or delete {path} if that run is gone"
        )
    aside = path.with_name(f"{LOCK}.{os.getpid()}.stale")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return None
    if aside.read_bytes() != content:  # a third run was quicker: give its fresh lock back
        aside.rename(path)
        raise EnvironmentFault("another run has just taken it over", where=str(path.parent), hint="wait for it to end")
    aside.unlink()
    return f"took over the lock of {who}, which is gone"


def _holder(content: bytes, path: Path) -> tuple[int, str, float]:
    """Return process, host and start of the run that wrote a lock; 0, "" and 0.0 for a lock that is none of ours."""
    try:
        holder = parse_object(content, str(path), 1)
    except DataError:
        return 0, "", 0.0
    match holder:
        case {"pid": int(pid), "host": str(host), "started": int(started) | float(started)}:
            return pid, host, float(started)
    return 0, "", 0.0


def _started(pid: int) -> float:
    """Return when the process began, seconds since the epoch; 0.0 where there is none, so that a reused pid shows.

    One that has ended and that its parent has not asked about, a zombie, is gone as well: where the first process of a
    container asks about nothing, a killed run would hold its lock for ever.
    """
    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return 0.0
