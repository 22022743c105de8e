"""The command line: one module a command, imported when it is called, so that `--help` loads nothing heavy."""

import importlib
import json
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import ClassVar

import click

from ..errors import EnvironmentFault, Interrupted, UsageError, XlingualError
from ..redaction import redact_message

_COMMANDS = {
    "eval": ("evaluation", "Run a model on tasks; the same command again resumes."),
    "score": ("score", "Score a predictions file, or the saved answers of a run again."),
    "verify": ("verify", "Check that the numbers of runs follow from their answers."),
    "judge": ("judging", "Let a model judge answers: right or wrong, better or worse, how good a translation."),
    "view": ("view", "Write runs as one page to click through: heat maps, samples, two models side by side."),
    "compare": ("compare", "Compare two models on the same examples, with a paired test."),
    "board": ("board", "Make a leaderboard from runs."),
    "analyze": ("analyze", "Look behind the scores: what the layers of a model have in common across languages."),
    "tune": ("tune", "Make a model from a recipe: plan, preview, run."),
    "scale": ("scale", "Fit the translation scaling law, and split a budget of data by it."),
    "report": ("report", "Write a page of an experiment: models, gains, leaderboard, law, budget."),
    "xllama": ("xllama", "The whole pipeline: tune x- and m-models, evaluate, fit the law, split a budget, report."),
    "track": ("track", "Send offline archives of runs to a tracker."),
    "tasks": ("tasks", "List and search tasks; check one of your own."),
    "metrics": ("metrics", "List metrics: direction, bounds, languages, signature."),
    "models": ("models", "List model backends."),
    "lm-eval": ("lm_eval", "Run lm-eval with our models and tasks."),
    "lm-eval-path": ("lm_eval_path", "Write our tasks for lm-eval and print their folder."),
    "doctor": ("doctor", "Check this machine, and say what is missing and how to get it."),
}
"""Command -> (module, one line of help): known without importing any."""

HELP_OPTIONS = ["-h", "--help"]
EXIT_CODES = (
    "Exit codes: 0 complete; 1 finished with failed samples; 2 usage; 3 data, model, config or plugin; 4 auth; "
    "5 environment; 70 bug; 130/143 signal."
)


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is named; click knows no other way than to inherit."""

    table: ClassVar[Mapping[str, tuple[str, str]]]
    """Command -> (module of this package, one line of help)."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the names of all commands, none imported."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        """Import the command of that name."""
        if cmd_name not in self.table:
            return None
        module = importlib.import_module(f"{__name__}.{self.table[cmd_name][0]}")
        command: click.Command = module.COMMAND
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 (click's)
        """Write the names of all commands with their lines of help, none imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])


class _Commands(LazyGroup):
    table = _COMMANDS


@click.group(
    cls=_Commands,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": HELP_OPTIONS, "max_content_width": 110},
)
@click.version_option(package_name="xlingual")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def COMMAND(debug: bool) -> None:  # noqa: N802 (read from the arguments)
    """Evaluate language models across languages."""


def run_command(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; an error becomes one `error:` and one `hint:` line on stderr."""
    try:
        code = COMMAND.main(list(arguments), prog_name="xlingual", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        return _report(UsageError(error.format_message(), hint=_usage_hint(error)), arguments)
    except Interrupted as error:
        return _report(XlingualError(str(error), hint=error.hint), arguments, 128 + error.signal_number)
    except (KeyboardInterrupt, click.Abort):
        return 130
    except XlingualError as error:
        return _report(error, arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError) as error:
        return _report(_machine_fault(error), arguments)
    except Exception as error:  # noqa: BLE001 (the border: a bug becomes exit code 70)
        hint = "this is a bug; run again with --debug and report what it prints"
        bug = XlingualError(f"{type(error).__name__}: {error}", hint=hint)
        if "--debug" in arguments:
            _print_traceback()
        return _report(bug, [each for each in arguments if each != "--debug"])
    return code if isinstance(code, int) else 0


def _machine_fault(error: OSError | MemoryError) -> EnvironmentFault:
    """Return the fault of the machine for what it refused where no code of ours says more of it."""
    if isinstance(error, MemoryError):
        return EnvironmentFault("out of memory", hint="a machine with more memory, or less at once")
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    what = error.strerror or f"{type(error).__name__}: {error}"
    return EnvironmentFault(what, where=" -> ".join(names), hint="the same command again, once that is mended")


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path} --help" if isinstance(context, click.Context) else "xlingual --help"


def _report(error: XlingualError, arguments: Sequence[str], exit_code: int | None = None) -> int:
    code = error.exit_code if exit_code is None else exit_code
    if "--debug" in arguments:
        _print_traceback()
    where, what, hint = (redact_message(text) for text in (error.where, error.what, error.hint))
    if "--json" in arguments:
        document = {"where": where, "what": what, "hint": hint, "exit_code": code}
        click.echo(json.dumps({"error": document}, ensure_ascii=False), err=True)
    else:
        click.echo(f"error: {printable(f'{where}: {what}' if where else what)}", err=True)
        if hint:
            click.echo(f"hint: {printable(hint)}", err=True)
    return code


def _print_traceback() -> None:
    click.echo(redact_message(traceback.format_exc()), err=True, nl=False)


_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline; line and paragraph separators; what turns the direction of a text around;
lone surrogates, which no terminal can be sent."""


def printable(text: str) -> str:
    """Return `text` without what moves the cursor or reorders a line: data and models must not be able to do that."""
    return _UNPRINTABLE.sub("�", text)
