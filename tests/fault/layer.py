"""Calls to the file system that fail, stop half way, or kill the process: the n-th one, in one process.

    layer = FaultLayer(Fault(at=7, action="ENOSPC"), watched=["/some/folder"], trace=3)
    layer.install()          # from here on the seventh call below /some/folder fails

Python's own calls go through it: `open`, `os.open`, `read`, `write`, `fsync`, `rename`, `mkdir`, `unlink` and so on.
What libraries in C write by themselves does not; full disks of `test_full_disk.py` are real, and meet those too.
"""
# ruff: noqa: ANN401 - arguments of calls of the system are passed on as they are

import _io
import builtins
import errno
import fcntl
import io
import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

Real = Callable[..., Any]
KINDS = ("open", "create", "read", "write", "fsync", "close", "rename", "mkdir", "unlink", "truncate", "stat", "list")
CHANGING = frozenset({"create", "write", "fsync", "close", "rename", "mkdir", "unlink", "truncate"})
"""Kinds of calls that change a disk; `open` is to read, `create` to write, `close` is of what was written."""
HEARTBEAT = "leases"
"""The thread whose calls are not counted: how often it beats depends on how busy the machine is."""
_TAKE_ROOM = frozenset({"create", "write", "fsync", "mkdir"})
ERRORS: dict[str, tuple[str, ...]] = {
    "open": ("EIO", "EACCES", "EMFILE", "ESTALE"),
    "create": ("ENOSPC", "EACCES", "EROFS", "EIO"),
    "read": ("EIO", "ESTALE"),
    "write": ("ENOSPC", "EIO", "short", "EDQUOT", "part"),
    "fsync": ("EIO", "ENOSPC"),
    "close": ("EIO", "EDQUOT"),
    "rename": ("EACCES", "EIO", "ENOSPC"),
    "mkdir": ("ENOSPC", "EACCES", "EROFS"),
    "unlink": ("EACCES", "EIO", "EROFS"),
    "truncate": ("EIO", "EACCES"),
    "stat": ("EIO", "EACCES", "ESTALE"),
    "list": ("EACCES", "EIO"),
}
"""What each kind fails with. `short`: half is taken and said to be. `part`: half is taken, then the disk is full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What becomes of one call."""

    at: int = 0
    """The number of the call, from 1; 0: of none, all are counted."""
    action: str = "error"
    """An error of the system such as "ENOSPC"; "error": one that fits the kind of the call, another one for each `at`;
    "short", "part"; "kill"; "kill-inside": half of a write, then SIGKILL; a signal such as "SIGTERM"; "fill:FILE": the
    disk of that file is filled by it."""
    lasts: bool = False
    """Whether all later calls that need room on the disk fail as well."""
    kinds: tuple[str, ...] = KINDS
    """Which calls are counted."""


