"""Writes an allocation into a tuning recipe: the amounts of its translation sources, and nothing else.

tomlkit changes the values in the text, so that comments and order stay, and the result is read back: what differs from
the template must be exactly what was to be changed.
"""

import copy
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from ..errors import DataError, UsageError
from ..files import read_text
from ..text import did_you_mean
from ..toml_table import TomlTable, read_toml, toml_comments
from ..tune.licenses import LICENSE_KEYS
from ..tune.recipe import RECIPE_KEYS, SOURCE_KEYS
from .records import Share

_REFUSED = "its sources cannot be changed safely"
_HINT = "write each source as a [sources.NAME] table, without comments inside of lists"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A recipe file, as text and as data."""

    text: str
    top: TomlTable
    sources: Mapping[str, TomlTable]


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslationSource:
    """Where a recipe says how much of a language's translations is used."""

    source: str
    direction: str
    """"en-zh"."""


def read_template(path: Path) -> Template:
    """Read a recipe; DataError naming file, line and key where it is not TOML, or its sources are none of a recipe."""
    top = read_toml(path)
    top.allow((*RECIPE_KEYS, *LICENSE_KEYS))
    table = top.table("sources")
    sources = {name: table.table(name) for name in table.values}
    if not sources:
        raise top.fault("sources", "there are no sources", hint="name a recipe of xlingual tune")
    for each in sources.values():
        each.allow((*SOURCE_KEYS, *LICENSE_KEYS))
    return Template(text=read_text(path), top=top, sources=sources)


def find_translation_sources(
    template: Template, codes: Sequence[str], named: Mapping[str, str]
) -> dict[str, TranslationSource]:
    """Return which source and direction of the recipe hold the translations of each language.

    The source is that in `named`, else the only one with a `direction` ("en-zh", or a list of such) into the language,
    else out of it. Raises UsageError where there is none, more than one, or one for two languages.
    """
    for code, name in named.items():
        where = f"--source {code}={name}"
        if code not in codes:
            raise UsageError(f"nothing is allocated to {code!r}", where=where, hint=did_you_mean(code, codes))
        if name not in template.sources:
            hint = did_you_mean(name, list(template.sources))
            raise UsageError(f"no such source in {template.top.path}", where=where, hint=hint)
    sources: dict[str, TranslationSource] = {}
    for code in codes:
        every = _translation_sources(template, [named[code]] if code in named else list(template.sources))
        into = [each for each in every if each.direction.partition("-")[2] == code]
        found = into or [each for each in every if each.direction.partition("-")[0] == code]
        if len(found) != 1:
            where_found = ", ".join(f"{each.source} {each.direction}" for each in found)
            what = f"{len(found) or 'no'} sources translate {code}" + (f": {where_found}" if found else "")
            raise UsageError(what, where=str(template.top.path), hint=f"say which by --source {code}=NAME")
        if other := next((other for other, source in sources.items() if source == found[0]), None):
            what = f"{found[0].source} {found[0].direction} is the source of {other} and of {code}"
            raise UsageError(what, where=str(template.top.path), hint=f"say which by --source {code}=NAME")
        sources[code] = found[0]
    return sources


def left_alone(template: Template, sources: Mapping[str, TranslationSource]) -> list[str]:
    """Return the translations, as "SOURCE DIRECTION", of no language here: the recipe uses them beyond the budget."""
    taken = set(sources.values())
    every = _translation_sources(template, list(template.sources))
    return [f"{each.source} {each.direction}" for each in every if each not in taken]


def allocated_recipe(
    template: Template, sources: Mapping[str, TranslationSource], shares: Sequence[Share], name: str | None
) -> str:
    """Return the recipe's text with `use = "N rows"` for the translations of every share.

    A source of several directions becomes one source for each of them, as amounts differ. `max_epochs` is set where
    a share repeats its data; `name` becomes the recipe's own where it is given, for a recipe is called as its file is.
    Raises DataError where the text cannot be changed safely, UsageError where a share is no row: no recipe says so.
    """
    if none := [share.language for share in shares if share.rows == 0]:
        source = sources[none[0]].source
        hint = f"--at-least 1, or take the source {source} out of the template and {none[0]} out of the points"
        raise UsageError(f"no row of {none[0]} is in the split, and a source has one at least", hint=hint)
    by_source: dict[str, dict[str, Share]] = {}
    for share in shares:
        found = sources[share.language]
        by_source.setdefault(found.source, {})[found.direction] = share
    changes = {each: _split(each, template.sources[each], shared) for each, shared in by_source.items()}
    try:
        text = _edit(template, changes, name)
        same = tomllib.loads(text) == _wanted(template, changes, name)
    except (TOMLKitError, ValueError) as error:
        raise DataError(f"{_REFUSED} ({error})", where=str(template.top.path), hint=_HINT) from error
    if not same or _loses_comments(template.text, text):
        raise DataError(_REFUSED, where=str(template.top.path), hint=_HINT)
    return text


