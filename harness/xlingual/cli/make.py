"""What the targets of the Makefile run: `python -m xlingual.cli.make eval | tune | xllama`.

The words of make come through the environment, so that no name, whatever it holds, is read by a shell.
"""

import contextlib
import io
import os
import shlex
import sys
from collections.abc import Callable, Mapping

import click

from ..errors import UsageError
from ..redaction import redact_command, redact_message
from . import printable, run_command
from .streams import open_streams

DEMO_LANGUAGES = "ar,el,en,hi,tr,vi,zh"
DEMO_TOKENS = "32"
DEMO_RECIPE = "x-llama-zh-mini"
DEMO_CONTROLS: Mapping[str, str | None] = {"majority": None, "echo": None, "passage": "xquad,mlqa", "oracle": None}
"""What the demo shows beside the packaged model, and on which tasks if not on all: floor and ceiling of each metric.

They answer at once. A sentence to translate has no passage: there `passage` is `echo`.
"""
SMALL = "-mini"
"""Ends the names of recipes whose paths are those of the packaged sample."""
Words = Mapping[str, str]


def make_word(environment: Words, name: str) -> str:
    """Return the value of make's variable `name`; "" where it is not set."""
    return environment.get(f"XLINGUAL_MAKE_{name}", "")


def _more_words(environment: Words) -> list[str]:
    """Return the words of ARGS; UsageError where a quote is not closed."""
    words = make_word(environment, "ARGS")
    try:
        return shlex.split(words)
    except ValueError as error:
        hint = "quote it as for a shell: ARGS='--shots 2'"
        raise UsageError(f"{words!r} cannot be read: {error}", where="ARGS", hint=hint) from error


def eval_arguments(environment: Words) -> list[str]:
    """Return the arguments of `xlingual` for MODEL, TASKS, LANGS, LIMIT, DATA, OUT and ARGS; the demo with none set."""
    model, data = make_word(environment, "MODEL"), make_word(environment, "DATA")
    arguments = ["eval", "--model", model or "smollm2", "--out", make_word(environment, "OUT") or "runs"]
    for option in ("TASKS", "LANGS", "LIMIT", "DATA"):
        if value := make_word(environment, option):
            arguments += [f"--{option.lower()}", value]
    if not model and not data:
        arguments += ["--data", "sample"]
        arguments += [] if make_word(environment, "LANGS") else ["--langs", DEMO_LANGUAGES]
        arguments += ["--max-new-tokens", DEMO_TOKENS]
    return arguments + _more_words(environment)


def tune_arguments(environment: Words) -> list[str]:
    """Return the arguments of `xlingual` for RECIPE, BASE, DATA, OUT and ARGS; x-LLaMA in small with none set.

    The whole model of an adapter is written, too, for `make eval` to take. A recipe in small trains on the packaged
    sample unless DATA says otherwise.
    """
    recipe = make_word(environment, "RECIPE") or DEMO_RECIPE
    data = make_word(environment, "DATA") or ("sample" if recipe.endswith(SMALL) else "")
    arguments = ["tune", "run", "--merge", "--out", make_word(environment, "OUT") or "runs"]
    for option, value in (("--base", make_word(environment, "BASE")), ("--data", data)):
        arguments += [option, value] if value else []
    return [*arguments, *_more_words(environment), "--", recipe]


def xllama_arguments(environment: Words) -> list[str]:
    """Return the arguments of `xlingual` for SCALE, BASE, LANGS, DATA, LIMIT, OUT and ARGS."""
    arguments = ["xllama"]
    for name in ("SCALE", "BASE", "LANGS", "DATA", "LIMIT", "OUT"):
        if value := make_word(environment, name):
            arguments += [f"--{name.lower()}", value]
    return [*arguments, *_more_words(environment)]


TARGETS: Mapping[str, Callable[[Words], list[str]]] = {
    "eval": eval_arguments,
    "tune": tune_arguments,
    "xllama": xllama_arguments,
}


def main(target: str) -> int:
    """Show and run what a target stands for; after an evaluation, leaderboard and page of the output folder, too."""
    try:
        arguments = TARGETS[target](os.environ)
    except UsageError as error:
        click.echo(f"error: {printable(redact_message(str(error)))}\nhint: {printable(error.hint)}", err=True)
        return error.exit_code
    click.echo(redact_command(["xlingual", *arguments]), err=True)
    sys.argv[1:] = arguments  # hints name the command that resumes
    code = run_command(arguments)
    if target != "eval" or code not in (0, 1) or "--dry-run" in arguments:
        return code
    out = arguments[arguments.index("--out") + 1]
    if not make_word(os.environ, "MODEL") and not make_word(os.environ, "DATA"):
        _ask_controls(arguments)
    shown = _show_board(arguments, out)
    return code or shown or run_command(["view", out])


def _ask_controls(arguments: list[str]) -> None:
    """Put the questions of the demo to the controls, without a word unless one fails."""
    for control, tasks in DEMO_CONTROLS.items():
        said, words = io.StringIO(), ["eval", "--model", control, *arguments[3:]]
        if tasks is not None and "--tasks" not in arguments:
            words += ["--tasks", tasks]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            code = run_command(words)
        if code:
            click.echo(said.getvalue(), err=True, nl=False)


def _show_board(arguments: list[str], out: str) -> int:
    sample = "--data" in arguments and arguments[arguments.index("--data") + 1] == "sample"
    board = "sample" if sample else "paper"
    choice = ["--board", board, *(["--include-limited"] if "--limit" in arguments else [])]
    target = os.path.join(out, f"leaderboard-{board}.md")  # noqa: PTH118 (a name to print and pass on, not a path to use)
    return run_command(["board", out, *choice, "--write", target, "--show"])


if __name__ == "__main__":
    open_streams()
    sys.exit(main(sys.argv[1]))
