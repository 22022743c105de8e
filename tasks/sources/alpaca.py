"""Instruction data in the layout of Stanford Alpaca, JSON or JSONL: instruction, input (may be missing) and output.

LLaMA-Factory's further fields are read, too: "system", and "history", the earlier turns as [question, answer] pairs.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from xlingual import DataFile, DataSource, Examples, read_records
from xlingual.data import Problem, data_error, fill_path, instruction_examples, locate_text, read_json, type_problem
from xlingual.errors import DataError, UsageError
from xlingual.identity import Json
from xlingual.records import Corpus
from xlingual.registry import register_source
from xlingual.wording import ask_instruction

COLUMNS = ("instruction", "input", "output")
CONVERSATIONS = ("messages", "conversations")
"""Fields that tell that a row is a conversation, which another reader takes."""
SYSTEM = "system"
HISTORY = "history"


@register_source("alpaca", ask=ask_instruction)
def read(corpus: Corpus, data_source: DataSource) -> Examples:
    """Read one file; rows without an instruction or an output are counted and left out.

    An input, a system prompt or a history that is missing, null or empty is none. UsageError for columns that are not
    the three of an instruction, DataError for a row without its fields.
    """
    columns = corpus.columns or COLUMNS
    if len(columns) != len(COLUMNS):
        raise UsageError("columns must name instruction, input and output", where=corpus.name)
    file = locate_text(fill_path(corpus, corpus.language), data_source)
    try:
        rows = _objects(file, columns)
    except DataError as error:
        has = error.what.partition("(has: ")[2]
        hint = 'reader = "messages" reads conversations' if has.startswith(CONVERSATIONS) else error.hint
        raise DataError(error.what, where=error.where, hint=hint) from error
    instruction, given, output = columns
    texts = [(_text(row, instruction), _text(row, given), _text(row, output)) for row in rows]
    return instruction_examples(corpus, texts, file, [dict(_before(row)) for row in rows])


def _text(row: Mapping[str, Json], name: str) -> str:
    return cast(str, row.get(name) or "")


def _before(row: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Yield the fields of a row's system prompt and of its earlier turns."""
    if (system := _text(row, SYSTEM)).strip():
        yield SYSTEM, system
    for number, turn in enumerate(cast(list[list[str]], row.get(HISTORY) or []), start=1):
        yield f"user {number}", turn[0]
        yield f"assistant {number}", turn[1]


def _objects(file: DataFile, columns: tuple[str, ...]) -> list[Mapping[str, Json]]:
    path, kinds = Path(file.path), _kinds(columns)
    optional = (columns[1], SYSTEM, HISTORY)
    if path.suffix == ".jsonl":
        rows = read_records(path, kinds, optional=optional, nullable=optional)
        places = [(f":{row.line}", row.values) for row in rows]
        wrong = [Problem(place, turns) for place, values in places if (turns := _turns_problem(values))]
        if wrong:
            raise data_error(file.path, wrong)
        return [row.values for row in rows]
    data = read_json(path)
    if not_a_list := type_problem(data, list):
        hint = "one object a line is read from files named .jsonl" if isinstance(data, dict) else ""
        raise data_error(file.path, [Problem("", not_a_list)], hint=hint)
    items = cast(list[Json], data)
    if problems := [each for place, item in enumerate(items) if (each := _problem(place, item, kinds, optional))]:
        raise data_error(file.path, problems)
    return cast(list[Mapping[str, Json]], items)


def _kinds(columns: tuple[str, ...]) -> dict[str, type]:
    kinds: dict[str, type] = {SYSTEM: str, HISTORY: list}
    return kinds | dict.fromkeys(columns, str)


def _problem(place: int, item: Json, kinds: Mapping[str, type], optional: tuple[str, ...]) -> Problem | None:
    if not isinstance(item, Mapping):
        return Problem(f": [{place}]", f"must be an object, got {type(item).__name__}")
    for name, kind in kinds.items():
        value = item.get(name)
        if name in optional and value is None:
            continue
        if name not in item:
            return Problem(f": [{place}]", f"field {name!r} is missing (has: {', '.join(item)})")
        if wrong := type_problem(value, kind):
            return Problem(f": [{place}]", f"field {name!r} {wrong}")
    turns = _turns_problem(item)
    return None if turns is None else Problem(f": [{place}]", turns)


def _turns_problem(row: Mapping[str, Json]) -> str | None:
    """Return what is wrong with the earlier turns of a row; None where nothing is."""
    for number, turn in enumerate(cast(list[Json], row.get(HISTORY) or []), start=1):
        is_pair = isinstance(turn, list) and len(turn) == 2 and all(isinstance(each, str) for each in turn)
        if not is_pair:
            return f"field {HISTORY!r} must be a list of [question, answer] pairs: turn {number} is none"
    return None
