"""`xlingual scale fit`: from measured scores to a law."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ...errors import DataError, UsageError
from ...files import pretty_json, read_json, require_file
from ...scaling.choices import similarity_lines
from ...scaling.doubts import doubts_of
from ...scaling.fit import RESAMPLES, FitOptions, fit_laws
from ...scaling.laws import Ties
from ...scaling.plots import draw_laws, save_picture
from ...scaling.points import SizeUnit, choose_origin, read_points
from ...scaling.records import FIT_SCHEMA, LawFit
from ...scaling.similarity import read_similarity
from ...scaling.tables import fit_tables
from ...serial import from_json, to_json
from ..options import json_option, takes
from .output import plot_option, say_saved, show_tables, write_output

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
    similarity: tuple[str, ...]
    resamples: int
    seed: int
    write: str | None
    plot: str | None
    as_json: bool


def run_fit(command: FitCommand) -> int:
    """Fit the law to a table and show it."""
    options = FitOptions(
        unit=SizeUnit(command.unit),
        metric=command.metric,
        alpha=_tie(command.alpha),
        beta=_tie(command.beta),
        ceiling=_tie(command.ceiling),
        similarities=_read_similarities(command.similarity),
        resamples=command.resamples,
        seed=command.seed,
    )
    fit = fit_laws(choose_origin(read_points(Path(command.points)), command.origin), options)
    text = _fit_text(fit)
    if command.write is not None:
        write_output(Path(command.write), text)
    if command.plot is not None:
        say_saved(save_picture(draw_laws(fit), Path(command.plot), "laws"))
    if command.as_json:
        click.echo(text, nl=False)
    else:
        tried = similarity_lines(fit, list(options.similarities))
        notes = (*(f"no law: {doubt}" for doubt in doubts_of(fit)), *tried, *fit.notes)
        show_tables(fit_tables(fit), notes)
        if not fit.extrapolation:
            click.echo("no test on the largest size: too few sizes are left without it")
    return 0


def read_fit(path: Path) -> LawFit:
    """Read what `scale fit --write` wrote; DataError for anything else, UsageError where there is no file."""
    hint = "write one: xlingual scale fit POINTS.csv --write FIT.json"
    require_file(path, hint)
    data = read_json(path)
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != FIT_SCHEMA:
        raise DataError(f"is not a fit of schema {FIT_SCHEMA}", where=str(path), hint=hint)
    fit = from_json(LawFit, data, where=str(path))
    draws = [each for law in fit.laws for each in (law.draws.alpha, law.draws.beta, law.draws.ceiling)]
    if len({len(each) for each in draws}) != 1 or not draws[0]:
        raise DataError("draws of its laws are missing, or not of one length", where=str(path), hint=hint)
    return fit


def _fit_text(fit: LawFit) -> str:
    """Return the record as JSON with each list of numbers on one line, for there are thousands of draws."""
    return _NUMBERS.sub(lambda match: "[" + re.sub(r",\s*", ", ", match[1]) + "]", pretty_json(to_json(fit)))


def _read_similarities(words: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the tables by name: "similarity" where there is one, else what their files are called."""
    paths = [Path(word) for word in words]
    names = ["similarity"] if len(paths) == 1 else [path.stem for path in paths]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two tables are called {twice!r}", where="--similarity", hint="rename one of the files")
    return {name: read_similarity(path) for name, path in zip(names, paths, strict=True)}


def _tie(word: str | None) -> Ties | None:
    return None if word is None else Ties(word)


_TIES = click.Choice((Ties.OWN.value, Ties.SHARED.value))
COMMAND = click.Command(
    "fit",
    params=[
        click.Argument(["points"], metavar="POINTS.csv"),
        click.Option(["--metric"], default=None, help="Where the table has several."),
        click.Option(["--origin"], default=None, help="Where the table has several; all: take them for one law."),
        click.Option(
            ["--unit"],
            type=click.Choice([each.value for each in SizeUnit]),
            default=SizeUnit.PAIRS.value,
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
            ["--similarity"],
            multiple=True,
            metavar="FILE.csv",
            help="Columns language and similarity (0 to 1): gamma, where AICc wants one. Given several times, each is "
            "tried.",
        ),
        click.Option(["--resamples"], type=click.IntRange(100, 100_000), default=RESAMPLES, show_default=True),
        click.Option(["--seed"], type=click.IntRange(0), default=0, show_default=True),
        click.Option(["--write", "-w"], default=None, metavar="FIT.json", help="Keep the fit, for scale allocate."),
        plot_option(),
        json_option(),
    ],
    callback=takes(FitCommand, run_fit),
    short_help="Fit the law to a table of points.",
    help="Fit S(X) = C - alpha * (gamma * X / U) ** -beta to a table with the columns language, pairs, tokens, seed, "
    "metric, score, low, high and origin (language, pairs, metric and score are needed), with 95% intervals and a test "
    "on the largest size.",
    epilog="Example: xlingual scale fit points.csv --write fit.json --plot plots",
)
