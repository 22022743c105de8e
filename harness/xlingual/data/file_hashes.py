"""SHA-256 of large files, computed once: for as long as a file is unchanged, and handed on to other processes.

The weights of a model may be 140 GB, and every process that answers with them asks for their hash. A hash is kept with
all that the file system says of the file. On another machine, or after a change, that is something else, and the file
is read again: a hash is never taken for that of another file. What the file system does not say is not seen: a program
that writes through a memory mapping may change a file for some seconds before its times change.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..files import hash_file

FRESH_NS = 2 * 10**9
"""A file that was changed less than so many nanoseconds ago may change again without a trace: clocks of file systems
are coarse. Its hash is not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """What changes when a file changes. The time of the last change of the inode (`ctime_ns`) cannot be set back."""

    path: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


_known: dict[FileState, str] = {}


def hash_once(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hex digits; it is read only where its hash is not known yet.

    Raises EnvironmentFault where the file cannot be read.
    """
    before = _state(path)
    if before is not None and before in _known:
        return _known[before]
    started = time.time_ns()
    found = hash_file(path)
    if before is not None and before == _state(path) and max(before.mtime_ns, before.ctime_ns) + FRESH_NS < started:
        _known[before] = found
    return found


def known_hashes() -> dict[FileState, str]:
    """Return all that this process has computed or learnt, to be handed to another."""
    return dict(_known)


def learn_hashes(known: Mapping[FileState, str]) -> None:
    """Take the hashes that another process knows."""
    _known.update(known)


def _state(path: Path) -> FileState | None:
    try:
        seen = path.stat()
    except OSError:  # whoever reads the file says what is wrong with it
        return None
    return FileState(
        path=str(path.absolute()),
        device=seen.st_dev,
        inode=seen.st_ino,
        size=seen.st_size,
        mtime_ns=seen.st_mtime_ns,
        ctime_ns=seen.st_ctime_ns,
    )
