"""Bytes of a file to text, strictly: what could silently change a score is refused or said."""

import errno
import logging
import os
import re
import select
import stat
from pathlib import Path
from typing import BinaryIO

from ..errors import DataError, EnvironmentFault, UsageError, XlingualError
from ..text import BOM
from .problems import Problem, data_error

MAX_BYTES = 2**30
"""The largest file that is read, in bytes: 1 GiB, fifty times the largest file of the benchmarks."""
MAX_LINE_BYTES = 2**26
"""The longest line of a file of lines: 64 MiB, some ten million words."""
MAX_TEXT = 2**24
"""Characters of a single text in a data file: a thousand times what models read at once."""

_NO_FILE = (errno.EINVAL, errno.ELOOP, errno.ENXIO)
"""Of a pipe, a link to itself, a socket."""
_LOG = logging.getLogger("xlingual")
_UTF16_PROBE = 4096
_BLOCK = 2**24
PIPE_SECONDS = 3.0
"""For somebody to write to a pipe."""
_NOT_LATIN1 = re.compile("[\udc80-\udc9f]|[\udca0-\udcff][^\0-\x7f]")
"""In a text whose bytes that are not UTF-8 became halves of surrogate pairs: a control, or another such byte behind."""


def read_text(path: Path, *, name: str = "", limit: int = MAX_BYTES, lines: bool = True) -> str:
    r"""Return the text of a UTF-8 file without byte order mark, with its CRLF line ends as "\n".

    `name` is what messages call the file, its path for "". Raises DataError with line and column for bytes that are
    not UTF-8, for NUL bytes and for lone carriage returns, for a file over `limit` bytes, and, where the file is one of
    `lines`, for a line over MAX_LINE_BYTES; what `read_fault` says where it cannot be read.
    """
    name = name or str(path)
    try:
        with open_to_read(path, pipe=True) as stream:
            size = os.fstat(stream.fileno()).st_size
            data = b"" if size > limit else stream.read() if size else _read_up_to(stream, limit)
    except OSError as error:
        raise read_fault(error, name) from error
    if (size := max(size, len(data))) > limit:
        raise DataError(f"{size:,} bytes are over the limit of {limit:,} bytes a file", where=name)
    if lines:
        refuse_long_line(data, name)
    return decode(data, name)


def open_to_read(path: Path, *, pipe: bool = False) -> BinaryIO:
    """Open a file whose first byte comes at once; OSError where that is not so.

    A device or a socket is none, nor is a pipe, which waits for a writer for ever; with `pipe` it is waited for a
    moment, since a command line may name one.
    """
    stream = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        watch = select.poll()
        watch.register(stream, select.POLLIN)
        if not pipe or not watch.poll(PIPE_SECONDS * 1000):
            stream.close()
            raise OSError(errno.EINVAL, "nothing is written to it" if pipe else "no regular file", str(path))
    os.set_blocking(stream.fileno(), True)
    return stream


def _read_up_to(stream: BinaryIO, limit: int) -> bytes:
    """Return all that a stream holds, or a little over `limit` bytes of it: nobody knows the size of a pipe."""
    blocks, size = [], 0
    while size <= limit and (block := stream.read(_BLOCK)):
        blocks.append(block)
        size += len(block)
    return b"".join(blocks)


def refuse_long_line(data: bytes, name: str) -> None:
    """Raise DataError naming the first line of `data` that is over MAX_LINE_BYTES."""
    start = 0
    while len(data) - start > MAX_LINE_BYTES:
        end = data.rfind(b"\n", start, start + MAX_LINE_BYTES + 1)
        if end < 0:
            after = data.find(b"\n", start)
            length = (len(data) if after < 0 else after) - start
            what = f"a line of {length:,} bytes is over the limit of {MAX_LINE_BYTES:,}"
            raise DataError(what, where=f"{name}:{data.count(10, 0, start) + 1}", hint="is a line break missing?")
        start = end + 1


def read_fault(error: OSError, name: str) -> XlingualError:
    """Return the error for a file that the system does not read: the file is at fault, or the machine."""
    what = f"cannot be read ({error.strerror or error})"
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError) or error.errno in _NO_FILE:
        return DataError(what, where=name)
    return EnvironmentFault(what, where=name)


def require_file(path: Path, hint: str = "") -> None:
    """Raise UsageError, which `hint` goes with, where the word of a command names no file, or a folder.

    For files that a user names: a missing one is a wrong word, not broken data. A pipe is as good as a file.
    """
    if path.is_dir():
        raise UsageError("cannot be read (Is a directory)", where=str(path), hint=hint or "name a file in it")
    if not path.exists():
        raise UsageError("cannot be read (No such file or directory)", where=str(path), hint=hint)


def decode(data: bytes, path: str) -> str:
    """Return `data`, the bytes of the file named `path`, as text; errors as in `read_text`."""
    if encoding := _wide_encoding(data):
        hint = f"convert it: iconv -f {encoding} -t UTF-8 {path} > NEW"
        raise DataError(f"not UTF-8; looks like {encoding}", where=path, hint=hint)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        hint = f"convert it: iconv -f LATIN1 -t UTF-8 {path} > NEW" if _looks_like_latin1(data) else ""
        raise data_error(path, _undecodable(data), hint=hint) from None
    if text.startswith(BOM):
        _LOG.warning("%s: starts with a byte order mark, which was left out", path)
        text = text.removeprefix(BOM)
    text = text.replace("\r\n", "\n")
    if "\r" in text:
        hint = "convert its line ends: tr '\\r' '\\n' < FILE > NEW"
        raise data_error(path, _occurrences(text, "\r", "carriage return without a line feed"), hint=hint)
    if "\0" in text:
        raise data_error(path, _occurrences(text, "\0", "NUL byte"), hint="the file is damaged or not a text file")
    return text


def split_lines(text: str) -> list[str]:
    r"""Return the lines of `text`, split at "\n" only; the "\n" after the last line may be missing.

    Unlike `str.splitlines`, which also splits at U+2028, U+0085 and others that occur inside sentences.
    """
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return lines


def _wide_encoding(data: bytes) -> str | None:
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    probe = data[:_UTF16_PROBE]
    for first, name in ((0, "UTF-16BE"), (1, "UTF-16LE")):
        zeros, others = probe[first::2].count(0), probe[1 - first :: 2].count(0)
        if len(probe) >= 4 and 4 * zeros > len(probe) and not others:
            return name
    return None


def _undecodable(data: bytes) -> list[Problem]:
    guess = "; looks like latin-1" if _looks_like_latin1(data) else ""
    lines = data.split(b"\n")
    problems = []
    for number, line in enumerate(lines, start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            if number == len(lines) and error.reason == "unexpected end of data":
                problems.append(Problem(f":{number}", "file ends inside a character: copied only in part?"))
                continue
            column = len(line[: error.start].decode("utf-8")) + 1
            problems.append(
                Problem(f":{number}", f"byte 0x{line[error.start]:02x} at column {column} is not UTF-8{guess}")
            )
    return problems


def _looks_like_latin1(data: bytes) -> bool:
    """Whether every byte that is not UTF-8 is a printable Latin-1 character that stands alone."""
    return not _NOT_LATIN1.search(data.decode("utf-8", "surrogateescape"))


def _occurrences(text: str, character: str, what: str) -> list[Problem]:
    return [
        Problem(f":{number}", f"{what} at column {line.index(character) + 1}")
        for number, line in enumerate(text.split("\n"), start=1)
        if character in line
    ]
