"""The folder of downloaded data files: every file is stored with its SHA-256 and is checked against it when found."""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from ..errors import DataError, EnvironmentFault
from ..files import hash_file, replace_whole

_LOG = logging.getLogger("xlingual")
_MAX_NAME, _MAX_PATH = 255, 4095
"""Bytes of a file's name and of a path that Linux and macOS take."""


def safe_path(folder: Path, name: str) -> Path:
    """Return the path of `name`, slashes allowed, below `folder`.

    DataError for a name that leads out of it, and for one that no file can have.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or any(bad in name for bad in ("\\", ":", "\0")):
        raise DataError("the path leads out of its folder", where=repr(name), hint="paths of data files are relative")
    path = folder.joinpath(*parts)
    if max(len(os.fsencode(part)) for part in parts) > _MAX_NAME or len(os.fsencode(path)) > _MAX_PATH:
        raise DataError("the path is too long for a file", where=f"{name[:40]!r}...")
    return path


def sidecar(path: Path) -> Path:
    """Return the path of the file that keeps the SHA-256 of the file at `path`."""
    return path.with_name(f"{path.name}.sha256")


def stored_hash(path: Path) -> str | None:
    """Return what the sidecar of `path` says, or None where there is none.

    EnvironmentFault where the sidecar cannot be read.
    """
    try:
        return sidecar(path).read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFault(f"cannot be read ({error})", where=str(sidecar(path))) from error


def find(path: Path, pinned: str | None) -> str | None:
    """Return the SHA-256 of the cached file at `path`, or None where there is none that can be trusted.

    A file must have the `pinned` hash, or without a pin that of its sidecar; one that has not is renamed, with a
    warning, so that it is fetched anew and can be looked at. EnvironmentFault where it cannot be read or renamed.
    """
    if not path.is_file():
        return None
    actual = hash_file(path)
    expected = pinned or stored_hash(path)
    if actual == expected:
        return actual
    aside = path.with_name(f"{path.name}.corrupt-{time.time_ns()}")
    try:
        path.replace(aside)
    except OSError as error:
        raise EnvironmentFault(f"is damaged and cannot be renamed ({error.strerror})", where=str(path)) from error
    _LOG.warning("%s: sha256 is %s, expected %s; renamed to %s and fetched anew", path, actual, expected, aside.name)
    return None


def store(path: Path, blocks: Iterable[bytes], check: Callable[[str], None]) -> str:
    """Write `blocks` to `path` whole or not at all, with a sidecar, and return the SHA-256.

    `check` gets the SHA-256 before the file has its name, and raises to refuse it. EnvironmentFault where the disk does
    not take it; whatever `blocks` raises passes through.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = _write(path, blocks, check)
    except OSError as error:
        hint = "set XLINGUAL_CACHE to a folder with space that you may write to"
        raise EnvironmentFault(f"cannot be written ({error.strerror or error})", where=str(path), hint=hint) from error
    return digest


def _write(path: Path, blocks: Iterable[bytes], check: Callable[[str], None]) -> str:
    """Write, check and name a file; the sidecar comes first, so that a named file always has one."""
    digest = hashlib.sha256()
    with replace_whole(path) as stream:
        for block in blocks:
            digest.update(block)
            stream.write(block)
        check(digest.hexdigest())
        with replace_whole(sidecar(path)) as note:
            note.write(f"{digest.hexdigest()}\n".encode("ascii"))
    return digest.hexdigest()
