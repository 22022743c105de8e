"""`xlingual scale allocate`: from a budget to a recipe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from ...errors import UsageError
from ...files import pretty_json
from ...languages import find_language
from ...scaling.budget import BudgetOptions, Goal, allocate
from ...scaling.plots import draw_allocation, save_picture
from ...scaling.points import SizeUnit
from ...scaling.recipe import allocated_recipe, find_translation_sources, left_alone, read_template
from ...scaling.records import Allocation
from ...scaling.tables import allocation_tables
from ...serial import to_json
from ...tune.recipe import shipped_recipe
from ..options import FiniteRange, json_option, takes
from .fit import read_fit
from .output import plot_option, say_saved, show_tables, write_output

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocateCommand:
    """The words of `scale allocate`."""

    fit: str
    budget: int
    unit: str
    goal: str
    weight: tuple[str, ...]
    available: tuple[str, ...]
    at_least: int
    max_epochs: float
    tokens_per_pair: tuple[str, ...]
    recipe: str | None
    source: tuple[str, ...]
    write: str | None
    keep: str | None
    plot: str | None
    as_json: bool


def run_allocate(command: AllocateCommand) -> int:
    """Split the budget, show it beside other splits, and write the recipe where one is asked for."""
    if (command.recipe is None) != (command.write is None):
        raise UsageError("--recipe TEMPLATE and --write FILE go together")
    if command.source and command.recipe is None:
        raise UsageError("--source names sources of a recipe: give --recipe TEMPLATE too")
    fit = read_fit(Path(command.fit))
    template = None if command.recipe is None else read_template(_recipe_file(command.recipe))
    named = _pairs("--source", command.source, str)
    codes = [law.language for law in fit.laws]
    sources = {} if template is None else find_translation_sources(template, codes, named)
    options = BudgetOptions(
        budget=command.budget,
        unit=SizeUnit(command.unit),
        goal=Goal(command.goal),
        weights=_pairs("--weight", command.weight, _at_least_zero),
        available=_pairs("--available", command.available, _whole),
        at_least=command.at_least,
        max_epochs=command.max_epochs,
        tokens_per_pair=_pairs("--tokens-per-pair", command.tokens_per_pair, _above_zero),
    )
    allocation = allocate(fit, options)
    if template is not None and command.write is not None:
        target = Path(command.write)
        name = target.stem if template.top.has("name") else None
        write_output(target, allocated_recipe(template, sources, allocation.shares, name))
        if alone := left_alone(template, sources):
            click.echo(f"note: not in the fit, so left as they are, beyond the budget: {', '.join(alone)}", err=True)
    if command.plot is not None:
        say_saved(save_picture(draw_allocation(allocation), Path(command.plot), "allocation"))
    text = pretty_json(to_json(allocation))
    if command.keep is not None:
        write_output(Path(command.keep), text)
    if command.as_json:
        click.echo(text, nl=False)
    else:
        show_tables(allocation_tables(allocation), (*_doubt_notes(allocation), *allocation.notes))
    return 0


def _doubt_notes(allocation: Allocation) -> list[str]:
    return [f"no verdict: {doubt}" for doubt in allocation.doubts]


def _recipe_file(word: str) -> Path:
    """Return the file that `--recipe` names: a path, or a shipped recipe such as m-llama."""
    shipped = None if word.endswith(".toml") else shipped_recipe(word)
    return Path(word) if shipped is None else shipped


def _pairs(option: str, words: Sequence[str], convert: Callable[[str], Value]) -> dict[str, Value]:
    """Return LANGUAGE=VALUE words, separated by commas or repeated, by language code."""
    found: dict[str, Value] = {}
    for word in (part for each in words for part in each.split(",") if part):
        language, sign, value = word.partition("=")
        if not sign:
            raise UsageError(f"{word!r} is not LANGUAGE=VALUE", where=option, hint=f"such as {option} zh=...")
        code = find_language(language).code
        if code in found:
            raise UsageError(f"{code} is there twice", where=option)
        try:
            found[code] = convert(value.strip())
        except ValueError as error:
            raise UsageError(f"{code}: {error}", where=option) from None
    return found


def _whole(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 16):
        raise ValueError(f"{word!r} is not a whole number")
    return int(word)


def _at_least_zero(word: str) -> float:
    value = float(word)
    if not 0.0 <= value < float("inf"):
        raise ValueError(f"{word!r} is not a number from 0 up")
    return value


def _above_zero(word: str) -> float:
    if (value := _at_least_zero(word)) == 0.0:
        raise ValueError("must be above 0")
    return value


COMMAND = click.Command(
    "allocate",
    params=[
        click.Argument(["fit"], metavar="FIT.json"),
        click.Option(["--budget"], type=click.IntRange(1), required=True, help="How much data, in all."),
        click.Option(
            ["--in", "unit"],
            type=click.Choice([each.value for each in SizeUnit]),
            default=SizeUnit.PAIRS.value,
            show_default=True,
            help="What the budget is counted in.",
        ),
        click.Option(
            ["--goal"], type=click.Choice([each.value for each in Goal]), default=Goal.MEAN.value, show_default=True
        ),
        click.Option(["--weight"], multiple=True, metavar="zh=2,...", help="Weights of the mean; 1 where not named."),
        click.Option(["--available"], multiple=True, metavar="zh=90000,...", help="Pairs that there are."),
        click.Option(["--at-least"], type=click.IntRange(0), default=0, help="Pairs that every language gets."),
        click.Option(
            ["--max-epochs"],
            type=FiniteRange(0, min_open=True),
            default=1.0,
            show_default=True,
            help="How often the available pairs may be repeated; the law takes a repeated pair for a new one.",
        ),
        click.Option(["--tokens-per-pair"], multiple=True, metavar="zh=31.5,...", help="Instead of those measured."),
        click.Option(
            ["--recipe"],
            default=None,
            metavar="TEMPLATE",
            help="Recipe whose amounts are to be set: FILE.toml or a name.",
        ),
        click.Option(["--source"], multiple=True, metavar="zh=NAME,...", help="Its source of a language's pairs."),
        click.Option(["--write", "-w"], default=None, metavar="RECIPE.toml", help="Where the new recipe goes."),
        click.Option(["--keep"], default=None, metavar="SPLIT.json", help="Keep the split, for xlingual report."),
        plot_option(),
        json_option(),
    ],
    callback=takes(AllocateCommand, run_allocate),
    short_help="Split a budget by a fit, and write a recipe.",
    help="Split a budget of translation data over the languages of a fit, so that the mean (or the worst) predicted "
    "score is highest, and set it beside the usual splits: how far it is ahead, and whether that is more than noise.",
    epilog="Example: xlingual scale allocate fit.json --budget 400000 --available zh=902512,hi=234034 "
    "--recipe m-llama.toml --write mine.toml",
)
