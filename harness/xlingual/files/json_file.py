"""The one reader of JSON files: what JSON readers let pass in silence is an error here, with line and column.

Refused are repeated keys, NaN and infinities, more than `MAX_DEPTH` levels, and files over a stated size. What others
wrote with Python's own json module, such as a model's config.json, is read with `strict=False`: there NaN, infinities
and repeated keys (of which the last counts) are what transformers would read, too.
"""

import json
import logging
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from ..errors import DataError
from ..identity import Json
from .problems import Problem, data_error
from .text_file import open_to_read, read_fault, read_text

_LOG = logging.getLogger("xlingual")
_ESCAPE = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL)
_TEXT = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_TOKEN = re.compile(rf"(?P<text>{_TEXT})(?P<key>\s*:)?|[{{}}\[\]]|NaN|-?Infinity|-?\d[\d.eE+-]*", re.DOTALL)
_LITERALS = ("true", "false", "null")
MAX_JSON_BYTES = 2**28
"""The largest JSON document that is read, in bytes: 256 MiB; in memory it takes some ten times as many."""
MAX_OBJECT_BYTES = 2**27
"""The longest line of a JSONL file of ours: twice the largest answer that is taken from a server."""
MAX_DEPTH = 100
"""Levels of lists and objects in a file; ours and those of models have fewer than ten."""
CHANGED = "the file was changed by something else; move the run folder away to start over"


def pretty_json(value: Json) -> str:
    """Return `value` as indented JSON for people to read, with a final newline; NaN is refused."""
    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def read_json(
    path: Path, *, name: str = "", limit: int = MAX_JSON_BYTES, strict: bool = True, fault: type[DataError] = DataError
) -> Json:
    """Return the data in a JSON file; `name` and `limit` as in `read_text`.

    Raises `fault` naming line and column for anything but one JSON value, and where there is no such file;
    EnvironmentFault where the machine does not let it be read. A lone surrogate in an escape becomes U+FFFD with a
    logged warning, for no file could hold it.
    """
    name = name or str(path)
    try:
        text = mend_surrogates(read_text(path, name=name, limit=limit, lines=False), name)
        if not text.strip():
            raise DataError("the file is empty", where=name)
        value, problems = parse_json(text, strict=strict)
        if problems:
            raise data_error(name, problems)
    except DataError as error:
        raise fault(error.what, where=error.where, hint=error.hint) from error.__cause__
    return value


def read_json_object(
    path: Path, *, limit: int = MAX_JSON_BYTES, strict: bool = True, fault: type[DataError] = DataError
) -> Mapping[str, Json]:
    """Return the object in a JSON file; errors as in `read_json`, and `fault` for any other value."""
    data = read_json(path, limit=limit, strict=strict, fault=fault)
    if not isinstance(data, dict):
        raise fault(f"must be an object, got {type_name(data)}", where=str(path))
    return data


def read_json_lines(path: Path, *, hint: str = CHANGED) -> list[Mapping[str, Json]]:
    """Return the objects of a JSONL file of ours, of any size; a last line without its end, left by a kill, is dropped.

    Raises DataError with `hint` naming the line that is none, or too long, before more of the file is read.
    """
    found: list[Mapping[str, Json]] = []
    try:
        with open_to_read(path) as stream:
            while line := stream.readline(MAX_OBJECT_BYTES + 2):
                if not line.endswith(b"\n") and len(line) > MAX_OBJECT_BYTES:
                    what = f"a line of more than the limit of {MAX_OBJECT_BYTES:,} bytes"
                    raise DataError(what, where=f"{path}:{len(found) + 1}", hint=hint)
                if line.endswith(b"\n"):
                    found.append(parse_object(line.removesuffix(b"\n"), f"{path}", len(found) + 1, hint=hint))
    except OSError as error:
        raise read_fault(error, str(path)) from error
    return found


def parse_object(line: bytes, name: str, number: int, *, hint: str = CHANGED) -> Mapping[str, Json]:
    """Return the object in line `number` of the JSONL file `name`; DataError with `hint` where it holds none."""
    where = f"{name}:{number}"
    if len(line) > MAX_OBJECT_BYTES:
        what = f"a line of {len(line):,} bytes is over the limit of {MAX_OBJECT_BYTES:,}"
        raise DataError(what, where=where, hint=hint)
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        column = len(line[: error.start].decode("utf-8")) + 1
        raise DataError(f"not JSON (not UTF-8: {error.reason})", where=f"{where}:{column}", hint=hint) from None
    value, problems = parse_json(mend_surrogates(text, where), number, ends_file=False)
    if problems:
        raise data_error(name, problems, hint=hint)
    if not isinstance(value, dict):
        raise DataError(f"not an object, got {type_name(value)}", where=where, hint=hint)
    return value


