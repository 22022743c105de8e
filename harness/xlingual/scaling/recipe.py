"""Writes an allocation into a tuning recipe: the amounts of its translation sources, and nothing else.

The text is edited line by line, so that comments and order stay, and then read back: what differs from the template
must be exactly what was to be changed.
"""

import copy
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ..errors import DataError, UsageError
from ..files import read_text
from ..text import did_you_mean
from .records import Share

_HINT = "write each source as a [sources.NAME] table, a key a line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A recipe file, as text and as data."""

    path: str
    text: str
    values: Mapping[str, object]
    sources: Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where a recipe says how much of a language's translations is used."""

    source: str
    direction: str
    """"en-zh"."""


def read_template(path: Path) -> Template:
    """Read a recipe; DataError where it is not TOML or has no `[sources.NAME]` tables."""
    text = read_text(path)
    try:
        data: dict[str, object] = tomllib.loads(text)
    except ValueError as error:
        raise DataError(f"is not TOML: {error}", where=str(path)) from error
    sources = data.get("sources")
    if not isinstance(sources, dict) or not sources or not all(isinstance(each, dict) for each in sources.values()):
        raise DataError("has no [sources.NAME] tables", where=str(path), hint="name a recipe of xlingual tune")
    return Template(path=str(path), text=text, values=data, sources=cast(Mapping[str, Mapping[str, object]], sources))


def find_slots(template: Template, codes: Sequence[str], named: Mapping[str, str]) -> dict[str, Slot]:
    """Return which source and direction of the recipe hold the translations of each language.

    The source is that in `named`, else the only one with a `direction` ("en-zh", or a list of such) into the language,
    else out of it. Raises UsageError where there is none, or more than one.
    """
    for code, name in named.items():
        where = f"--source {code}={name}"
        if code not in codes:
            raise UsageError(f"nothing is allocated to {code!r}", where=where, hint=did_you_mean(code, codes))
        if name not in template.sources:
            hint = did_you_mean(name, list(template.sources))
            raise UsageError(f"no such source in {template.path}", where=where, hint=hint)
    slots: dict[str, Slot] = {}
    for code in codes:
        names = [named[code]] if code in named else list(template.sources)
        every = [Slot(source=name, direction=each) for name in names for each in _directions(template, name)]
        into = [slot for slot in every if slot.direction.partition("-")[2] == code]
        found = into or [slot for slot in every if slot.direction.partition("-")[0] == code]
        if len(found) != 1:
            where_found = ", ".join(f"{slot.source} {slot.direction}" for slot in found)
            what = f"{len(found) or 'no'} sources translate {code}" + (f": {where_found}" if found else "")
            raise UsageError(what, where=template.path, hint=f"say which by --source {code}=NAME")
        slots[code] = found[0]
    return slots


def left_alone(template: Template, slots: Mapping[str, Slot]) -> list[str]:
    """Return the translations, as "SOURCE DIRECTION", that no slot holds: the recipe uses them beyond the budget."""
    taken = set(slots.values())
    every = [Slot(source=name, direction=each) for name in template.sources for each in _directions(template, name)]
    return [f"{slot.source} {slot.direction}" for slot in every if slot not in taken]


def allocated_recipe(template: Template, slots: Mapping[str, Slot], shares: Sequence[Share], name: str | None) -> str:
    """Return the recipe's text with `use = "N rows"` for the translations of every share.

    A source of several directions becomes one source for each of them, as amounts differ. `max_epochs` is set where
    a share repeats its data; `name` becomes the recipe's own where it is given, for a recipe is called as its file is.
    Raises DataError where the text cannot be changed safely.
    """
    changes: dict[str, dict[str, Share]] = {}
    for share in shares:
        slot = slots[share.language]
        changes.setdefault(slot.source, {})[slot.direction] = share
    lines = template.text.split("\n")
    wanted = copy.deepcopy(dict(template.values))
    if name is not None:
        lines, wanted["name"] = _set_key(lines, "name", name), name
    sources = cast(dict[str, dict[str, object]], wanted["sources"])
    for source, by_direction in changes.items():
        start, end = _find_block(lines, source, template.path)
        block, table = lines[start:end], sources.pop(source)
        parts = _split_source(source, table, by_direction)
        texts = [_edit_block(block, table, title, changed) for title, changed in parts.items()]
        lines = [*lines[:start], *(line for text in texts for line in text), *lines[end:]]
        sources.update({title: {**table, **changed} for title, changed in parts.items()})
    text = "\n".join(lines)
    try:
        same = tomllib.loads(text) == wanted
    except ValueError:
        same = False
    if not same:
        raise DataError("its sources cannot be changed safely", where=template.path, hint=_HINT)
    return text


def _directions(template: Template, name: str) -> list[str]:
    value = template.sources[name].get("direction", [])
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise DataError(f"'sources.{name}.direction' must be a text or a list of texts", where=template.path)
    if any("{" in each for each in values):
        hint = "an allocation is for a recipe of all languages together"
        raise DataError(f"'sources.{name}.direction' is for one language at a time", where=template.path, hint=hint)
    return values


def _split_source(
    source: str, table: Mapping[str, object], by_direction: Mapping[str, Share]
) -> dict[str, dict[str, object]]:
    """Return the tables that a source becomes, by name, each as what changes in it."""
    if isinstance(table["direction"], str):
        return {source: _amount(by_direction[table["direction"]])}
    parts = {
        f"{source}-{share.language}": {"direction": direction, **_amount(share)}
        for direction, share in by_direction.items()
    }
    rest = [each for each in cast(list[str], table["direction"]) if each not in by_direction]
    return parts | ({source: {"direction": rest}} if rest else {})


def _amount(share: Share) -> dict[str, object]:
    amount: dict[str, object] = {"use": f"{share.rows} rows"}
    if share.available is not None and share.rows > share.available:
        amount["max_epochs"] = -(-share.rows // share.available)
    return amount


def _find_block(lines: Sequence[str], source: str, path: str) -> tuple[int, int]:
    """Return where the table of `source` begins and ends; blank lines and comments before the next are not its own."""
    headers = {f"[sources.{quoted}]" for quoted in (source, f'"{source}"', f"'{source}'")}
    starts = [index for index, line in enumerate(lines) if re.sub(r"\s*(#.*)?$", "", line).strip() in headers]
    if len(starts) != 1:
        raise DataError(f"no line [sources.{source}]", where=path, hint=_HINT)
    end = starts[0] + 1
    while end < len(lines) and not lines[end].lstrip().startswith("["):
        end += 1
    while not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#"):
        end -= 1
    return starts[0], end


def _edit_block(
    block: Sequence[str], table: Mapping[str, object], title: str, changed: Mapping[str, object]
) -> list[str]:
    header, lines = block[0], list(block[1:])
    for key, value in changed.items():
        lines = _set_key(lines, key, value) if key in table else [*lines, f"{key} = {json.dumps(value)}"]
    separate = isinstance(table["direction"], list)
    return [f"[sources.{title}]", *lines, ""] if separate else [header, *lines]


def _set_key(lines: Sequence[str], key: str, value: object) -> list[str]:
    """Return `lines` with the first line of `key` given another value, a comment after it kept."""
    pattern = re.compile(rf"""^(\s*{key}\s*=\s*)("(?:[^"\\]|\\.)*"|'[^']*'|\[[^\]#]*\]|[^"'\[#]*?)(\s*(?:#.*)?)$""")
    for index, line in enumerate(lines):
        if match := pattern.match(line):
            return [*lines[:index], f"{match[1]}{json.dumps(value)}{match[3]}", *lines[index + 1 :]]
    return list(lines)
