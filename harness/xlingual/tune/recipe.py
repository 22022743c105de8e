"""Recipes: TOML files in `models/recipes` of the plugin folders, by name or by path, read strictly.

A file with `x = ["ar", "zh"]` holds one recipe for each of these languages: `{x}` in its texts stands for the code, and
its name says where the code goes ("x-llama-{x}"). A source with several languages or directions is several sources.
"""

import re
from pathlib import Path

from ..errors import UsageError
from ..plugin_files import plugin_tables
from ..prompt import TEMPLATES
from ..registry import SOURCES
from ..text import did_you_mean
from ..toml_table import TomlTable, read_toml
from .audit.records import Filter
from .hold_out.reading import read_export, read_hold_out
from .records import Amount, Budget, Method, Norm, OnLong, Recipe, Schedule, SourceUse, Tuning, Unit

RECIPE_KEYS = (
    *("name", "x", "description", "base", "template", "seed", "length", "on_long"),
    *("budget", "sources", "method", "schedule", "export"),
)
SOURCE_KEYS = ("reader", "path", "language", "direction", "columns", "use", "max_epochs", "filter", "hold_out")
FILTER_KEYS = ("language", "max_ratio", "min_score", "copies", "min_letters", "dedup")
_METHOD = ("kind", "rank", "alpha", "dropout", "targets")
_SCHEDULE = (
    *("epochs", "rows_per_step", "tokens_per_step", "learning_rate", "warmup", "weight_decay", "clip", "norm"),
)
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


def find_recipe(word: str) -> Recipe:
    """Return the recipe of that name, or that of the file at a path: FILE.toml, or FILE.toml:zh where it has `x`.

    Raises UsageError with close names where there is none, DataError naming file, line and key for what is wrong in it.
    """
    stem, suffix, code = word.rpartition(".toml")
    if suffix:
        top = read_toml(Path(f"{stem}{suffix}").expanduser())
        return read_recipe(top, code.removeprefix(":") or None)
    for path in _recipe_files().values():
        top = read_toml(path)
        names = _names(top)
        if word in names:
            return read_recipe(top, names[word])
    raise UsageError(f"no such recipe: {word!r}", hint=did_you_mean(word, recipe_names()))


def read_recipe(top: TomlTable, code: str | None) -> Recipe:
    """Return the recipe in a TOML file, with `code` for {x}; UsageError where the file has none for it."""
    top.allow(RECIPE_KEYS)
    name = top.text("name")
    if top.path.stem != name.replace(f"-{PLACEHOLDER}", ""):
        raise top.fault("name", f"the name {name!r} and the file {top.path.stem!r} differ")
    names = _names(top)
    if code not in names.values():
        codes = ", ".join(str(each) for each in names.values() if each) or "none: there is no key x"
        hint = f"{top.path}:CODE with one of {codes}" if top.has("x") else f"name {top.path} alone"
        raise UsageError(f"the recipe is not for {code or 'no language'}", where=str(top.path), hint=hint)
    if code is not None:
        top = TomlTable(_fill(top.values, code), top.path, (), top.lines)
    sources = _read_sources(top)
    return Recipe(
        name=top.text("name"),
        description=top.text("description"),
        base=top.text("base"),
        template=top.choice("template", TEMPLATES),
        seed=top.count("seed", least=0) if top.has("seed") else 0,
        length=top.count("length", least=8),
        on_long=OnLong(top.choice("on_long", tuple(OnLong))) if top.has("on_long") else OnLong.CUT,
        budget=_read_budget(top.table("budget")) if top.has("budget") else None,
        sources=sources,
        method=_read_method(top.table("method") if top.has("method") else TomlTable({}, top.path, (), top.lines)),
        schedule=_read_schedule(top.table("schedule")),
        export=read_export(top, [use.hold_out for use in sources]),
    )


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
    table.allow(SOURCE_KEYS)
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
    word = table.text("use")
    found = _USE.fullmatch(word.strip())
    if found is None:
        raise table.fault("use", f"{word!r} is no amount", hint=f"use is {USES}")
    unit, value = Unit.ALL, None
    if found["number"]:
        unit, value = Unit(found["unit"]), float(found["number"].replace("_", "")) * _SCALES[found["scale"]]
        if value > _MOST:
            raise table.fault("use", f"{unit.value} are at most {_MOST:,.0f}")
        if value < 1 or value != int(value):
            raise table.fault("use", f"{word!r} is no whole number of {unit.value}")
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


def _read_method(table: TomlTable) -> Method:
    """Return the method; without a table of its own, full tuning."""
    if not table.name:
        return Method(kind=Tuning.FULL, rank=0, alpha=0.0, dropout=0.0, targets=())
    table.allow(_METHOD)
    kind = Tuning(table.choice("kind", tuple(Tuning)))
    if kind is Tuning.FULL:
        if extra := [key for key in table.values if key != "kind"]:
            raise table.fault(extra[0], f"{extra[0]!r} means nothing in full tuning", hint='kind = "lora" has it')
        return Method(kind=kind, rank=0, alpha=0.0, dropout=0.0, targets=())
    rank = table.count("rank")
    return Method(
        kind=kind,
        rank=rank,
        alpha=table.number("alpha", least=0, most=1e6, above=True) if table.has("alpha") else 2.0 * rank,
        dropout=table.number("dropout", least=0, most=0.99) if table.has("dropout") else 0.0,
        targets=table.texts("targets") if table.has("targets") else ("all-linear",),
    )


def _read_schedule(table: TomlTable) -> Schedule:
    table.allow(_SCHEDULE)
    if table.has("rows_per_step") == table.has("tokens_per_step"):
        raise table.fault("", "a step is of rows_per_step or of tokens_per_step", hint="rows_per_step = 128")

    def number(key: str, default: float, most: float) -> float:
        return table.number(key, least=0, most=most) if table.has(key) else default

    return Schedule(
        epochs=table.number("epochs", least=0, most=1000, above=True),
        rows_per_step=table.count("rows_per_step") if table.has("rows_per_step") else None,
        tokens_per_step=table.count("tokens_per_step") if table.has("tokens_per_step") else None,
        learning_rate=table.number("learning_rate", least=0, most=1, above=True),
        warmup=number("warmup", 0.0, 1.0),
        weight_decay=number("weight_decay", 0.0, 1.0),
        clip=table.number("clip", least=0, most=1e6, above=True) if table.has("clip") else 1.0,
        norm=Norm(table.choice("norm", tuple(Norm))) if table.has("norm") else Norm.TOKEN,
    )
