"""Strict reading of JSON and of JSONL (one object a line): what JSON readers let pass in silence is an error here."""

import json
import logging
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ..errors import DataError
from ..identity import Json
from .problems import Problem, data_error
from .text_file import read_text, split_lines

_LOG = logging.getLogger("xlingual")
_ESCAPE = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL)
_TOKEN = re.compile(r'(?P<text>"(?:[^"\\]|\\.)*")(?P<key>\s*:)?|[{}\[\]]|NaN|-?Infinity|-?\d[\d.eE+-]*', re.DOTALL)
_LITERALS = ("true", "false", "null")
_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", list: "a list"}


@dataclass(frozen=True, slots=True)
class JsonRow:
    """One record of a JSONL file."""

    line: int
    """Counted from 1."""
    values: Mapping[str, Json]
    """The fields that were asked for, each of the type that was asked for."""


def read_json(path: Path) -> Json:
    """Return the data in a JSON file.

    Raises DataError naming line and column for anything but one JSON value, for NaN, infinities and repeated keys.
    A lone surrogate in an escape becomes U+FFFD with a logged warning, for no file could hold it.
    """
    text = _mend_surrogates(read_text(path), path)
    if not text.strip():
        raise DataError("no records", where=str(path))
    value, problems = _parse(text, 1, ends_file=True)
    if problems:
        raise data_error(str(path), problems)
    return value


def read_records(path: Path, fields: Mapping[str, type], *, optional: Collection[str] = ()) -> tuple[JsonRow, ...]:
    """Return the objects of a JSONL file, each with `fields`: their names and types.

    Those that are `optional` may be missing, and are then not in the row. A type is str, int, float, bool, list, dict
    or list[str]; a name with dots reaches into objects ("answers.text").
    A field called "id" must differ from row to row. Other fields in the file are allowed and left out.
    Raises one DataError that lists every bad line.
    """
    lines = split_lines(_mend_surrogates(read_text(path), path))
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataError("no records", where=str(path))
    rows: list[JsonRow] = []
    problems: list[Problem] = []
    seen: dict[Json, int] = {}
    for number, line in enumerate(lines, start=1):
        row, wrong = _read_row(line, number, _Wanted(fields, optional), ends_file=number == len(lines))
        if not wrong and "id" in fields:
            first = seen.setdefault(cast(str, row.values["id"]), number)
            if first != number:
                wrong = [Problem(f":{number}", f"id {row.values['id']!r} on lines {first} and {number}")]
        problems += wrong
        rows.append(row)
    if problems:
        raise data_error(str(path), problems)
    return tuple(rows)


def type_problem(value: Json, kind: type) -> str | None:
    """Return why `value` is not of `kind` ("must be a string, got int"), or None where it is."""
    if kind == list[str]:
        if not isinstance(value, list):
            return f"must be a list of strings, got {_type_name(value)}"
        wrong = next((item for item in value if not isinstance(item, str)), "")
        return None if wrong == "" else f"must be a list of strings, got a list with {_type_name(wrong)} in it"
    if kind is float and type(value) is int:
        return None
    return None if type(value) is kind else f"must be {_NAMES.get(kind, 'an object')}, got {_type_name(value)}"


@dataclass(frozen=True, slots=True)
class _Wanted:
    fields: Mapping[str, type]
    optional: Collection[str]


def _read_row(line: str, number: int, wanted: _Wanted, *, ends_file: bool) -> tuple[JsonRow, list[Problem]]:
    if not line.strip():
        return JsonRow(number, {}), [Problem(f":{number}", "blank line")]
    record, problems = _parse(line, number, ends_file=ends_file)
    if not problems and not isinstance(record, dict):
        problems = [Problem(f":{number}", f"must be an object, got {_type_name(record)}")]
    if problems:
        return JsonRow(number, {}), problems
    values: dict[str, Json] = {}
    for name, kind in wanted.fields.items():
        value: Json = record
        for part in name.split("."):
            if not isinstance(value, dict) or part not in value:
                if name not in wanted.optional:
                    has = ", ".join(cast(dict[str, Json], record))
                    problems.append(Problem(f":{number}", f"field {name!r} is missing (has: {has})"))
                break
            value = value[part]
        else:
            values[name] = value
            if wrong := type_problem(value, kind):
                problems.append(Problem(f":{number}", f"field {name!r} {wrong}"))
    return JsonRow(number, values), problems


class _LaxError(ValueError):
    """Python's JSON reader would accept it, JSON does not."""


def _parse(text: str, first_line: int, *, ends_file: bool) -> tuple[Json, list[Problem]]:
    """Return the value in `text`, whose first line is `first_line` of the file, or what is wrong with it."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_number), []
    except json.JSONDecodeError as error:
        if ends_file and _is_cut(error):
            what = "file ends inside a record: copied only in part?"
        else:
            what = f"not JSON ({error.msg})"
        return None, [Problem(_position(text, error.pos, first_line), what)]
    except _LaxError:
        return None, _lax_places(text, first_line)
    except (RecursionError, ValueError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        return None, [Problem(f":{first_line}", f"not JSON ({what})")]


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


def _mend_surrogates(text: str, path: Path) -> str:
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
        _LOG.warning("%s: %d half surrogate pairs were replaced by U+FFFD", path, count)
    return text


def _type_name(value: Json) -> str:
    return "null" if value is None else type(value).__name__
