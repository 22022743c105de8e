"""Leases: a folder is written by one run at a time, whatever hosts, containers and clocks are between two of them.

    lock      {"host": "pod-a", "pid": 1, "space": "...", "started": ..., "ticks": ..., "token": "5f0c...", "at": "..."}
              00000000000000000042                       beats, every BEAT_SECONDS

Who wants a folder that is held looks at the holder. A process of this machine that is gone has lost its lease at once.
Any other is watched: while it beats it lives, and the folder is refused; when it has not beaten for STALE_SECONDS by
the clock of the one who watches, the lease is taken over. So no clock is compared with another's, nor a clock with
itself after it was set, and a pod that comes back under another name goes on with its run. A call that holds the
interpreter for STALE_SECONDS, which lets no thread beat, loses the lease to a run of another host or container that
waits for it.

A holder reads the file again before each answer, result and checkpoint it writes, and before it moves earlier ones
aside (`Lease.check`). One that was stopped, or cut off, and wakes up after its lease was taken ends there. What it was
in the middle of writing at that moment may still be written: a whole line of a journal, which then stands there twice.

A file with a token is used, since flock does nothing on some network file systems. Made for local disks and NFS: it
needs files that are created exclusively, renamed at once, and read anew once they are opened again.
"""

import os
import platform
import stat
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from .errors import DataError, EnvironmentFault
from .files import disk_fault, parse_object, remove_file
from .identity import Json, canonical_json
from .provenance import timestamp
from .threads import start_thread

LOCK = "lock"
BEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
"""Twelve beats: a heartbeat that waits for a busy processor or a slow disk is not taken for dead."""
_WATCH_SECONDS = 1.0
_PAUSE_SECONDS = 0.2
LONGEST = 2**14
"""Bytes of a lock that are read; ours have some 300."""
_GLANCES = 3 * _WATCH_SECONDS
"""Seconds between two looks at a lock count for so much, at most: a machine that slept saw nobody fail to beat."""
_TOKEN = uuid.uuid4().hex
"""Of this process."""
_silent: set[str] = set()
"""Tokens of processes that were seen not to beat: their other folders need not be watched."""


def _forked() -> None:
    """Give a process that was forked a token of its own: it does not hold what its parent holds."""
    global _TOKEN, _heartbeat  # noqa: PLW0603 (of this process)
    _TOKEN = uuid.uuid4().hex
    _heartbeat = _Heartbeat()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holder:
    """What a lock says of the run that wrote it; "" and 0 where it does not."""

    pid: int = 0
    host: str = ""
    space: str = ""
    started: float = 0.0
    """By the clock of its machine, which may have been set since."""
    ticks: int = 0
    """Since its machine was started."""
    token: str = ""

    @property
    def name(self) -> str:
        """For messages."""
        return f"pid {self.pid} on {self.host or 'an unknown host'}"


@dataclass(slots=True, eq=False)
class Lease:
    """The right to write to a folder, kept by a heartbeat."""

    path: Path
    token: str
    note: str | None
    """Whose lease was taken over; None where there was none."""
    _head: bytes
    """The first line of the file; the beats stand behind it."""

    def check(self) -> None:
        """Raise EnvironmentFault where another run has taken the folder over, or this one is a fork of the holder."""
        content = _read(self.path)
        if content is None:  # one who was late may hold it for a moment, to give it back: see `_evict`
            time.sleep(_PAUSE_SECONDS)
            content = _read(self.path)
        if content is not None and content.startswith(self._head) and self.token == _TOKEN:
            return
        holder = _Holder() if content is None else _read_holder(content, self.path)
        if holder.token != self.token or self.token != _TOKEN:
            who = f"{holder.name} has taken this folder over" if holder.pid else "its lock was deleted"
            raise EnvironmentFault(
                f"{who}: this run writes nothing more",
                where=str(self.path.parent),
                hint="all answers so far are kept; the same command again goes on once the other run has ended",
            )

    def beat(self, count: int) -> None:
        """Write down that this run lives, where the file is still this run's; OSError where that fails.

        The file is opened each time: a run of a thousand tasks would run out of descriptors, and network file systems
        pass on what was written when it is closed.
        """
        descriptor = os.open(self.path, os.O_RDWR)
        try:
            if os.pread(descriptor, len(self._head), 0) == self._head:
                os.pwrite(descriptor, b"%020d\n" % count, len(self._head))
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """End the heartbeat, and remove the lock where it is still this run's; in a fork of the run, do nothing."""
        if self.token != _TOKEN:
            return
        is_over = False
        try:
            self._remove()
            is_over = True
        finally:
            if not is_over:  # a signal came in the middle; the next one ends the process
                self._remove()

    def _remove(self) -> None:
        _heartbeat.leave(self)
        for _ in range(2):  # what fails once would keep runs on other hosts waiting for STALE_SECONDS
            with suppress(OSError, EnvironmentFault):
                if _read_holder(_read(self.path) or b"", self.path).token == self.token:
                    self.path.unlink(missing_ok=True)
                return


