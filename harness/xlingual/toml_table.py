"""A TOML file as tables whose every complaint names file, line and key."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .errors import UsageError
from .text import did_you_mean

Kind = TypeVar("Kind")
_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(#.*)?")
_KEY = re.compile(r"""\s*("[^"]*"|'[^']*'|[A-Za-z0-9_-]+)\s*=""")
_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)")
_NAMES = {str: "a text", int: "a whole number", float: "a number", list: "a list", dict: "a table"}


@dataclass(frozen=True, slots=True)
class TomlTable:
    """A table of a TOML file; what is asked of it and is not there, or not of its kind, is a UsageError."""

    values: Mapping[str, object]
    path: Path
    name: tuple[str, ...]
    """Keys that lead to the table; () for the file itself."""
    lines: Mapping[tuple[str, ...], int]
    """Line of every key of the file, counted from 1."""

    def fault(self, key: str, what: str, *, hint: str = "") -> UsageError:
        """Return the error about `key` of this table; about the table itself for ""."""
        place = (*self.name, key) if key else self.name
        line = self.lines.get(place) or self.lines.get(self.name)
        return UsageError(f"{what}", where=f"{self.path}:{line}" if line else str(self.path), hint=hint)

    def allow(self, keys: Sequence[str]) -> None:
        """Refuse any key but `keys`."""
        for key in self.values:
            if key not in keys:
                raise self.fault(key, f"unknown key {key!r}", hint=did_you_mean(key, keys))

    def has(self, key: str) -> bool:
        """Return whether `key` is there."""
        return key in self.values

    def get(self, key: str, kind: type[Kind]) -> Kind:
        """Return the value of `key`; a whole number counts as a number."""
        if key not in self.values:
            raise self.fault("", f"key {key!r} is missing", hint=f"it must be {_NAMES[kind]}")
        value = self.values[key]
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise self.fault(key, f"{key!r} must be {_NAMES[kind]}, got {value!r}")
        return value

    def text(self, key: str) -> str:
        """Return the text of `key`, which must not be blank."""
        value = self.get(key, str)
        if not value.strip():
            raise self.fault(key, f"{key!r} is empty")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the texts of `key`: a list, or one text alone."""
        value = self.values.get(key)
        items = [value] if isinstance(value, str) else self.get(key, list)
        if not items or not all(isinstance(item, str) and item.strip() for item in items):
            raise self.fault(key, f"{key!r} must be a text or a list of texts, got {value!r}")
        return tuple(str(item) for item in items)

    def choice(self, key: str, words: Sequence[str]) -> str:
        """Return the text of `key`, one of `words`."""
        value = self.text(key)
        if value not in words:
            raise self.fault(key, f"{key!r} is {value!r}", hint=f"one of {', '.join(words)}")
        return value

    def number(self, key: str, *, least: float, most: float, above: bool = False) -> float:
        """Return the number of `key`, from `least` to `most`; greater than `least` where `above`."""
        value = self.get(key, float)
        if not least <= value <= most or (above and value == least):
            limit = f"above {least:g}" if above else f"at least {least:g}"
            raise self.fault(key, f"{key!r} must be {limit} and at most {most:g}, got {value:g}")
        return value

    def count(self, key: str, *, least: int = 1) -> int:
        """Return the whole number of `key`, at least `least`."""
        value = self.get(key, int)
        if value < least:
            raise self.fault(key, f"{key!r} must be at least {least}, got {value}")
        return value

    def table(self, key: str) -> "TomlTable":
        """Return the table at `key`."""
        return TomlTable(self.get(key, dict), self.path, (*self.name, key), self.lines)


def read_toml(path: Path) -> TomlTable:
    """Read a TOML file; UsageError naming line and column for what is none, a key that is there twice included."""
    try:
        text = path.read_text(encoding="utf-8")
        values: dict[str, object] = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror or error})", where=str(path)) from error
    except ValueError as error:
        place = _PLACE.search(str(error))
        position = f":{place[1]}:{place[2]}" if place and place[1] else ""
        what = f"not TOML in UTF-8 ({_PLACE.sub('', str(error))})"
        raise UsageError(what, where=f"{path}{position}") from error
    return TomlTable(values, path, (), dict(_line_numbers(text)))


def _line_numbers(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the place of every header and every key that begins a line, with its line."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), start=1):
        if header := _HEADER.fullmatch(line):
            table = tuple(part.strip().strip("\"'") for part in header[1].split("."))
            yield table, number
        elif key := _KEY.match(line):
            yield (*table, key[1].strip("\"'")), number