def parse_json(
    text: str, first_line: int = 1, *, strict: bool = True, ends_file: bool = True
) -> tuple[Json, list[Problem]]:
    """Return the value in `text`, whose first line is `first_line` of the file, or what is wrong with it."""
    try:
        if strict:
            value: Json = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_number)
        else:
            value = json.loads(text)
    except json.JSONDecodeError as error:
        what = "file ends inside a record: copied only in part?" if ends_file and _is_cut(error) else error.msg
        return None, [Problem(_position(text, error.pos, first_line), f"not JSON ({what})")]
    except _LaxError:  # raised at once: what follows may be no JSON at all
        _, problems = parse_json(text, first_line, strict=False, ends_file=ends_file)
        return None, problems or _lax_places(text, first_line)
    except RecursionError:
        return None, [Problem(f":{first_line}", TOO_DEEP)]
    except ValueError as error:
        return None, [Problem(f":{first_line}", f"not JSON ({error})")]
    # A text with few brackets, as most lines are, is not worth walking through.
    deep = text.count("[") + text.count("{") > MAX_DEPTH and is_too_deep(value)
    return (None, [Problem(f":{first_line}", TOO_DEEP)]) if deep else (value, [])


TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"


def is_too_deep(value: object) -> bool:
    """Return whether lists and tables in `value` are nested more than `MAX_DEPTH` levels deep."""
    level = _nested([value])
    for _ in range(MAX_DEPTH):
        level = [inner for each in level for inner in _nested(each)]
        if not level:
            return False
    return True


def _nested(values: Iterable[object]) -> list[Iterable[object]]:
    """Return what holds values itself among `values`, as those values."""
    found = [each.values() if isinstance(each, dict) else each for each in values if isinstance(each, list | dict)]
    return cast(list[Iterable[object]], found)


class _LaxError(ValueError):
    """Python's JSON reader would accept it, JSON does not."""


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise _LaxError
    return record


def _constant(_: str) -> Json:
    raise _LaxError


def _number(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise _LaxError
    return value


def _lax_places(text: str, first_line: int) -> list[Problem]:
    """Find the repeated keys and the numbers that are not finite in `text`, which is else well formed."""
    problems = []
    keys: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        word, what = token.group(), ""
        if token["text"]:
            if token["key"]:
                key = json.loads(token["text"])
                what = f"key {key!r} is twice in one object" if key in keys[-1] else ""
                keys[-1].add(key)
        elif word in "{[":
            keys.append(set())
        elif word in "}]":
            keys.pop()
        elif not math.isfinite(float(word)):
            what = f"{word} is not a JSON number"
        if what:
            problems.append(Problem(_position(text, token.start(), first_line), what))
    return problems


def _is_cut(error: json.JSONDecodeError) -> bool:
    tail = error.doc[error.pos :].strip()
    if error.msg.startswith(("Unterminated string", "Invalid \\")):
        return "Unterminated" in error.msg or len(tail) < 6
    return tail in ("", "-") or any(word.startswith(tail) for word in _LITERALS)


def _position(text: str, index: int, first_line: int) -> str:
    line = text.count("\n", 0, index) + first_line
    return f":{line}:{index - text.rfind(chr(10), 0, index)}"


def mend_surrogates(text: str, name: str) -> str:
    """Return JSON `text` with each escape of half a surrogate pair as that of U+FFFD; no character is moved."""
    if "\\u" not in text:
        return text
    count = 0

    def mend(match: re.Match[str]) -> str:
        nonlocal count
        count += match[1] is not None
        return match[0] if match[1] is None else "\\ufffd"

    text = _ESCAPE.sub(mend, text)
    if count:
        _LOG.warning("%s: %d half surrogate pairs were replaced by U+FFFD", name, count)
    return text


def type_name(value: Json) -> str:
    """Return what messages call the type of `value`: "null", "int", "list"."""
    return "null" if value is None else type(value).__name__