class _Heartbeat:
    """Beats for all leases of this process, from one thread."""

    def __init__(self) -> None:
        """Begin without a lease."""
        self._leases: list[Lease] = []
        self._changing = threading.Lock()
        self._ended = threading.Event()

    def join(self, lease: Lease) -> None:
        """Beat for `lease` from now on."""
        with self._changing:
            self._leases.append(lease)
            if len(self._leases) == 1:
                self._ended = threading.Event()
                start_thread(self._keep_beating, "leases", self._ended)

    def leave(self, lease: Lease) -> None:
        """Beat for `lease` no more."""
        with self._changing:
            if lease in self._leases:
                self._leases.remove(lease)
            if not self._leases:
                self._ended.set()

    def _keep_beating(self, ended: threading.Event) -> None:
        count = 1
        while not ended.wait(BEAT_SECONDS):
            for lease in tuple(self._leases):
                with suppress(OSError):  # a full disk ends no heartbeat; a lease that is lost shows in `check`
                    lease.beat(count)
            count += 1


_heartbeat = _Heartbeat()


@contextmanager
def lock_folder(folder: Path, note: Callable[[str], None] = lambda _: None) -> Iterator[Lease]:
    """Hold the lease of a folder; `note` is told where a holder is watched, which takes up to STALE_SECONDS.

    Raises EnvironmentFault naming the holder where a live run has it.
    """
    made: list[Lease] = []
    try:
        yield _take(folder / LOCK, note, made)
    finally:
        for lease in made:
            lease.release()


def _take(path: Path, note: Callable[[str], None], made: list[Lease]) -> Lease:
    """Make the lock and return its lease, put into `made` as well: a signal may come before it is returned."""
    holder: Json = {
        "host": platform.node(),
        "pid": os.getpid(),
        "space": _space(),
        "started": _started(os.getpid()),
        "ticks": _ticks(os.getpid()),
        "token": _TOKEN,
        "at": timestamp(),
    }
    head = (canonical_json(holder) + "\n").encode()
    taken = None
    for _ in range(3):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        except FileExistsError:
            taken = _evict(path, note)
            continue
        except OSError as error:
            raise disk_fault(error, path) from error
        lease = Lease(path, _TOKEN, taken, head)
        is_whole = False
        try:
            try:
                left = memoryview(head)
                while left:  # a disk that is nearly full takes a part
                    left = left[os.pwrite(descriptor, left, len(head) - len(left)) :]
            finally:
                os.close(descriptor)
            lease.beat(0)
            made.append(lease)
            is_whole = True
        except OSError as error:
            raise disk_fault(error, path) from error
        finally:  # a full disk, or a signal
            if not is_whole:
                remove_file(path)
        _heartbeat.join(lease)
        return lease
    raise EnvironmentFault("another run keeps taking the lock", where=str(path), hint="wait for it to end")


