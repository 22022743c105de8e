"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import EnvironmentFault
from ..identity import repair_surrogates


@contextmanager
def replace_whole(path: Path) -> Iterator[BinaryIO]:
    """Yield a stream whose content replaces `path` when the block ends without an exception, OSError included.

    After a crash at any moment `path` is the old file or the new one, never a mix; nothing temporary is left behind but
    by a kill.
    """
    temporary = path.with_name(f".{path.name[:60]}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_path(path.parent)
    finally:
        remove_file(temporary)


def remove_file(path: Path) -> None:
    """Remove a file that may be gone already, though a signal comes in the middle; OSError where that fails.

    The first signal is raised as an exception wherever the program is, in a `finally` as well: what is removed there
    would stay.
    """
    is_over = False
    try:
        path.unlink(missing_ok=True)
        is_over = True
    finally:
        if not is_over:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def sync_path(path: Path) -> None:
    """Sync a file, or the list of files of a folder, to disk; OSError where that fails."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text`: after any crash it is the old or the new one, whole. EnvironmentFault on failure."""
    try:
        with replace_whole(path) as stream:
            stream.write(repair_surrogates(text).encode("utf-8"))
    except OSError as error:
        raise disk_fault(error, path) from error


def disk_fault(error: OSError, path: Path) -> EnvironmentFault:
    """Return the fault for a failed read or write of `path`."""
    return EnvironmentFault(
        f"{error.strerror or error}",
        where=str(path),
        hint="make room or choose another --out; finished answers are kept",
    )
