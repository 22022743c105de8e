"""The one strict reader of TOML: a file as tables whose every complaint names file, line and key.

Recipes, sweeps, leaderboards and the templates of allocations are read by it. What is wrong in such a file is a
DataError (exit code 3); a file that is not there is a wrong word of the command line, a UsageError (2).
"""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from .errors import DataError, UsageError
from .files import MAX_DEPTH, read_text, require_file
from .languages import find_language
from .text import did_you_mean

Kind = TypeVar("Kind")
MAX_TOML_BYTES = 2**20
"""The largest TOML file that is read: 1 MiB, some thousand times the largest recipe."""

_WHOLE = range(-(2**63), 2**63)
_PART = r"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
_DOTTED = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEADER = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_DOTTED})")
_KEY = re.compile(rf"[ \t]*({_DOTTED})")
_TOKEN = re.compile(
    r'''#[^\n]*|"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"""|\'\'\'|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[\[{\]}\n]''', re.DOTALL
)
_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)")
_NAMES = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", list: "a list", dict: "a table",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TomlTable:
    """A table of a TOML file; what is asked of it and is not there, or not of its kind, is a DataError."""

    values: Mapping[str, object]
    path: Path
    name: tuple[str, ...]
    """Keys that lead to the table, () for the file itself; the tables of [[an array]] are called "1", "2", ..."""
    lines: Mapping[tuple[str, ...], int]
    """Line of every key and header of the file, counted from 1; not of keys within an inline table."""
    options: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    """The option of the command line that has set a key, by the key's place: "--set schedule.warmup"."""

    def fault(self, key: str, what: str, *, hint: str = "") -> DataError | UsageError:
        """Return the error about `key` of this table; about the table itself for "".

        It names file and line, or, as a UsageError, the option of the command line that has set the key.
        """
        place = (*self.name, key) if key else self.name
        while place and place not in self.lines and place not in self.options:
            place = place[:-1]
        if place in self.options:
            return UsageError(what, where=self.options[place], hint=hint)
        return DataError(what, where=f"{self.path}:{self.lines[place]}" if place else str(self.path), hint=hint)

    def allow(self, keys: Sequence[str]) -> None:
        """Refuse any key but `keys`."""
        for key in self.values:
            if key not in keys:
                raise self.fault(key, f"unknown key {key!r}", hint=did_you_mean(key, keys))

    def has(self, key: str) -> bool:
        """Return whether `key` is there."""
        return key in self.values

    def get(self, key: str, kind: type[Kind], *, hint: str = "") -> Kind:
        """Return the value of `key`; a whole number counts as a number. `hint` is that of a value of another kind."""
        if key not in self.values:
            raise self.fault("", f"key {key!r} is missing", hint=f"it must be {_NAMES[kind]}")
        value = self.values[key]
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            got = str(value).lower() if isinstance(value, bool) else repr(value)
            raise self.fault(key, f"{key!r} must be {_NAMES[kind]}, got {got}", hint=hint)
        return value

    def text(self, key: str, *, hint: str = "") -> str:
        """Return the text of `key`, which must not be blank; `hint` is that of what is no text."""
        value = self.get(key, str, hint=hint)
        if not value.strip():
            raise self.fault(key, f"{key!r} is empty", hint=hint)
        return value

    def texts(self, key: str, *, least: int = 1) -> tuple[str, ...]:
        """Return the texts of `key`, at least as many as `least`: a list, or one text alone."""
        kind = "a text or a list of texts"
        if key not in self.values:
            raise self.fault("", f"key {key!r} is missing", hint=f"it must be {kind}")
        value = self.values[key]
        items = value if isinstance(value, list) else [value]
        if len(items) < least or not all(isinstance(item, str) and item.strip() for item in items):
            raise self.fault(key, f"{key!r} must be {kind}, got {value!r}")
        return tuple(items)

    def choice(self, key: str, words: Sequence[str]) -> str:
        """Return the text of `key`, one of `words`."""
        hint = f"one of {', '.join(words)}"
        value = self.text(key, hint=hint)
        if value not in words:
            raise self.fault(key, f"{key!r} is {value!r}", hint=hint)
        return value

    def language(self, key: str, word: str) -> str:
        """Return the code of the language `word`, which stands at `key`, by itself or in a text or list there."""
        try:
            return find_language(word).code
        except UsageError as error:
            raise self.fault(key, error.what, hint=error.hint) from error

    def number(self, key: str, *, least: float, most: float, above: bool = False) -> float:
        """Return the number of `key`, from `least` to `most`; greater than `least` where `above`."""
        value = self.get(key, float)
        if not least <= value <= most or (above and value == least):
            limit = f"above {least:g}" if above else f"at least {least:g}"
            raise self.fault(key, f"{key!r} must be {limit} and at most {most:g}, got {value:g}")
        return value + 0.0  # -0.0 is 0.0, and so has its hash

    def count(self, key: str, *, least: int = 1) -> int:
        """Return the whole number of `key`, at least `least`."""
        value = self.get(key, int)
        if value < least:
            raise self.fault(key, f"{key!r} must be at least {least}, got {value}")
        return value

    def counts(self, key: str, *, least: int) -> tuple[int, ...]:
        """Return the whole numbers of `key`, a list of one or more, each larger than the one before it."""
        values = self.get(key, list)
        wrong = next((each for each in values if type(each) is not int or each < least), None)
        if not values or wrong is not None:
            raise self.fault(key, f"{key!r} must be a list of whole numbers from {least} up, got {values!r}")
        if sorted(set(values)) != values:
            raise self.fault(key, f"{key!r} must rise, each number once, got {values!r}")
        return tuple(values)

    def table(self, key: str) -> "TomlTable":
        """Return the table at `key`."""
        return replace(self, values=self.get(key, dict), name=(*self.name, key))

    def tables(self, key: str) -> tuple["TomlTable", ...]:
        """Return the tables written as [[key]]; none where there is no such key."""
        values = self.get(key, list) if key in self.values else []
        if not all(isinstance(each, dict) for each in values):
            raise self.fault(key, f"{key!r} must be written as [[{key}]] tables")
        names = ((*self.name, key, str(number)) for number in range(1, len(values) + 1))
        return tuple(replace(self, values=each, name=name) for each, name in zip(values, names, strict=True))