Changes = Mapping[str, Mapping[str, Mapping[str, object]]]
"""By source, the names of the sources that it becomes, each with the keys that change."""


def _translation_sources(template: Template, names: Sequence[str]) -> list[TranslationSource]:
    tables = {name: template.sources[name] for name in names}
    return [
        TranslationSource(source=name, direction=direction)
        for name, table in tables.items()
        for direction in _directions(table)
    ]


def _directions(table: TomlTable) -> Sequence[str]:
    if not table.has("direction"):
        return ()
    directions = table.texts("direction")
    if any("{" in each for each in directions):
        hint = "an allocation is for a recipe of all languages together"
        raise table.fault("direction", "'direction' is for one language at a time", hint=hint)
    return directions


def _split(name: str, table: TomlTable, by_direction: Mapping[str, Share]) -> dict[str, dict[str, object]]:
    """Return the sources that one becomes, by name, each as what changes in it."""
    directions = table.texts("direction")
    if len(directions) == 1:
        return {name: _amount(by_direction[directions[0]])}
    parts = {
        f"{name}-{share.language}": {"direction": direction, **_amount(share)}
        for direction, share in by_direction.items()
    }
    rest = [each for each in directions if each not in by_direction]
    return parts | ({name: {"direction": rest}} if rest else {})


def _amount(share: Share) -> dict[str, object]:
    amount: dict[str, object] = {"use": f"{share.rows} rows"}
    if share.available is not None and share.rows > share.available:
        amount["max_epochs"] = -(-share.rows // share.available)
    return amount


def _wanted(template: Template, changes: Changes, name: str | None) -> dict[str, object]:
    """Return the data that the edited text must hold."""
    values = copy.deepcopy(dict(template.top.values)) | ({} if name is None else {"name": name})
    sources = cast(dict[str, dict[str, object]], values["sources"])
    for source, parts in changes.items():
        table = sources.pop(source)
        sources.update({part: {**table, **changed} for part, changed in parts.items()})
    return values


def _edit(template: Template, changes: Changes, name: str | None) -> str:
    """Return the text of a recipe with other values; ValueError where a source is no [table] of its own."""
    lines = template.text.split("\n")
    blocks = {source: _find_block(template.top, lines, source) for source in changes}
    for source, (start, end) in sorted(blocks.items(), key=lambda item: item[1], reverse=True):
        parts = changes[source]
        body = "\n".join(lines[start + 1 : end])
        texts = [
            [lines[start] if part == source else _renamed(lines[start], part), _with_values(body, changed)]
            for part, changed in parts.items()
        ]
        lines[start:end] = "\n\n".join("\n".join(each) for each in texts).split("\n")
    return _with_values("\n".join(lines), {} if name is None else {"name": name})


def _find_block(top: TomlTable, lines: Sequence[str], source: str) -> tuple[int, int]:
    """Return where the table of `source` begins and ends; blank lines and comments before the next are not its own."""
    place = ("sources", source)
    start = top.lines.get(place, 0) - 1
    if start < 0 or not lines[start].lstrip().startswith("["):
        raise ValueError(f"{source!r} is no [sources.{source}] table")
    after = [line - 1 for name, line in top.lines.items() if line - 1 > start and name[:2] != place]
    end = min(after, default=len(lines))
    while not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#"):
        end -= 1
    return start, end


def _with_values(text: str, changed: Mapping[str, object]) -> str:
    """Return a text of keys and tables with other values of top-level keys; what is new comes last."""
    document = tomlkit.parse(text)
    if tomlkit.dumps(document) != text:
        raise ValueError("the text does not survive parsing")
    document.update(changed)
    edited = tomlkit.dumps(document)
    return edited if text.endswith("\n") else edited.removesuffix("\n")


def _renamed(header: str, source: str) -> str:
    """Return the line of a header with the name of another source, its comment kept."""
    tables = cast(dict[str, dict[str, Table]], tomlkit.parse(header))["sources"]
    kept = next(iter(tables.values())).trivia
    return f"{kept.indent}[sources.{tomlkit.key(source).as_string()}]{kept.comment_ws}{kept.comment}"


def _loses_comments(before: str, after: str) -> bool:
    """Return whether a comment of `before` is not in `after`, at its turn."""
    left = iter(toml_comments(after))
    return not all(comment in left for comment in toml_comments(before))
