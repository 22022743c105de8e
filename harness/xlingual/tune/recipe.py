"""Recipes: TOML files in `models/recipes` of the plugin folders, by name or by path, read strictly.

A file with `x = ["ar", "zh"]` holds one recipe for each of these languages: `{x}` in its texts stands for the code, and
its name says where the code goes ("x-llama-{x}"). A source with several languages or directions is several sources.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import DataError, UsageError
from ..plugin_files import plugin_tables
from ..prompt import TEMPLATES
from ..registry import SOURCES
from ..text import did_you_mean
from ..thinking import ThinkingMode
from ..toml_table import TomlTable, read_toml
from . import licenses
from .audit.records import Filter
from .hold_out.reading import read_export, read_hold_out
from .overrides import apply_overrides, blame_overrides
from .recipe_records import Amount, Budget, OnLong, Recipe, SourceUse, Unit
from .schedule_keys import read_method, read_schedule
from .vocabulary import read_vocabulary

RECIPE_KEYS = (
    *("name", "x", "description", "base", "template", "thinking", "seed", "length", "on_long"),
    *("budget", "sources", "method", "schedule", "export", "vocabulary"),
)
SOURCE_KEYS = ("reader", "path", "language", "direction", "columns", "use", "max_epochs", "filter", "hold_out")
FILTER_KEYS = ("language", "max_ratio", "min_score", "copies", "min_letters", "dedup")
_USE = re.compile(
    r"(?P<all>all)|(?P<number>\d[\d_]*(?:\.\d+)?)\s*(?P<scale>[kM]?)\s+(?P<unit>rows|tokens)"
    r"|(?P<percent>\d+(?:\.\d+)?)\s*%|(?P<rest>rest)(?:\s*\^\s*(?P<power>\d+(?:\.\d+)?))?"
)
_MOST = 2.0**53
"""The largest amount: up to it, every whole number is a float of its own."""
_MOST_POWER = 10.0
_SCALES = {"": 1, "k": 1_000, "M": 1_000_000}
USES = 'all, "100k rows", "2M tokens", "12%" or "rest^0.3"'
PLACEHOLDER = "{x}"


def recipe_names() -> list[str]:
    """Return the names of all recipes in the plugin folders, sorted."""
    return sorted(name for path in _recipe_files().values() for name in _names(read_toml(path)))


def find_recipe(word: str, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe of that name, or that of the file at a path: FILE.toml, or FILE.toml:zh where it has `x`.

    `overrides`, each KEY=VALUE, are read as if they stood in the file. Raises UsageError with close names where there
    is no such recipe, or naming a wrong override; DataError naming file, line and key for what is wrong in the file.
    """
    stem, suffix, code = word.rpartition(".toml")
    if suffix:
        top = read_toml(Path(f"{stem}{suffix}").expanduser())
        return _read_overridden(top, code.removeprefix(":") or None, overrides)
    for path in _recipe_files().values():
        top = read_toml(path)
        names = _names(top)
        if word in names:
            return _read_overridden(top, names[word], overrides)
    raise UsageError(f"no such recipe: {word!r}", hint=did_you_mean(word, recipe_names()))


def _read_overridden(top: TomlTable, code: str | None, overrides: Sequence[str]) -> Recipe:
    """Return the recipe in a TOML file with what the command line sets in it."""
    if not overrides:
        return read_recipe(top, code)
    try:
        return read_recipe(apply_overrides(top, overrides), code)
    except DataError as error:
        read_recipe(top, code)  # what is wrong without them, too, is the file's own fault
        raise blame_overrides(error, overrides) from error


