"""The words of make: they come through the environment, so that no name, whatever it holds, is read by a shell."""

import os
import shlex
from collections.abc import Callable, Mapping

import click

from . import run_command


def make_word(environment: Mapping[str, str], name: str) -> str:
    """Return the value of make's variable `name`; "" where it is not set."""
    return environment.get(f"XLINGUAL_MAKE_{name}", "")


def run_made(build: Callable[[Mapping[str, str]], list[str]]) -> int:
    """Show and run the arguments that `build` makes of the words of make."""
    arguments = build(os.environ)
    click.echo(f"xlingual {shlex.join(arguments)}", err=True)
    return run_command(arguments)
