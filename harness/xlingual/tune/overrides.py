"""What the command line sets in a recipe: `--set schedule.learning_rate=1e-4`, as if it were written in the file.

A key is dotted as in TOML, a value is TOML; a text needs no quotes: `--set sources.news.use="10k rows"` in a shell. A
table replaces the whole table of the file. The strict reader of recipes checks it all, and names the option.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import DataError, UsageError
from ..files import MAX_DEPTH
from ..text import did_you_mean
from ..toml_table import TomlTable, parse_value, refuse_large, split_assignment
from .schedule_keys import METHOD_KEYS, SCHEDULE_KEYS

OPTION = "--set"
SOURCES_KEY = "sources"
_BELOW = {"schedule": SCHEDULE_KEYS, "method": METHOD_KEYS}
"""Keys that are often asked for without their table."""


@dataclass(frozen=True, slots=True)
class Override:
    """A value of a recipe that the command line sets."""

    place: tuple[str, ...]
    """The keys that lead to it: ("schedule", "learning_rate")."""
    value: object

    @property
    def option(self) -> str:
        """How the option is named in messages."""
        return f"{OPTION} {'.'.join(self.place)}"


def read_override(word: str) -> Override:
    """Return the override that is written as `word`, KEY=VALUE; UsageError where it is none."""
    found = split_assignment(word)
    if found is None:
        raise UsageError(f"{word!r} is not KEY=VALUE", where=OPTION, hint=f"{OPTION} schedule.learning_rate=1e-4")
    place, text = found
    if len(place) > MAX_DEPTH:
        raise UsageError(f"a key nested more than {MAX_DEPTH} levels deep", where=OPTION)
    named = Override(place, None)
    return replace(named, value=parse_value(text, named.option))


def apply_overrides(top: TomlTable, words: Sequence[str]) -> TomlTable:
    """Return a recipe's file with `words`, each KEY=VALUE, in it, the later over the earlier.

    Raises UsageError where one cannot be read, or lies in a source that the file does not have.
    """
    for word in words:
        top = _apply(top, read_override(word))
    return top


def _apply(top: TomlTable, override: Override) -> TomlTable:
    place = override.place
    sources = top.values.get(SOURCES_KEY)
    if place[0] == SOURCES_KEY and len(place) > 2 and isinstance(sources, Mapping) and place[1] not in sources:
        hint = did_you_mean(place[1], sources)
        raise UsageError(f"the file has no source {place[1]!r}", where=override.option, hint=hint)
    if len(place) == 1 and (tables := [name for name, keys in _BELOW.items() if place[0] in keys]):
        hint = f"did you mean {tables[0]}.{place[0]}?"
        raise UsageError(f"a recipe has no key {place[0]!r}", where=override.option, hint=hint)
    values = _put(top.values, override, 0)
    options = {key: option for key, option in top.options.items() if key[: len(place)] != place}
    lines = {key: line for key, line in top.lines.items() if key[: len(place)] != place}
    for length in range(1, len(place) + 1):
        if place[:length] not in lines and place[:length] not in options:
            options[place[:length]] = override.option
    done = replace(top, values=values, lines=lines, options=options)
    refuse_large(done, override.value, place)
    return done


def _put(values: Mapping[str, object], override: Override, depth: int) -> dict[str, object]:
    """Return `values`, a table `depth` levels deep on the way to the override's place, with the value at that place."""
    key = override.place[depth]
    if depth + 1 == len(override.place):
        return {**values, key: override.value}
    inner = values.get(key, {})
    if not isinstance(inner, Mapping):
        name = ".".join(override.place[: depth + 1])
        raise UsageError(f"{name!r} is no table: it is {inner!r}", where=override.option)
    return {**values, key: _put(inner, override, depth + 1)}


def blame_overrides(error: DataError, words: Sequence[str]) -> UsageError:
    """Return `error`, of a line of a file that is right without the overrides `words`, as one that names them."""
    options = ", ".join(dict.fromkeys(read_override(word).option for word in words))
    return UsageError(f"{error.what} ({error.where})", where=options, hint=error.hint)
