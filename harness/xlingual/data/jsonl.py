"""Data in JSONL, one object a line, with the fields that a reader asks for."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ..errors import DataError
from ..files.json_file import mend_surrogates, parse_json, read_json, type_name
from ..files.problems import Problem, data_error
from ..files.text_file import MAX_TEXT, read_text, split_lines
from ..identity import Json


@dataclass(frozen=True, slots=True)
class PlacedRecord:
    """An object of a file, whole."""

    place: str
    """What follows the path in messages: ":3" of JSONL, ": [2]" of a JSON list."""
    values: Mapping[str, Json]


_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", list: "a list"}


@dataclass(frozen=True, slots=True)
class JsonRow:
    """One record of a JSONL file."""

    line: int
    """Counted from 1."""
    values: Mapping[str, Json]
    """The fields that were asked for, each of the type that was asked for."""


def read_records(
    path: Path,
    fields: Mapping[str, type],
    *,
    optional: Collection[str] = (),
    nullable: Collection[str] = (),
    beside_id: str | None = None,
) -> tuple[JsonRow, ...]:
    """Return the objects of a JSONL file, each with `fields`: their names and types.

    Those that are `optional` may be missing, and are then not in the row; nor are those that are `nullable` and null. A
    type is str, int, float, bool, list, dict or list[str]; a name with dots reaches into objects ("answers.text").
    A field called "id" must differ from row to row, or it and the one called `beside_id`. Other fields in the file are
    allowed and left out.
    Raises one DataError that lists every bad line.
    """
    lines = split_lines(mend_surrogates(read_text(path), str(path)))
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataError("no records", where=str(path))
    rows: list[JsonRow] = []
    problems: list[Problem] = []
    seen: dict[tuple[Json, Json], int] = {}
    for number, line in enumerate(lines, start=1):
        row, wrong = _read_row(line, number, _Fields(fields, optional, nullable), ends_file=number == len(lines))
        if not wrong and "id" in row.values:
            key = row.values["id"], None if beside_id is None else row.values.get(beside_id)
            first = seen.setdefault(key, number)
            if first != number:
                wrong = [Problem(f":{number}", f"id {row.values['id']!r} on lines {first} and {number}")]
        problems += wrong
        rows.append(row)
    if problems:
        raise data_error(str(path), problems)
    return tuple(rows)


def read_placed_records(path: Path) -> tuple[PlacedRecord, ...]:
    """Return the objects of a JSONL file, or of a JSON list where the name does not end so, with all their fields.

    Raises one DataError that lists every line or item that is none.
    """
    records: list[PlacedRecord] = []
    problems: list[Problem] = []
    for place, value in _placed_values(path, problems):
        if isinstance(value, dict):
            records.append(PlacedRecord(place, value))
        else:
            problems.append(Problem(place, f"must be an object, got {type_name(value)}"))
    if problems:
        raise data_error(str(path), problems)
    if not records:
        raise DataError("no records", where=str(path))
    return tuple(records)


def _placed_values(path: Path, problems: list[Problem]) -> Iterator[tuple[str, Json]]:
    """Yield place and value of each record; add those that are no JSON to `problems`."""
    if path.suffix != ".jsonl":
        data = read_json(path)
        if wrong := type_problem(data, list):
            hint = "one object a line is read from files named .jsonl" if isinstance(data, dict) else ""
            raise data_error(str(path), [Problem("", wrong)], hint=hint)
        yield from ((f": [{place}]", value) for place, value in enumerate(cast(list[Json], data)))
        return
    lines = split_lines(mend_surrogates(read_text(path), str(path)))
    while lines and not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, start=1):
        value, wrong_places = (
            parse_json(line, number, ends_file=number == len(lines))
            if line.strip()
            else (None, [Problem(f":{number}", "blank line")])
        )
        problems += wrong_places
        if not wrong_places:
            yield f":{number}", value


def type_problem(value: Json, kind: type) -> str | None:
    """Return why `value` is not of `kind` ("must be a string, got int"), or None where it is."""
    if kind == list[str]:
        if not isinstance(value, list):
            return f"must be a list of strings, got {type_name(value)}"
        wrong = next((item for item in value if type_problem(item, str)), "")
        if isinstance(wrong, str) and wrong:
            return type_problem(wrong, str)
        return None if wrong == "" else f"must be a list of strings, got a list with {type_name(wrong)} in it"
    if kind is float and type(value) is int:
        return None
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"has {len(value):,} characters, over the limit of {MAX_TEXT:,}"
    return None if type(value) is kind else f"must be {_NAMES.get(kind, 'an object')}, got {type_name(value)}"


@dataclass(frozen=True, slots=True)
class _Fields:
    fields: Mapping[str, type]
    optional: Collection[str]
    nullable: Collection[str]


def _read_row(line: str, number: int, wanted: _Fields, *, ends_file: bool) -> tuple[JsonRow, list[Problem]]:
    if not line.strip():
        return JsonRow(number, {}), [Problem(f":{number}", "blank line")]
    record, problems = parse_json(line, number, ends_file=ends_file)
    if not problems and not isinstance(record, dict):
        problems = [Problem(f":{number}", f"must be an object, got {type_name(record)}")]
    if problems:
        return JsonRow(number, {}), problems
    values: dict[str, Json] = {}
    for name, kind in wanted.fields.items():
        try:
            value = _value_at(record, name)
        except KeyError:
            if name not in wanted.optional:
                has = ", ".join(cast(dict[str, Json], record))
                problems.append(Problem(f":{number}", f"field {name!r} is missing (has: {has})"))
            continue
        if value is None and name in wanted.nullable:
            continue
        values[name] = value
        if wrong := type_problem(value, kind):
            problems.append(Problem(f":{number}", f"field {name!r} {wrong}"))
    return JsonRow(number, values), problems


def _value_at(record: Json, path: str) -> Json:
    """Return the value at a path such as "answers.text"; KeyError where there is none."""
    value = record
    for part in path.split("."):
        if not isinstance(value, dict):
            raise KeyError(part)
        value = value[part]
    return value