def read_toml(path: Path) -> TomlTable:
    """Read a TOML file.

    Raises UsageError where there is no such file; DataError naming line and column for bytes that are not UTF-8, for
    what is not TOML, a key that is there twice included, for tables and lists nested over `MAX_DEPTH` levels deep, and
    for whole numbers over 64 bits, which TOML does not promise and neither floats nor messages can always hold.
    """
    require_file(path)
    text = read_text(path, limit=MAX_TOML_BYTES)
    lines, too_deep = _read_lines(text)
    if too_deep is not None:
        raise DataError(f"nested more than {MAX_DEPTH} levels deep", where=f"{path}:{too_deep}")
    try:
        values: dict[str, object] = tomllib.loads(text)
    except ValueError as error:
        what, place = _PLACE.sub("", str(error)), _PLACE.search(str(error))
        position = f"{place[1]}:{place[2]}" if place and place[1] else f"{text.rstrip().count(chr(10)) + 1}"
        raise DataError(f"not TOML ({what})", where=f"{path}:{position}") from error
    table = TomlTable(values, path, (), lines)
    refuse_large(table, values, ())
    return table


def refuse_large(top: TomlTable, value: object, place: tuple[str, ...]) -> None:
    """Raise DataError with the line of the first whole number in `value`, which stands at `place`, over 64 bits."""
    if isinstance(value, dict):
        for key, each in value.items():
            refuse_large(top, each, (*place, key))
    elif isinstance(value, list):
        for number, each in enumerate(value, start=1):
            refuse_large(top, each, (*place, str(number)))
    elif isinstance(value, int) and value not in _WHOLE:
        what = f"a whole number over 64 bits at {'.'.join(place)!r}"
        raise replace(top, name=place).fault("", what, hint="from -2**63 to 2**63 - 1")


