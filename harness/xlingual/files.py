"""Files that are written whole or not at all."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import DataError, EnvironmentFault
from .identity import Json, repair_surrogates


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
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_CHANGED = "the file was changed by something else; move the run folder away to start over"


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text`: after any crash it is the old or the new one, whole. EnvironmentFault on failure."""
    try:
        with replace_whole(path) as stream:
            stream.write(repair_surrogates(text).encode("utf-8"))
    except OSError as error:
        raise disk_fault(error, path) from error


def pretty_json(value: Json) -> str:
    """Return `value` as indented JSON for people to read, with a final newline; NaN is refused."""
    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def read_json(path: Path) -> Json:
    """Return the JSON data of `path`; DataError where it holds none, EnvironmentFault where it cannot be read."""
    try:
        data: Json = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise disk_fault(error, path) from error
    except ValueError as error:
        raise DataError(f"not JSON ({error})", where=str(path)) from None
    return data


def read_json_lines(path: Path) -> list[Mapping[str, Json]]:
    """Return the objects of a JSONL file of ours; DataError naming the line that is none, EnvironmentFault as above."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise disk_fault(error, path) from error
    return [_read_object(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)]


def _read_object(line: bytes, where: str) -> Mapping[str, Json]:
    try:
        entry = json.loads(line.decode("utf-8"))
    except ValueError as error:
        raise DataError(f"not JSON ({error})", where=where, hint=_CHANGED) from None
    if not isinstance(entry, dict):
        raise DataError("not an object", where=where, hint=_CHANGED)
    return entry


def disk_fault(error: OSError, path: Path) -> EnvironmentFault:
    """Return the fault for a failed read or write of `path`."""
    return EnvironmentFault(
        f"{error.strerror or error}",
        where=str(path),
        hint="make room or choose another --out; finished answers are kept",
    )
