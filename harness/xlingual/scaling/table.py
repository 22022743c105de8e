"""CSV tables with a header, read strictly: every bad cell is named by line and column."""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..errors import DataError, UsageError
from ..files import Problem, read_text, require_file
from ..languages import find_language
from ..text import did_you_mean

Value = TypeVar("Value")

_DIGITS = 15
"""Of the largest whole number; more than all text there is."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """The cells of one line, and what was found wrong with them."""

    cells: Mapping[str, str]
    required: Sequence[str]
    position: str
    """":3": what follows the path in a message."""
    problems: list[Problem]

    def read(self, column: str, convert: Callable[[str], Value]) -> Value | None:
        """Return a cell, or None where it is empty or wrong; what is wrong is added to `problems`.

        `convert` raises ValueError or UsageError for what it does not take.
        """
        cell = self.cells.get(column, "")
        if not cell:
            if column in self.required:
                self.problems.append(Problem(self.position, f"{column!r} is empty"))
            return None
        try:
            return convert(cell)
        except (ValueError, UsageError) as error:
            self.problems.append(Problem(self.position, f"{column!r}: {error}"))
            return None


def read_table(path: Path, columns: Sequence[str], required: Sequence[str]) -> list[TableRow]:
    """Return the rows of a CSV file whose header names some of `columns`, all of the `required`, in any order.

    Blank lines are left out, an empty cell is unset. UsageError where there is no such file, DataError for
    unknown, repeated and missing columns, and for a file without rows.
    """
    rows = _read_cells(path)
    if len(rows) < 2:
        hint = f"the first line names the columns: {','.join(columns)}"
        raise DataError("no records", where=str(path), hint=hint)
    header = [name.strip() for name in rows[0][1]]
    _check_header(header, columns, required, f"{path}:{rows[0][0]}")
    table = []
    for line, cells in rows[1:]:
        position = f":{line}"
        if len(cells) != len(header):
            raise DataError(f"{len(cells)} cells, but the header has {len(header)}", where=f"{path}{position}")
        named = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        table.append(TableRow(named, required, position, []))
    return table


def language_code(cell: str) -> str:
    """Return the code of the language that a cell names."""
    return find_language(cell).code


def whole_number(cell: str) -> int:
    """Return a whole number that is not negative; ValueError for any other text."""
    if not (cell.isascii() and cell.isdigit()):
        raise ValueError(f"{cell!r} is not a whole number")
    if len(cell) > _DIGITS:
        raise ValueError(f"a number of {len(cell)} digits is more than there can be")
    return int(cell)


def number(cell: str) -> float:
    """Return a finite number; ValueError for any other text."""
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"{cell!r} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{cell!r} is not a finite number")
    return value


def _read_cells(path: Path) -> list[tuple[int, list[str]]]:
    """Return the rows that are not blank, each with the number of its (last) line."""
    require_file(path)
    reader = csv.reader(io.StringIO(read_text(path)), strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise DataError(f"not CSV ({error})", where=f"{path}:{reader.line_num}") from error


def _check_header(header: Sequence[str], columns: Sequence[str], required: Sequence[str], where: str) -> None:
    for name in header:
        if name not in columns:
            raise DataError(f"unknown column {name!r}", where=where, hint=did_you_mean(name, columns))
        if header.count(name) > 1:
            raise DataError(f"column {name!r} is there twice", where=where)
    if missing := [name for name in required if name not in header]:
        raise DataError(f"column {missing[0]!r} is missing (has: {', '.join(header)})", where=where)