def split_assignment(word: str) -> tuple[tuple[str, ...], str] | None:
    """Return the place and the text of the value of `word`, "schedule.warmup=0.1"; None where no key stands first."""
    found = re.match(rf"[ \t]*({_DOTTED})[ \t]*=", word)
    return None if found is None else (tuple(_parts(found[1])), word[found.end() :].strip())


def parse_value(text: str, where: str) -> object:
    """Return the value that is written as `text` in TOML; what is no TOML and opens no bracket or quote is a text.

    So a text needs no quotes of its own within those of a shell. Raises UsageError naming `where`.
    """
    statement = f"value = {text}"
    if _read_lines(statement)[1] is not None:
        raise UsageError(f"nested more than {MAX_DEPTH} levels deep", where=where)
    try:
        values: dict[str, object] = tomllib.loads(statement)
    except ValueError as error:
        if text[:1] not in ("[", "{", '"', "'"):
            return text
        what = _PLACE.sub("", str(error))
        raise UsageError(f"{text!r} is not TOML ({what})", where=where, hint="quote the whole for the shell") from error
    if len(values) > 1:
        raise UsageError("is one key with one value", where=where, hint="give the option again for each key")
    return values["value"]


def toml_comments(text: str) -> list[str]:
    """Return the comments of a TOML text, each with its "#", in order."""
    return [token for token in _TOKEN.findall(text) if token.startswith("#")]


def _read_lines(text: str) -> tuple[dict[tuple[str, ...], int], int | None]:
    """Return the line of every header and key in `text`, and the first line that is nested too deeply.

    The text may be broken TOML; what is found behind the break does not matter then.
    """
    lines: dict[tuple[str, ...], int] = {}
    arrays: Counter[tuple[str, ...]] = Counter()
    table: tuple[str, ...] = ()
    start, line = 0, 1
    while start < len(text):
        name = table
        if header := _HEADER.match(text, start):
            name = table = _full_name(_parts(header[2]), arrays, new=header[1] == "[[")
        elif key := _KEY.match(text, start):
            name = (*table, *_parts(key[1]))
        if len(name) > MAX_DEPTH:
            return lines, line
        for length in range(1, len(name) + 1):
            lines.setdefault(name[:length], line)
        end, is_deep = _end_of_statement(text, start, MAX_DEPTH - len(name) + (len(header[1]) if header else 0))
        line += text.count("\n", start, end)
        if is_deep:
            return lines, line
        start = end
    return lines, None


def _parts(dotted: str) -> list[str]:
    return [_unquoted(part) for part in re.findall(_PART, dotted)]


def _unquoted(part: str) -> str:
    """Return the key that is written as `part`; of an escape that is none, as it stands."""
    if part.startswith('"') and "\\" in part:
        try:
            return next(iter(tomllib.loads(f"{part} = 0")))
        except ValueError:
            return part
    return part[1:-1] if part[0] in "\"'" else part


def _full_name(parts: Sequence[str], arrays: Counter[tuple[str, ...]], *, new: bool) -> tuple[str, ...]:
    """Return the name of a header with the number of each [[array]] that it lies in; `new` begins a table of one."""
    name: tuple[str, ...] = ()
    if len(parts) > MAX_DEPTH:  # refused by its length: tuples of it would take hours
        return tuple(parts)
    for index, part in enumerate(parts, start=1):
        name = (*name, part)
        if new and index == len(parts):
            arrays[name] += 1
        if name in arrays:
            name = (*name, str(arrays[name]))
    return name


def _end_of_statement(text: str, start: int, levels: int) -> tuple[int, bool]:
    """Return where the line or the lines of a statement end, or where its brackets are more than `levels` deep."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        match token.group():
            case '"""' | "'''":  # never closed: all the rest is this text
                break
            case "[" | "{":
                depth += 1
                if depth > levels:
                    return token.end(), True
            case "]" | "}":
                depth -= 1
            case "\n" if depth <= 0:
                return token.end(), False
    return len(text), False
