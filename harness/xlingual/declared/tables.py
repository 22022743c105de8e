"""Files of rows: JSON lines, a JSON list, tab- or comma-separated values, Parquet, a literal in a Python file."""

import ast
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ..data import split_lines
from ..errors import DataError, EnvironmentFault
from ..files import MAX_TEXT, Problem, data_error, read_json, read_text
from ..files.json_file import mend_surrogates, parse_json, type_name
from ..identity import Json
from ..text import did_you_mean
from .declaration import SourceRule

MAX_LITERAL_BYTES = 2**24
"""The largest Python file that is looked into: its syntax tree takes a hundred times as many in memory."""
FORMATS = ("jsonl", "json", "tsv", "csv", "parquet", "py")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a file."""

    place: str
    """What follows the path in messages: ":3", " row 3"."""
    values: Mapping[str, Json]


def format_of(path: str, source: SourceRule) -> str:
    """Return the format that a file is in: the one that is declared, else by its name's end; DataError for others."""
    found = source.format or path.rpartition(".")[2].lower()
    found = {"jsonlines": "jsonl", "ndjson": "jsonl"}.get(found, found)
    if found not in FORMATS:
        raise DataError("the name does not tell the format", where=path, hint=f'format = "..." is {", ".join(FORMATS)}')
    return found


def read_table(path: Path, kind: str, source: SourceRule, inside: str) -> list[Row]:
    """Return the rows of a file; `inside` are the names that lead to them, "" for the whole of it.

    Raises DataError that names every wrong line. Blank lines at the end do not count, others do.
    """
    if inside and kind not in ("json", "py"):
        raise DataError(f"there is no place {inside!r} inside of a {kind} file", where=str(path))
    if kind == "jsonl":
        rows = _read_json_lines(path)
    elif kind in ("tsv", "csv"):
        rows = _read_separated(path, kind, source)
    elif kind == "parquet":
        rows = _read_parquet(path)
    else:
        value, inside = (read_json(path), inside) if kind == "json" else _read_literal(path, inside)
        rows = _listed(_reach(value, inside, path), path)
    if not rows:
        raise DataError("no records", where=str(path))
    long = [
        Problem(row.place, f"{name!r} has {len(value):,} characters, over the limit of {MAX_TEXT:,}")
        for row in rows
        for name, value in row.values.items()
        if isinstance(value, str) and len(value) > MAX_TEXT
    ]
    if long:
        raise data_error(str(path), long)
    return rows


def _read_json_lines(path: Path) -> list[Row]:
    lines = split_lines(mend_surrogates(read_text(path), str(path)))
    while lines and not lines[-1].strip():
        lines.pop()
    rows: list[Row] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines, start=1):
        value, wrong = parse_json(line, number, ends_file=number == len(lines)) if line.strip() else (None, [])
        if not wrong and not isinstance(value, dict):
            what = f"must be an object, got {type_name(value)}" if line.strip() else "blank line"
            wrong = [Problem(f":{number}", what)]
        problems += wrong
        rows.append(Row(f":{number}", cast(Mapping[str, Json], value)))
    if problems:
        raise data_error(str(path), problems)
    return rows


def _read_separated(path: Path, kind: str, source: SourceRule) -> list[Row]:
    text = read_text(path)
    quoted = kind == "csv" if source.quoted is None else source.quoted
    numbered = list(_quoted(text, kind, path)) if quoted else list(_plain(text, "\t" if kind == "tsv" else ","))
    columns = source.columns
    if columns is None:
        if not numbered:
            return []
        columns = tuple(name.strip() for name in numbered.pop(0)[1])
        if len(set(columns)) < len(columns):
            hint = 'a table without a header needs columns = ["question", "answer"]'
            raise DataError("two columns of the header have one name", where=f"{path}:1", hint=hint)
    problems = [
        Problem(f":{number}", f"{len(cells)} values, but {len(columns)} columns ({', '.join(columns)})")
        for number, cells in numbered
        if len(cells) != len(columns)
    ]
    if problems:
        raise data_error(str(path), problems, hint="columns = [...] names those of a table without a header")
    return [Row(f":{number}", dict(zip(columns, cells, strict=True))) for number, cells in numbered]


def _plain(text: str, mark: str) -> Iterable[tuple[int, list[str]]]:
    for number, line in enumerate(split_lines(text), start=1):
        if line.strip():
            yield number, line.split(mark)


def _quoted(text: str, kind: str, path: Path) -> Iterable[tuple[int, list[str]]]:
    csv.field_size_limit(MAX_TEXT)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if kind == "tsv" else ",", strict=True)
    try:
        yield from ((reader.line_num, cells) for cells in reader if any(cells))
    except csv.Error as error:
        hint = "" if kind == "csv" else "quoted = false takes quotation marks as they stand"
        raise DataError(f"no table ({error})", where=f"{path}:{reader.line_num}", hint=hint) from error


def _read_parquet(path: Path) -> list[Row]:
    try:
        import pyarrow as pa  # noqa: PLC0415  heavy, and for Parquet only
        from pyarrow import parquet  # noqa: PLC0415  as above
    except ImportError as error:
        raise EnvironmentFault("needs the package pyarrow", where=str(path), hint="pip install pyarrow") from error
    try:
        rows = cast("list[Mapping[str, Json]]", parquet.read_table(path).to_pylist())
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"no Parquet file ({str(error).partition(chr(10))[0]})", where=str(path)) from error
    return [Row(f" row {number}", values) for number, values in enumerate(rows, start=1)]


def _read_literal(path: Path, inside: str) -> tuple[Json, str]:
    """Return the value that the Python file gives the first name of `inside`, and the names that are left.

    The file is parsed, never run: the value must be a literal.
    """
    name, _, rest = inside.partition(".")
    try:
        body = ast.parse(read_text(path, limit=MAX_LITERAL_BYTES), filename=str(path)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"no Python file ({error})", where=str(path)) from error
    values = {
        target.id: node.value
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    if name not in values:
        raise DataError(f"gives no value to {name!r}", where=str(path), hint=did_you_mean(name, values))
    try:
        return cast(Json, ast.literal_eval(values[name])), rest
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        where = f"{path}:{values[name].lineno}"
        raise DataError(f"{name!r} is no literal, and code is never run", where=where) from error


def _reach(value: Json, inside: str, path: Path) -> Json:
    for name in filter(None, inside.split(".")):
        if not isinstance(value, Mapping) or name not in value:
            known = [str(key) for key in value] if isinstance(value, Mapping) else []
            raise DataError(f"has no {name!r} inside", where=str(path), hint=did_you_mean(name, known) if known else "")
        value = value[name]
    return value


def _listed(value: Json, path: Path) -> list[Row]:
    """Return a list of objects, or the values of an object that holds objects only, as rows."""
    if isinstance(value, Mapping) and value and all(isinstance(each, Mapping) for each in value.values()):
        value = list(value.values())
    if not isinstance(value, Sequence) or isinstance(value, str):
        what = f"must be a list of objects, got {type_name(value)}"
        raise DataError(what, where=str(path), hint='files = "FILE#NAME" leads to a list inside')
    wrong = [
        Problem(f"[{place}]", f"must be an object, got {type_name(each)}")
        for place, each in enumerate(value)
        if not isinstance(each, Mapping)
    ]
    if wrong:
        raise data_error(str(path), wrong)
    return [Row(f"[{place}]", cast(Mapping[str, Json], each)) for place, each in enumerate(value)]
