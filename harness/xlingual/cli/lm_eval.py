"""`xlingual lm-eval`: lm-eval's own command line, which knows our model and our tasks."""

import importlib.util
import sys
from dataclasses import dataclass

import click

from ..errors import DataError, EnvironmentFault, XlingualError
from ..lm_eval.folder import PREFIX
from ..registry import TASKS
from .lm_eval_path import write_tasks
from .options import data_option, takes

INCLUDE = "--include_path"


@dataclass(frozen=True, slots=True, kw_only=True)
class LmEvalOptions:
    """The words of the command line."""

    data: str | None
    words: tuple[str, ...]


def run_lm_eval(options: LmEvalOptions) -> int:
    """Run lm-eval with its own words; `--include_path` is added where they have none."""
    if importlib.util.find_spec("lm_eval") is None:
        raise EnvironmentFault("lm-eval is not installed", where="lm-eval", hint="pip install 'xlingual[lm-eval]'")
    from lm_eval.__main__ import cli_evaluate  # noqa: PLC0415 - optional, and heavy

    from ..lm_eval import model  # noqa: F401, PLC0415 - registers the model

    words = list(options.words)
    runs = bool(words) and words[0] not in ("ls", "validate", "-h", "--help")
    if runs and not any(word.partition("=")[0] == INCLUDE for word in words):
        words += [INCLUDE, str(write_tasks((), options.data))]
        if named := _our_tasks(words):
            write_tasks(named, options.data)
    sys.argv = ["lm-eval", *words]
    try:
        cli_evaluate()
    except XlingualError:
        raise
    except Exception as error:  # the border: what lm-eval raises, of words that it does not take
        raise DataError(f"lm-eval raised {type(error).__name__}: {error}", where="lm-eval") from error
    return 0


def _our_tasks(words: list[str]) -> tuple[str, ...]:
    """Return which tasks of ours `words` name, so that any may be named and not only those that are written anyway."""
    found = []
    for name in (name for word in words for name in word.split(",") if name.startswith(PREFIX)):
        for family in TASKS.names():
            variant = name.removeprefix(f"{PREFIX}{family}_")
            if variant != name and not any(sign in variant for sign in "*?["):
                found.append(f"{family}/{variant}")
    return tuple(found)


COMMAND = click.Command(
    "lm-eval",
    params=[data_option(), click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)],
    callback=takes(LmEvalOptions, run_lm_eval),
    help="Run lm-eval with our model (--model xlingual --model_args model=WORD) and our tasks (xlingual_xquad_zh).",
    epilog="Example: xlingual lm-eval --model xlingual --model_args model=smollm2 --tasks xlingual_xquad_zh,arc_easy",
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--usage"]},
)
