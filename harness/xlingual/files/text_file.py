"""Bytes of a file to text, strictly: what could silently change a score is refused or said."""

import logging
from pathlib import Path

from ..errors import DataError, EnvironmentFault, UsageError, XlingualError
from ..text import BOM
from .problems import Problem, data_error

MAX_BYTES = 2**30
"""The largest file that is read, in bytes: 1 GiB, fifty times the largest file of the benchmarks."""

_LOG = logging.getLogger("xlingual")
_UTF16_PROBE = 4096


def read_text(path: Path, *, name: str = "", limit: int = MAX_BYTES) -> str:
    r"""Return the text of a UTF-8 file without byte order mark, with its CRLF line ends as "\n".

    `name` is what messages call the file, its path for "". Raises DataError with line and column for bytes that are
    not UTF-8, for NUL bytes and for lone carriage returns, and for a file over `limit` bytes; what `read_fault` says
    where it cannot be read.
    """
    name = name or str(path)
    try:
        size = path.stat().st_size
        if size > limit:
            raise DataError(f"{size:,} bytes are over the limit of {limit:,} bytes a file", where=name)
        data = path.read_bytes()
    except OSError as error:
        raise read_fault(error, name) from error
    return decode(data, name)


def read_fault(error: OSError, name: str) -> XlingualError:
    """Return the error for a file that the system does not read: the file is at fault, or the machine."""
    what = f"cannot be read ({error.strerror or error})"
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
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
    for line in data.split(b"\n"):
        start = 0
        while True:
            try:
                line[start:].decode("utf-8")
                break
            except UnicodeDecodeError as error:
                place = start + error.start
                if line[place] < 0xA0 or line[place + 1 : place + 2] >= b"\x80":
                    return False
                start = place + 1
    return True


def _occurrences(text: str, character: str, what: str) -> list[Problem]:
    return [
        Problem(f":{number}", f"{what} at column {line.index(character) + 1}")
        for number, line in enumerate(text.split("\n"), start=1)
        if character in line
    ]
