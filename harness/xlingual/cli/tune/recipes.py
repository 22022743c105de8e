"""`xlingual tune recipes`: what there is to make."""

from dataclasses import dataclass

import click

from ...files import pretty_json
from ...serial import to_json
from ...tune.recipe import find_recipe, recipe_names
from ..display import show_table
from ..options import json_option, takes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipesOptions:
    """Arguments and options of `tune recipes`."""

    as_json: bool


def run_recipes(options: RecipesOptions) -> int:
    """List the recipes of the plugin folders."""
    recipes = [find_recipe(name) for name in recipe_names()]
    if options.as_json:
        click.echo(pretty_json({"schema": 1, "recipes": to_json(tuple(recipes))}), nl=False)
        return 0
    rows = [
        [each.name, each.base, each.method.kind.value, ", ".join(use.name for use in each.sources), each.description]
        for each in recipes
    ]
    show_table("recipes", ["recipe", "base", "method", "sources", "makes"], rows)
    return 0


COMMAND = click.Command(
    "recipes",
    params=[json_option()],
    callback=takes(RecipesOptions, run_recipes),
    help="List the recipes: TOML files in models/recipes, here and in the folders of XLINGUAL_PLUGINS.",
)
