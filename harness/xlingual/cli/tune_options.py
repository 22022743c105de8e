"""What the commands of `xlingual tune` share: the words that name a mix, and the way from them to a plan."""

from dataclasses import dataclass, replace

import click

from ..plugin import Model
from ..tune.prepare import Prepared, open_base, plan_mix
from ..tune.recipe import find_recipe
from . import printable
from .options import data_option, data_place, offline_option


@dataclass(frozen=True, slots=True, kw_only=True)
class MixWords:
    """The words that name a mix."""

    recipe: str
    base: str | None
    data: str | None
    offline: bool


def mix_parameters() -> list[click.Parameter]:
    """RECIPE, `--base`, `--data` and `--offline`."""
    return [
        click.Argument(["recipe"], metavar="RECIPE"),
        click.Option(["--base"], default=None, help="Model word of the base, instead of the recipe's."),
        data_option(
            "Folder that the recipe's paths are below and that holds the benchmarks to compare with, or 'sample'."
        ),
        offline_option(),
    ]


def plan_words(words: MixWords, *, pack_length: int | None = None) -> tuple[Prepared, Model]:
    """Return the plan of a mix and its base; what is being done is said on stderr."""
    recipe = find_recipe(words.recipe)
    if words.base is not None:
        recipe = replace(recipe, base=words.base)
    place = data_place(words.data, offline=words.offline)
    model = open_base(recipe.base, offline=words.offline)
    prepared = plan_mix(
        recipe, model, place, pack_length=pack_length, note=lambda line: click.echo(printable(line), err=True)
    )
    return prepared, model
