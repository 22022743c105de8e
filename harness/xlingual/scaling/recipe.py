"""Writes an allocation into a tuning recipe: the amounts of the named sources, and not a byte else."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ..data.text_file import read_text
from ..errors import DataError, UsageError
from ..registry import did_you_mean

_HEADER = re.compile(r"^\s*\[")
_USE = re.compile(r"""^(\s*(?:use|"use"|'use')\s*=\s*)("(?:[^"\\]|\\.)*"|'[^']*')(\s*(?:#.*)?)$""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A recipe file, as text and as data."""

    path: str
    text: str
    sources: Mapping[str, Mapping[str, object]]


def read_template(path: Path) -> Template:
    """Read a recipe; DataError where it is not TOML or has no `[sources.NAME]` tables."""
    text = read_text(path)
    try:
        data = tomllib.loads(text)
    except ValueError as error:
        raise DataError(f"is not TOML: {error}", where=str(path)) from error
    sources = data.get("sources")
    if not isinstance(sources, dict) or not sources or not all(isinstance(each, dict) for each in sources.values()):
        raise DataError("has no [sources.NAME] tables", where=str(path), hint="name a recipe of xlingual tune")
    return Template(path=str(path), text=text, sources=cast(Mapping[str, Mapping[str, object]], sources))


def find_sources(template: Template, codes: Sequence[str], named: Mapping[str, str]) -> dict[str, str]:
    """Return which source of the recipe holds the translations of each language.

    That is the one in `named`, else the only one whose `direction` ("en-zh") ends, or else begins, with the language.
    Raises UsageError where there is none, or more than one.
    """
    for code, name in named.items():
        if code not in codes:
            hint = did_you_mean(code, codes)
            raise UsageError(f"nothing is allocated to {code!r}", where=f"--source {code}={name}", hint=hint)
        if name not in template.sources:
            hint = did_you_mean(name, list(template.sources))
            raise UsageError(f"no such source in {template.path}", where=f"--source {code}={name}", hint=hint)
    found = {}
    for code in codes:
        names = [named[code]] if code in named else _translations(template, code)
        if len(names) != 1:
            what = f"{len(names)} sources translate {code}" + (f": {', '.join(names)}" if names else "")
            raise UsageError(what, where=template.path, hint=f"say which by --source {code}=NAME")
        found[code] = names[0]
    if len(set(found.values())) < len(found):
        raise UsageError("two languages have one source", where=template.path, hint="a source is of one direction")
    return found


def allocated_recipe(template: Template, rows: Mapping[str, int]) -> str:
    """Return the recipe's text with `use = "N rows"` in each source that `rows` names.

    Comments, order and all other keys stay as they are. Raises DataError where the text is written in a way that
    cannot be changed safely: the result is read back and must differ in these amounts only.
    """
    lines = template.text.split("\n")
    for name, count in rows.items():
        lines = _set_use(lines, name, f'"{count} rows"', template.path)
    text = "\n".join(lines)
    wanted = tomllib.loads(template.text)
    for name, count in rows.items():
        wanted["sources"][name]["use"] = f"{count} rows"
    try:
        same = tomllib.loads(text) == wanted
    except ValueError:
        same = False
    if not same:
        hint = "write each source as a [sources.NAME] table with a line: use = ..."
        raise DataError("its sources cannot be changed safely", where=template.path, hint=hint)
    return text


def _translations(template: Template, code: str) -> list[str]:
    ends: dict[str, tuple[str, str]] = {}
    for name, source in template.sources.items():
        direction = source.get("direction")
        if isinstance(direction, str) and "-" in direction:
            first, _, last = direction.partition("-")
            ends[name] = (first, last)
    into = [name for name, (_, last) in ends.items() if last == code]
    return into or [name for name, (first, _) in ends.items() if first == code]


def _set_use(lines: list[str], name: str, value: str, path: str) -> list[str]:
    headers = {f"[sources.{quoted}]" for quoted in (name, f'"{name}"', f"'{name}'")}
    starts = [index for index, line in enumerate(lines) if re.sub(r"\s*(#.*)?$", "", line).strip() in headers]
    if len(starts) != 1:
        raise DataError(f"no line [sources.{name}]", where=path, hint="write each source as a table of its own")
    start = starts[0]
    end = next((index for index in range(start + 1, len(lines)) if _HEADER.match(lines[index])), len(lines))
    for index in range(start + 1, end):
        if match := _USE.match(lines[index]):
            return [*lines[:index], f"{match[1]}{value}{match[3]}", *lines[index + 1 :]]
    return [*lines[: start + 1], f"use = {value}", *lines[start + 1 :]]
