"""Files of records in every form that they are passed on in: objects, each with its place in the file.

One JSON document, a flat JSON list, JSON lines, a parquet table of the hub; each of the first three may be gzipped.
The content tells which, not the name.
"""

import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ..errors import DataError, EnvironmentFault
from ..files import MAX_JSON_BYTES, Problem, read_text, split_lines
from ..files.json_file import mend_surrogates, parse_json
from ..files.text_file import decode
from ..identity import Json
from ..text import is_blank
from .jsonl import type_problem

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_RECORD_FIELDS = frozenset({"id", "paragraphs"})
"""An object with one of them is a record itself, a file's only one: a row, or an article of SQuAD's layout."""


@dataclass(frozen=True, slots=True)
class Node:
    """An object, where it is in the file, and where to note what is wrong with it."""

    values: Mapping[str, Json]
    place: str
    """As it follows the path: ": data[0].paragraphs[1]", ":3" for a line, ": row 3" of a table, "" for all of it."""
    problems: list[Problem]
    shown_id: str = field(default="")

    def note(self, name: str, what: str) -> None:
        """Note what is wrong with the field `name`."""
        self.problems.append(Problem(f"{self.place}{self.shown_id}", f"field {name!r} {what}"))

    def get(self, name: str, kind: type) -> Json:
        """Return the field `name`, or None after noting that it is missing or not of `kind`."""
        if name not in self.values:
            self.note(name, f"is missing (has: {', '.join(self.values)})")
            return None
        if wrong := type_problem(self.values[name], kind):
            self.note(name, wrong)
            return None
        return self.values[name]

    def text(self, name: str) -> str:
        """Return the text in the field `name` as it is, or "" after noting that it is missing, no string or blank."""
        value = self.get(name, str)
        if isinstance(value, str) and is_blank(value):
            self.note(name, "is empty")
        return value if isinstance(value, str) else ""

    def name(self, name: str) -> str:
        """Return the name in the field `name`; a whole number is one, too."""
        value = self.values.get(name)
        return str(value) if type(value) is int else self.text(name)

    def inside(self, name: str) -> str:
        """Return the place of the field `name`."""
        if not self.place:
            return f": {name}"
        return f"{self.place}.{name}" if self.place.startswith(": ") else f"{self.place}: {name}"

    def children(self, name: str) -> Iterator["Node"]:
        """Yield the objects in the list `name`."""
        yield from self.listed(self.inside(name), cast(list[Json], self.get(name, list) or []))

    def listed(self, prefix: str, items: Sequence[Json]) -> Iterator["Node"]:
        """Yield the objects among `items`, whose places are PREFIX[0] and on."""
        for index, item in enumerate(items):
            place = f"{prefix}[{index}]"
            if wrong := type_problem(item, dict):
                self.problems.append(Problem(place, wrong))
                continue
            yield make_node(cast(dict[str, Json], item), place, self.problems, self.shown_id)


def make_node(values: Mapping[str, Json], place: str, problems: list[Problem], shown_id: str = "") -> Node:
    """Return the object `values` as a node that is called by its own "id", else by `shown_id`."""
    own = values.get("id")
    return Node(values, place, problems, f" (id {own})" if isinstance(own, str) or type(own) is int else shown_id)


def read_nodes(path: Path, top: str, problems: list[Problem]) -> Iterator[Node]:
    """Yield the records of the file at `path`; `top` is the name of their list, where the file is one JSON object.

    What is wrong goes into `problems`. Raises DataError for a file that is empty or cannot be unpacked,
    EnvironmentFault for a parquet file where pyarrow is not installed.
    """
    magic = _first_bytes(path)
    if magic.startswith(_PARQUET):
        yield from (make_node(row, f": row {number}", problems) for number, row in enumerate(_table_rows(path), 1))
        return
    name = str(path)
    zipped = magic.startswith(_GZIP)
    text = mend_surrogates(_unzip(path) if zipped else read_text(path, limit=MAX_JSON_BYTES, lines=False), name)
    if not text.strip():
        raise DataError("the file is empty", where=name)
    if _has_object_on_first_line(text):
        yield from _line_nodes(text, problems)
        return
    value, wrong = parse_json(text)
    problems += wrong
    if isinstance(value, list):
        yield from Node({}, "", problems).listed(": ", value)
    elif not wrong and (mistyped := type_problem(value, dict)):
        problems.append(Problem("", mistyped))
    elif isinstance(value, dict):
        root = Node(value, "", problems)
        alone = top not in value and not _RECORD_FIELDS.isdisjoint(value)
        yield from [make_node(value, "", problems)] if alone else root.children(top)


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(len(_PARQUET))
    except OSError:
        return b""  # the reader of the text says what is wrong


def _unzip(path: Path) -> str:
    try:
        with gzip.open(path) as stream:
            data = stream.read(MAX_JSON_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be unpacked ({error})", where=str(path)) from error
    if len(data) > MAX_JSON_BYTES:
        raise DataError(f"unpacks to more than the limit of {MAX_JSON_BYTES:,} bytes a file", where=str(path))
    return decode(data, str(path))


def _has_object_on_first_line(text: str) -> bool:
    """Return whether `text` is JSON lines: the first line is an object, and more follows."""
    first, _, rest = text.partition("\n")
    return bool(rest.strip()) and isinstance(parse_json(first)[0], dict)


def _line_nodes(text: str, problems: list[Problem]) -> Iterator[Node]:
    lines = split_lines(text)
    while not lines[-1].strip():
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            problems.append(Problem(f":{number}", "blank line"))
            continue
        value, wrong = parse_json(line, number, ends_file=number == len(lines))
        if not wrong and (mistyped := type_problem(value, dict)):
            wrong = [Problem(f":{number}", mistyped)]
        problems += wrong
        if isinstance(value, dict):
            yield make_node(value, f":{number}", problems)


def _table_rows(path: Path) -> list[dict[str, Json]]:
    try:
        # Comes with datasets; slow to import, and needed for such files only.
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow.parquet import read_table  # noqa: PLC0415
    except ImportError as error:
        hint = "pip install pyarrow, or give the original JSON files"
        raise EnvironmentFault("a parquet file needs the package pyarrow", where=str(path), hint=hint) from error
    try:
        return cast(list[dict[str, Json]], read_table(path).to_pylist())
    except (pa.ArrowException, OSError, ValueError) as error:
        what = f"not a parquet file that can be read ({str(error).partition(chr(10))[0]}): copied only in part?"
        raise DataError(what, where=str(path)) from error
