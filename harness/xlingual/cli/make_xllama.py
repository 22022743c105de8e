"""What `make xllama` runs: `xlingual xllama` with the words of make, through the environment as in `make eval`."""

import os
import shlex
import sys
from collections.abc import Mapping

import click

from . import run_command


def build_arguments(environment: Mapping[str, str]) -> list[str]:
    """Return the arguments of `xlingual` for the values of SCALE, BASE, LANGS, DATA, LIMIT, OUT and ARGS."""
    arguments = ["xllama"]
    for name in ("SCALE", "BASE", "LANGS", "DATA", "LIMIT", "OUT"):
        if value := environment.get(f"XLINGUAL_MAKE_{name}", ""):
            arguments += [f"--{name.lower()}", value]
    return [*arguments, *shlex.split(environment.get("XLINGUAL_MAKE_ARGS", ""))]


def main() -> int:
    """Run the pipeline."""
    arguments = build_arguments(os.environ)
    click.echo(f"xlingual {shlex.join(arguments)}", err=True)
    return run_command(arguments)


if __name__ == "__main__":
    sys.exit(main())