def read_recipe(top: TomlTable, code: str | None) -> Recipe:
    """Return the recipe in a TOML file, with `code` for {x}; UsageError where the file has none for it."""
    top.allow((*RECIPE_KEYS, *licenses.LICENSE_KEYS))
    name = top.text("name")
    if top.path.stem != name.replace(f"-{PLACEHOLDER}", ""):
        raise top.fault("name", f"the name {name!r} and the file {top.path.stem!r} differ")
    names = _names(top)
    if code not in names.values():
        codes = ", ".join(str(each) for each in names.values() if each) or "none: there is no key x"
        hint = f"{top.path}:CODE with one of {codes}" if top.has("x") else f"name {top.path} alone"
        raise UsageError(f"the recipe is not for {code or 'no language'}", where=str(top.path), hint=hint)
    if code is not None:
        top = replace(top, values=_fill(top.values, code))
    sources = _read_sources(top)
    return Recipe(
        name=top.text("name"),
        description=top.text("description"),
        license=licenses.read_license(top),
        base=top.text("base"),
        template=top.choice("template", TEMPLATES),
        seed=top.count("seed", least=0) if top.has("seed") else 0,
        length=top.count("length", least=8),
        on_long=OnLong(top.choice("on_long", tuple(OnLong))) if top.has("on_long") else OnLong.CUT,
        budget=_read_budget(top.table("budget")) if top.has("budget") else None,
        sources=sources,
        method=read_method(top.table("method") if top.has("method") else None),
        schedule=read_schedule(top.table("schedule")),
        vocabulary=read_vocabulary(top.table("vocabulary")) if top.has("vocabulary") else None,
        thinking=_read_thinking(top) if top.has("thinking") else None,
        export=read_export(top, [use.hold_out for use in sources]),
    )


def _read_thinking(top: TomlTable) -> ThinkingMode:
    """Return whether the chat template is asked for thinking; other templates cannot be."""
    mode = ThinkingMode(top.choice("thinking", tuple(ThinkingMode)))
    if top.text("template") != "chat":
        raise top.fault("thinking", "only a chat template has a switch for the thinking", hint='template = "chat"')
    return mode


def shipped_recipe(stem: str) -> Path | None:
    """Return the file of the plugin folders that is called so: "m-llama-mini"; None where there is none."""
    return _recipe_files().get(stem)


def shipped_recipes() -> list[str]:
    """Return what the recipe files of the plugin folders are called, without ".toml", sorted."""
    return sorted(_recipe_files())


def _recipe_files() -> dict[str, Path]:
    found = plugin_tables("models/recipes")
    if twice := [stem for stem, paths in found.items() if len(paths) > 1]:
        folders = " and in ".join(str(path.parent) for path in found[twice[0]])
        raise UsageError(f"the recipe {twice[0]!r} is in {folders}")
    return {stem: paths[0] for stem, paths in found.items()}


def _names(top: TomlTable) -> dict[str, str | None]:
    """Return the names of the recipes in a file, each with its language for {x}."""
    name = top.text("name")
    if top.has("x") != (PLACEHOLDER in name):
        raise top.fault("x", f"x and {PLACEHOLDER} in the name go together", hint='name = "mine-{x}" with x = ["zh"]')
    if not top.has("x"):
        return {name: None}
    codes = [top.language("x", word) for word in top.texts("x")]
    return {name.replace(PLACEHOLDER, code): code for code in codes}


def _fill(value: object, code: str) -> dict[str, object]:
    """Return a table with {x} replaced in every text of it; keys stay."""

    def fill(item: object) -> object:
        if isinstance(item, str):
            return item.replace(PLACEHOLDER, code)
        if isinstance(item, list):
            return [fill(each) for each in item]
        return {key: fill(each) for key, each in item.items()} if isinstance(item, dict) else item

    filled = fill(value)
    return filled if isinstance(filled, dict) else {}


def _read_budget(table: TomlTable) -> Budget:
    table.allow(("rows", "tokens"))
    if len(table.values) != 1:
        raise table.fault("", "a budget is in rows or in tokens", hint="rows = 100_000")
    return Budget(
        rows=table.count("rows") if table.has("rows") else None,
        tokens=table.count("tokens") if table.has("tokens") else None,
    )


def _read_sources(top: TomlTable) -> tuple[SourceUse, ...]:
    sources = top.table("sources")
    uses = [use for name in sources.values for use in _read_source(sources.table(name), name, top.has("budget"))]
    if not uses:
        raise top.fault("sources", "there are no sources", hint="[sources.NAME] with reader, path and language")
    names = [use.name for use in uses]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise top.fault("sources", f"two sources are called {twice!r}")
    return tuple(uses)