class FaultLayer:
    """Counts the calls below some folders and does to one of them what its fault says."""

    def __init__(self, fault: Fault, watched: Sequence[str], trace: int, spared: Sequence[str] = ()) -> None:
        """`trace` is a descriptor that each counted call is written to, a line each: KIND PATH; `!` marks the fault."""
        self.fault = fault
        self.watched = tuple(watched)
        self.spared = tuple(spared)
        self.trace = trace
        self.count = 0
        self.lock = threading.Lock()
        self.real: dict[str, Real] = {}

    def install(self) -> None:
        """Put the layer between this process and the file system, for good."""
        for name in _SIMPLE:
            if hasattr(os, name):
                self._wrap(name)
        for name in ("open", "write", "pwrite", "read", "pread", "close"):
            self.real[name] = getattr(os, name)
        os.open = self._os_open
        os.write = self._os_write
        os.pwrite = self._os_pwrite
        os.read = self._os_read
        os.pread = self._os_pread
        os.close = self._os_close  # type: ignore[assignment]
        self.real["file"] = builtins.open
        builtins.open = io.open = _io.open = self._open

    def concerns(self, path: object) -> str | None:
        """Return `path` in full where it lies below a watched folder."""
        if isinstance(path, int):
            return None if path <= 2 or path == self.trace else self._behind(path)
        try:
            text = os.fsdecode(os.fspath(path))  # type: ignore[call-overload]
        except TypeError:
            return None
        full = os.path.normpath(os.path.join(_working_folder(), text))  # noqa: PTH118 - nothing that calls os.stat
        inside = full.startswith(self.watched) and not full.startswith(self.spared or ("\0",))
        return full if inside else None

    def _behind(self, descriptor: int) -> str | None:
        try:
            return self.concerns(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115 - as above
        except OSError:
            return None

    def meet(self, kind: str, path: str | None, given: object = None) -> str:
        """Count a call; raise where it is to fail, else return "" or what is to be done half: "short", "part" or so.

        `given` is the path as the call has it: the error names it. Errors of calls on descriptors name no file.
        """
        fault = self.fault
        if path is None or kind not in fault.kinds or threading.current_thread().name == HEARTBEAT:
            return ""
        with self.lock:
            self.count += 1
            number = self.count
            hit = number == fault.at
            self._write_trace(f"{'!' if hit else ''}{kind} {path}\n")
        if not hit and not (fault.at and fault.lasts and number > fault.at and kind in _TAKE_ROOM):
            return ""
        choices = ERRORS[kind]
        action = choices[fault.at % len(choices)] if fault.action == "error" else fault.action
        if action == "kill" or action.startswith("SIG"):
            _do(action)
            return ""
        if action.startswith("fill:"):
            self._fill(action.removeprefix("fill:"))
            return ""
        if action in ("short", "part", "kill-inside"):
            if kind == "write":
                return action
            if action == "kill-inside":
                _do("kill")
            action = "ENOSPC" if kind in CHANGING else "EIO"
        code = getattr(errno, action)
        raise OSError(code, os.strerror(code), *([] if given is None or isinstance(given, int) else [given]))

    def _fill(self, path: str) -> None:
        """Write a file until its disk is full."""
        descriptor = self.real["open"](path, os.O_WRONLY | os.O_CREAT, 0o644)
        for size in (2**20, 2**12, 1):
            with suppress(OSError):
                while True:
                    self.real["write"](descriptor, bytes(size))
        self.real["close"](descriptor)

    def _write_trace(self, line: str) -> None:
        self.real.get("write", os.write)(self.trace, line.encode("utf-8", "surrogateescape"))

    def _wrap(self, name: str) -> None:
        real = getattr(os, name)
        kind = _SIMPLE[name]

        @wraps(real)
        def call(path: Any = ".", *arguments: Any, **named: Any) -> Any:
            folder = named.get("dir_fd")
            found = self.concerns(path)
            if folder is not None and (behind := self._behind(folder)) is not None:
                found = f"{behind}/{os.fsdecode(path)}"
            self.meet(kind, found, path)
            return real(path, *arguments, **named)

        self.real[name] = real
        setattr(os, name, call)

    def _os_open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        self.meet("create" if writes else "open", self.concerns(path), path)
        return int(self.real["open"](path, flags, mode, dir_fd=dir_fd))

    def _os_write(self, descriptor: int, data: Any) -> int:
        return self.write(self.concerns(descriptor), data, lambda part: self.real["write"](descriptor, part))

    def _os_pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        return self.write(self.concerns(descriptor), data, lambda part: self.real["pwrite"](descriptor, part, offset))

    def _os_read(self, descriptor: int, length: int) -> bytes:
        self.meet("read", self.concerns(descriptor))
        return bytes(self.real["read"](descriptor, length))

    def _os_pread(self, descriptor: int, length: int, offset: int) -> bytes:
        self.meet("read", self.concerns(descriptor))
        return bytes(self.real["pread"](descriptor, length, offset))

    def _os_close(self, descriptor: int) -> None:
        path = self.concerns(descriptor)
        written = path is not None and fcntl.fcntl(descriptor, fcntl.F_GETFL) & (os.O_WRONLY | os.O_RDWR)
        self.real["close"](descriptor)
        if written:
            self.meet("close", path)

    def write(self, path: str | None, data: Any, real: Callable[[Any], int]) -> int:
        """Write `data` by `real`: all of it, half, or nothing."""
        how = self.meet("write", path)
        if not how:
            return int(real(data))
        whole = memoryview(data).cast("B")
        written = int(real(whole[: (len(whole) + 1) // 2]))
        if how == "kill-inside":
            _do("kill")
        if how == "part":  # the disk was full in the middle of it
            self.fault = replace(self.fault, at=self.count + 1, action="ENOSPC")
        return written

    def _open(
        self, file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None, errors: str | None = None,
        newline: str | None = None, closefd: bool = True, opener: Any = None,
    ) -> Any:  # fmt: skip
        path = None if isinstance(file, int) else self.concerns(file)
        if path is None:
            return self.real["file"](file, mode, buffering, encoding, errors, newline, closefd, opener)
        writes = bool({*mode} & {*"wxa+"})
        self.meet("create" if writes else "open", path, file)
        raw = WatchedFile(self, path, file, mode.replace("b", "").replace("t", ""), opener)
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        kind: type[Any] = io.BufferedRandom if "+" in mode else io.BufferedWriter if writes else io.BufferedReader
        buffered = kind(raw, size)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, io.text_encoding(encoding), errors, newline, line_buffering=buffering == 1)


class WatchedFile(io.FileIO):
    """An open file whose reads, writes and end go through the layer."""

    def __init__(self, layer: FaultLayer, path: str, file: Any, mode: str, opener: Any) -> None:
        """Open it; that was counted already."""
        self.layer = layer
        self.path = path
        super().__init__(file, mode, opener=opener)

    def write(self, data: Any) -> int:
        """Write all, half or nothing of `data`."""
        return self.layer.write(self.path, data, super().write)

    def readinto(self, buffer: Any) -> int | None:
        """Read, or fail."""
        self.layer.meet("read", self.path)
        return super().readinto(buffer)

    def readall(self) -> bytes:
        """Read, or fail."""
        self.layer.meet("read", self.path)
        return super().readall()

    def close(self) -> None:
        """Close; network file systems tell here what they could not write."""
        open_before, writes = not self.closed, not self.closed and self.writable()
        super().close()
        if open_before and writes:
            self.layer.meet("close", self.path)


def _do(action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        os.kill(os.getpid(), signal.Signals[action])


_SIMPLE = {
    "fsync": "fsync", "rename": "rename", "replace": "rename", "link": "create", "symlink": "create", "mkdir": "mkdir",
    "unlink": "unlink", "remove": "unlink", "rmdir": "unlink", "ftruncate": "truncate", "truncate": "truncate",
    "stat": "stat", "lstat": "stat", "scandir": "list", "listdir": "list",
}  # fmt: skip
_working_folder = os.getcwd
