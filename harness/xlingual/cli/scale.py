"""`xlingual scale fit` and `scale allocate`: from measured scores to a law, and from a budget to a recipe."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from ..errors import DataError, UsageError
from ..languages import find_language
from ..scaling.budget import BudgetOptions, Goal, allocate
from ..scaling.fit import RESAMPLES, FitOptions, fit_laws
from ..scaling.laws import Ties
from ..scaling.plots import draw_allocation, draw_laws, save_picture
from ..scaling.points import Unit, choose_origin, read_points
from ..scaling.recipe import allocated_recipe, find_slots, left_alone, read_template
from ..scaling.records import FIT_SCHEMA, LawFit
from ..scaling.similarity import read_similarity
from ..scaling.tables import allocation_tables, fit_tables
from ..serial import from_json, to_json
from ..store import pretty_json, read_json, write_atomically
from ..tune.recipe import shipped_recipe
from .options import json_option, takes
from .scale_similarity import COMMAND as SIMILARITY
from .scale_sweep import COMMAND as SWEEP
from .scale_tables import show_tables

Value = TypeVar("Value")

_NUMBERS = re.compile(r"\[\n\s*(-?\d[-+.\de]*(?:,\s*-?\d[-+.\de]*)*)\s*\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitCommand:
    """The words of `scale fit`."""

    points: str
    metric: str | None
    origin: str | None
    unit: str
    alpha: str | None
    beta: str | None
    ceiling: str | None
    similarity: str | None
    resamples: int
    seed: int
    write: str | None
    plot: str | None
    as_json: bool


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


def run_fit(command: FitCommand) -> int:
    """Fit the law to a table and show it."""
    options = FitOptions(
        unit=Unit(command.unit),
        metric=command.metric,
        alpha=_tie(command.alpha),
        beta=_tie(command.beta),
        ceiling=_tie(command.ceiling),
        similarity=None if command.similarity is None else read_similarity(Path(command.similarity)),
        resamples=command.resamples,
        seed=command.seed,
    )
    fit = fit_laws(choose_origin(read_points(Path(command.points)), command.origin), options)
    text = _fit_text(fit)
    if command.write is not None:
        _write(Path(command.write), text)
    if command.plot is not None:
        _say_saved(save_picture(draw_laws(fit), Path(command.plot), "laws"))
    if command.as_json:
        click.echo(text, nl=False)
    else:
        show_tables(fit_tables(fit), fit.notes)
        if not fit.extrapolation:
            click.echo("no test on the largest size: too few sizes are left without it")
    return 0


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
    slots = {} if template is None else find_slots(template, codes, named)
    options = BudgetOptions(
        budget=command.budget,
        unit=Unit(command.unit),
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
        name = target.stem if "name" in template.values else None
        _write(target, allocated_recipe(template, slots, allocation.shares, name))
        if alone := left_alone(template, slots):
            click.echo(f"note: not in the fit, so left as they are, beyond the budget: {', '.join(alone)}", err=True)
    if command.plot is not None:
        _say_saved(save_picture(draw_allocation(allocation), Path(command.plot), "allocation"))
    text = pretty_json(to_json(allocation))
    if command.keep is not None:
        _write(Path(command.keep), text)
    if command.as_json:
        click.echo(text, nl=False)
    else:
        show_tables(allocation_tables(allocation), allocation.notes)
    return 0


def read_fit(path: Path) -> LawFit:
    """Read what `scale fit --write` wrote; DataError for anything else."""
    data = read_json(path)
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != FIT_SCHEMA:
        what = f"is not a fit of schema {FIT_SCHEMA}"
        raise DataError(what, where=str(path), hint="write one: xlingual scale fit POINTS.csv --write FIT.json")
    return from_json(LawFit, data, where=str(path))


def _recipe_file(word: str) -> Path:
    """Return the file that `--recipe` names: a path, or a shipped recipe such as m-llama."""
    shipped = None if word.endswith(".toml") else shipped_recipe(word)
    return Path(word) if shipped is None else shipped


def _fit_text(fit: LawFit) -> str:
    """Return the record as JSON with each list of numbers on one line, for there are thousands of draws."""
    return _NUMBERS.sub(lambda match: "[" + re.sub(r",\s*", ", ", match[1]) + "]", pretty_json(to_json(fit)))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)
    _say_saved([path])


def _say_saved(paths: Sequence[Path]) -> None:
    click.echo(f"written: {', '.join(map(str, paths))}", err=True)


def _tie(word: str | None) -> Ties | None:
    return None if word is None else Ties(word)


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


def _plot_option() -> click.Option:
    return click.Option(["--plot"], default=None, metavar="DIR", help="Save the plot in this folder, as SVG and PNG.")


_TIES = click.Choice((Ties.OWN.value, Ties.SHARED.value))
_FIT = click.Command(
    "fit",
    params=[
        click.Argument(["points"], metavar="POINTS.csv"),
        click.Option(["--metric"], default=None, help="Where the table has several."),
        click.Option(["--origin"], default=None, help="Where the table has several; all: take them for one law."),
        click.Option(
            ["--unit"],
            type=click.Choice([each.value for each in Unit]),
            default=Unit.PAIRS.value,
            show_default=True,
            help="What X is counted in: translation pairs, or their target tokens.",
        ),
        click.Option(["--alpha"], type=_TIES, default=None, help="One for each language, or one for all."),
        click.Option(["--beta"], type=_TIES, default=None, help="The same of the rate."),
        click.Option(
            ["--ceiling"],
            type=click.Choice([each.value for each in Ties]),
            default=None,
            help="Fixed at 100, one for all, or one for each. What is not named is chosen by AICc.",
        ),
        click.Option(
            ["--similarity"], default=None, metavar="FILE.csv", help="Columns language and similarity (0 to 1): gamma."
        ),
        click.Option(["--resamples"], type=click.IntRange(100, 100_000), default=RESAMPLES, show_default=True),
        click.Option(["--seed"], type=click.IntRange(0), default=0, show_default=True),
        click.Option(["--write", "-w"], default=None, metavar="FIT.json", help="Keep the fit, for scale allocate."),
        _plot_option(),
        json_option(),
    ],
    callback=takes(FitCommand, run_fit),
    short_help="Fit the law to a table of points.",
    help="Fit S(X) = C - alpha * (gamma * X / U) ** -beta to a table with the columns language, pairs, tokens, seed, "
    "metric, score, low, high and origin (language, pairs, metric and score are needed), with 95% intervals and a test "
    "on the largest size.",
    epilog="Example: xlingual scale fit points.csv --write fit.json --plot plots",
)
_ALLOCATE = click.Command(
    "allocate",
    params=[
        click.Argument(["fit"], metavar="FIT.json"),
        click.Option(["--budget"], type=click.IntRange(1), required=True, help="How much data, in all."),
        click.Option(
            ["--in", "unit"],
            type=click.Choice([each.value for each in Unit]),
            default=Unit.PAIRS.value,
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
            type=click.FloatRange(0, min_open=True),
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
        _plot_option(),
        json_option(),
    ],
    callback=takes(AllocateCommand, run_allocate),
    short_help="Split a budget by a fit, and write a recipe.",
    help="Split a budget of translation data over the languages of a fit, so that the mean (or the worst) predicted "
    "score is highest, and set it beside the usual splits: how far it is ahead, and whether that is more than noise.",
    epilog="Example: xlingual scale allocate fit.json --budget 400000 --available zh=902512,hi=234034 "
    "--recipe m-llama.toml --write mine.toml",
)
COMMAND = click.Group(
    "scale",
    commands=[SIMILARITY, SWEEP, _FIT, _ALLOCATE],
    help="How good does a language get with so much translation data, and how is a budget best split over languages?",
)