def _read_source(table: TomlTable, name: str, budgeted: bool) -> list[SourceUse]:
    table.allow((*SOURCE_KEYS, *licenses.LICENSE_KEYS))
    reader = table.text("reader")
    if reader.replace("-", "_") not in SOURCES.names():
        raise table.fault("reader", f"no such reader: {reader!r}", hint=did_you_mean(reader, SOURCES.names()))
    if table.has("language") == table.has("direction"):
        raise table.fault("", f"source {name!r} needs a language or a direction", hint='language = "zh"')
    amount = _read_amount(table, budgeted) if table.has("use") else Amount(unit=Unit.ALL, value=None)
    key = "language" if table.has("language") else "direction"
    words = table.texts(key)
    uses = []
    for word in words:
        codes = tuple(table.language(key, part) for part in word.split("-")) if key == "direction" else ()
        if key == "direction" and (len(codes) != 2 or codes[0] == codes[1]):
            raise table.fault(key, f"{word!r} is no direction", hint='two different languages, such as "en-zh"')
        uses.append(
            SourceUse(
                name=f"{name}-{word}" if len(words) > 1 else name,
                reader=reader,
                license=licenses.read_license(table),
                path=table.text("path"),
                language=codes[1] if codes else table.language(key, word),
                direction=(codes[0], codes[1]) if codes else None,
                columns=table.texts("columns") if table.has("columns") else (),
                amount=amount,
                max_epochs=table.number("max_epochs", least=0, most=1000, above=True)
                if table.has("max_epochs")
                else 1.0,
                filter=_read_filter(table) if table.has("filter") else None,
                hold_out=read_hold_out(table),
            )
        )
    return uses


def _read_filter(source: TomlTable) -> Filter | None:
    """Return the filter of a source; None where it leaves out nothing, so that the recipe keeps its id."""
    table = source.table("filter")
    table.allow(FILTER_KEYS)
    if table.has("max_ratio") and not source.has("direction"):
        raise table.fault("max_ratio", "max_ratio compares the sides of pairs", hint='direction = "en-zh" has pairs')

    def flag(key: str, *, unset: bool) -> bool:
        return table.get(key, bool) if table.has(key) else unset

    wanted = Filter(
        language=flag("language", unset=False),
        max_ratio=table.number("max_ratio", least=1, most=1000, above=True) if table.has("max_ratio") else None,
        min_score=table.number("min_score", least=-1e6, most=1e6) if table.has("min_score") else None,
        copies=flag("copies", unset=True),
        min_letters=table.count("min_letters") if table.has("min_letters") else None,
        dedup=flag("dedup", unset=False),
    )
    return None if wanted == Filter() else wanted


def _read_amount(table: TomlTable, budgeted: bool) -> Amount:
    word = table.text("use", hint=f"use is {USES}")
    found = _USE.fullmatch(word.strip())
    if found is None:
        raise table.fault("use", f"{word!r} is no amount", hint=f"use is {USES}")
    unit, value = Unit.ALL, None
    if found["number"]:
        unit, value = Unit(found["unit"]), float(found["number"].replace("_", "")) * _SCALES[found["scale"]]
        if value > _MOST:
            raise table.fault("use", f"{unit.value} are at most {_MOST:,.0f}", hint=f"use is {USES}")
        if value < 1 or value != int(value):
            raise table.fault("use", f"{word!r} is no whole number of {unit.value}", hint=f"use is {USES}")
    elif found["percent"]:
        unit, value = Unit.SHARE, float(found["percent"])
        if not 0 < value <= 100:
            raise table.fault("use", f"{word!r} is no share of the budget", hint="more than 0 and at most 100%")
    elif found["rest"]:
        unit, value = Unit.REST, float(found["power"] or 1)
        if value > _MOST_POWER:
            raise table.fault("use", f"the power of the rest is at most {_MOST_POWER:g}")
    if unit in (Unit.SHARE, Unit.REST) and not budgeted:
        raise table.fault("use", f"{word!r} needs a budget", hint="[budget] with rows or tokens")
    return Amount(unit=unit, value=value)
