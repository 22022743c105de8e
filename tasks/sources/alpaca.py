"""Instruction data in the layout of Stanford Alpaca, JSON or JSONL: instruction, input (may be missing) and output."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from xlingual import DataFile, DataSource, Examples, read_records
from xlingual.data import Problem, data_error, fill_path, instruction_examples, locate_text, read_json, type_problem
from xlingual.errors import UsageError
from xlingual.identity import Json
from xlingual.records import Corpus
from xlingual.registry import register_source
from xlingual.wording import ask_instruction

COLUMNS = ("instruction", "input", "output")


@register_source("alpaca", ask=ask_instruction)
def read(corpus: Corpus, data_source: DataSource) -> Examples:
    """Read one file; rows without an instruction or an output are counted and left out."""
    columns = corpus.columns or COLUMNS
    if len(columns) != len(COLUMNS):
        raise UsageError("columns must name instruction, input and output", where=corpus.name)
    file = locate_text(fill_path(corpus, corpus.language), data_source)
    return instruction_examples(corpus, _rows(file, columns), file)


def _rows(file: DataFile, columns: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Yield instruction, input and output; a row without the field for its input has none."""
    instruction, given, output = columns
    for values in _objects(file, columns):
        yield cast(str, values[instruction]), cast(str, values.get(given, "")), cast(str, values[output])


def _objects(file: DataFile, columns: tuple[str, ...]) -> list[Mapping[str, Json]]:
    path = Path(file.path)
    if path.suffix == ".jsonl":
        return [row.values for row in read_records(path, dict.fromkeys(columns, str), optional=columns[1:2])]
    data = read_json(path)
    if wrong := type_problem(data, list):
        hint = "one object a line is read from files named .jsonl" if isinstance(data, dict) else ""
        raise data_error(file.path, [Problem("", wrong)], hint=hint)
    items = cast(list[Json], data)
    if problems := [each for place, item in enumerate(items) if (each := _problem(place, item, columns))]:
        raise data_error(file.path, problems)
    return cast(list[Mapping[str, Json]], items)


def _problem(place: int, item: Json, columns: tuple[str, ...]) -> Problem | None:
    if not isinstance(item, Mapping):
        return Problem(f": [{place}]", f"must be an object, got {type(item).__name__}")
    for name in columns:
        if name not in item:
            if name != columns[1]:
                return Problem(f": [{place}]", f"field {name!r} is missing (has: {', '.join(item)})")
        elif wrong := type_problem(item[name], str):
            return Problem(f": [{place}]", f"field {name!r} {wrong}")
    return None