def _evict(path: Path, note: Callable[[str], None]) -> str | None:
    """Remove the lock of a run that is gone and say so; EnvironmentFault where it lives."""
    content = _read(path)
    if content is None:
        return None
    holder = _read_holder(content, path)
    # On some file systems a lock that is being written is zeros for a moment.
    strange = bool(content) and not content.startswith((b"{", b"\0"))
    if not strange and _is_near(holder) and _lives(holder):
        raise _in_use(path, holder)
    if not strange and (not _is_near(holder) or _is_stopped(holder)):
        content = _watch(path, content, holder, note)
        if content is None:
            return None
    aside = path.with_name(f"{LOCK}.{_TOKEN}.stale")
    try:
        path.rename(aside)
        is_other = _read(aside) != content
        if is_other:  # another run was quicker: give its fresh lock back
            aside.rename(path)
        else:
            remove_file(aside)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk_fault(error, path) from error
    if is_other:
        raise EnvironmentFault("another run has just taken it over", where=str(path.parent), hint="wait for it to end")
    if strange:  # whoever held it before it was damaged has lost it: see `Lease.check`
        return "took over a lock that no run has written"
    return f"took over the lock of {holder.name}, which is gone"


def _watch(path: Path, content: bytes, holder: _Holder, note: Callable[[str], None]) -> bytes | None:
    """Return the lock of a holder that does not beat; None where it went away, EnvironmentFault where it beats."""
    if holder.token and holder.token in _silent:
        return content
    note(f"waiting up to {STALE_SECONDS:.0f} s to see whether {holder.name}, which holds {path.parent}, is still alive")
    watched, looked = 0.0, time.monotonic()
    while watched < STALE_SECONDS:
        time.sleep(min(_WATCH_SECONDS, STALE_SECONDS / 4))
        before, looked = looked, time.monotonic()
        watched += min(looked - before, _GLANCES)
        now = _read(path)
        if now is None:
            return None
        if now != content:
            raise _in_use(path, _read_holder(now, path))
    if holder.token:
        _silent.add(holder.token)
    return content


def _in_use(path: Path, holder: _Holder) -> EnvironmentFault:
    return EnvironmentFault(f"in use by {holder.name}", where=str(path.parent), hint="wait for it to end")


def _read(path: Path) -> bytes | None:
    """Return what a lock holds, as far as it can be one of ours; None where there is none.

    Raises EnvironmentFault for a folder, a pipe or a device, which could be read for ever.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            content = os.read(descriptor, LONGEST) if is_file else b""
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk_fault(error, path) from error
    if not is_file:
        raise EnvironmentFault("is no regular file", where=str(path), hint="remove it: runs keep their lock there")
    return content


def _read_holder(content: bytes, path: Path) -> _Holder:
    """Return who wrote a lock; an empty holder for what is no lock of ours."""
    try:
        found = parse_object(content.partition(b"\n")[0], str(path), 1)
    except DataError:
        return _Holder()
    match found:
        case {"pid": int(pid), "host": str(host), "started": int(started) | float(started)}:
            space, token, ticks = found.get("space"), found.get("token"), found.get("ticks")
            return _Holder(
                pid=pid,
                host=host,
                space=space if isinstance(space, str) else "",
                started=float(started),
                ticks=ticks if isinstance(ticks, int) else 0,
                token=token if isinstance(token, str) else "",
            )
    return _Holder()


def _space() -> str:
    """Return where a process number means one process, start of the machine and pid namespace; "" where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _is_near(holder: _Holder) -> bool:
    """Return whether the holder's process number can be looked up here."""
    if not holder.pid:
        return False
    space = _space()
    return holder.space == space if space else holder.host == platform.node()


def _lives(holder: _Holder) -> bool:
    return _is_there(holder) and not _is_stopped(holder)


def _is_there(holder: _Holder) -> bool:
    """Return whether the process that wrote the lock is one of this machine, and has not ended."""
    started = _started(holder.pid)
    if started and holder.ticks and (ticks := _ticks(holder.pid)):
        return ticks == holder.ticks
    return abs(started - holder.started) < 2


def _is_stopped(holder: _Holder) -> bool:
    """Return whether the holder is a process of this machine that is stopped: it neither beats nor is gone."""
    try:
        return psutil.Process(holder.pid).status() == psutil.STATUS_STOPPED and _is_there(holder)
    except psutil.Error:
        return False


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


def _ticks(pid: int) -> int:
    """Return when the process began, in ticks of the kernel since the machine was started; 0 where that is not told.

    `_started` follows the machine's clock: once that is set, a process seems to have begun at another time.
    """
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
