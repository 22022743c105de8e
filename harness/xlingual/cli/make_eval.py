"""What `make eval` runs: the demo with nothing set, else `xlingual eval` with the words that make passed on.

The words come through the environment, so that no name, whatever it holds, is read by a shell.
"""

import os
import shlex
import sys
from collections.abc import Mapping
from functools import partial

import click

from . import run_command
from .make_words import make_word

DEMO_LANGUAGES = "ar,el,en,hi,tr,vi,zh"
DEMO_TOKENS = "32"


def build_arguments(environment: Mapping[str, str]) -> list[str]:
    """Return the arguments of `xlingual` for the values of MODEL, TASKS, LANGS, LIMIT, DATA, OUT and ARGS."""
    word = partial(make_word, environment)
    demo = not word("MODEL") and not word("DATA")
    arguments = ["eval", "--model", word("MODEL") or "smollm2", "--out", word("OUT") or "runs"]
    for option in ("TASKS", "LANGS", "LIMIT", "DATA"):
        if word(option):
            arguments += [f"--{option.lower()}", word(option)]
    if demo:
        arguments += ["--data", "sample"]
        arguments += [] if word("LANGS") else ["--langs", DEMO_LANGUAGES]
        arguments += ["--max-new-tokens", DEMO_TOKENS]
    return arguments + shlex.split(word("ARGS"))


def main() -> int:
    """Run the evaluation, then show the leaderboard of the output folder; for the demo that of the sample."""
    arguments = build_arguments(os.environ)
    click.echo(f"xlingual {shlex.join(arguments)}", err=True)
    code = run_command(arguments)
    if code not in (0, 1) or "--dry-run" in arguments:
        return code
    out = arguments[arguments.index("--out") + 1]
    sample = "--data" in arguments and arguments[arguments.index("--data") + 1] == "sample"
    board = "sample" if sample else "paper"
    choice = ["--board", board, *(["--include-limited"] if "--limit" in arguments else [])]
    target = os.path.join(out, f"leaderboard-{board}.md")  # noqa: PTH118 (a name to print and pass on, not a path to use)
    shown = run_command(["board", out, *choice, "--write", target])
    if shown == 0:
        run_command(["board", out, *choice])
    return code or shown


if __name__ == "__main__":
    sys.exit(main())
