"""`xlingual models`: what can stand after `--model`."""

from dataclasses import dataclass

import click

from ..errors import XlingualError
from ..files import pretty_json
from ..registry import MODELS
from .display import show_table
from .options import json_option, takes


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsOptions:
    """The words of the command line."""

    as_json: bool


def run_models(options: ModelsOptions) -> int:
    """List the backends; 1 where a plugin is broken."""
    rows, broken = [], False
    for name in MODELS.names():
        try:
            opener = MODELS.get(name)
            line = next(iter((opener.__doc__ or "").strip().splitlines()), "")
            rows.append([name.replace("_", "-"), line])
        except XlingualError as error:
            broken = True
            rows.append([name, f"broken: {error}"])
    if options.as_json:
        document = [{"backend": name, "opens": line} for name, line in rows]
        click.echo(pretty_json({"schema": 1, "models": document}), nl=False)
    else:
        show_table("models", ["word", "opens"], rows)
        click.echo("\nA bare ORG/NAME or folder is opened by hf; BACKEND:NAME@REVISION pins a hub commit.")
    return 1 if broken else 0


COMMAND = click.Command(
    "models",
    params=[json_option()],
    callback=takes(ModelsOptions, run_models),
    help="List what can stand after --model.",
)
