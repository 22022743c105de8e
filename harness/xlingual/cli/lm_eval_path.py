"""`xlingual lm-eval-path`: our tasks as files for lm-eval's `--include_path`."""

from dataclasses import dataclass
from pathlib import Path

import click

from ..errors import UsageError, XlingualError
from ..lm_eval.folder import write_folder
from ..plugin import Task
from ..registry import TASKS
from ..selection import select_tasks
from . import printable
from .options import data_option, read_data_source, takes

OWN = "lm_eval"
"""The family of lm-eval's tasks, which it has already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathOptions:
    """The words of the command line."""

    words: tuple[str, ...]
    data: str | None


def run_path(options: PathOptions) -> int:
    """Write the files of the tasks and print their folder."""
    click.echo(str(write_tasks(options.words, options.data)))
    return 0


def write_tasks(words: tuple[str, ...], data: str | None) -> Path:
    """Write the files of the tasks that `words` name, of every family's defaults where there are none."""
    data_source = read_data_source(data, offline=False)
    tasks: list[Task] = select_tasks(list(words), []) if words else _default_tasks()
    if any(task.spec.name.startswith(("lm-eval/", f"{OWN}/")) for task in tasks):
        raise UsageError("lm-eval has its own tasks already", where="lm-eval-path")
    return write_folder(tasks, data if data_source.folder is None else str(data_source.folder.resolve()))


def _default_tasks() -> list[Task]:
    """Return the default tasks of every family; a plugin that is broken is told, and left out."""
    found: list[Task] = []
    for name in (name for name in TASKS.names() if name != OWN):
        try:
            found += select_tasks([name], [])
        except XlingualError as error:
            click.echo(printable(f"warning: left out: {error}"), err=True)
    return found


COMMAND = click.Command(
    "lm-eval-path",
    params=[click.Argument(["words"], nargs=-1, metavar="[FAMILY|TASK|GLOB]..."), data_option()],
    callback=takes(PathOptions, run_path),
    help="Write our tasks as files of lm-eval's and print their folder, for lm-eval --include_path.",
    epilog='Example: lm-eval --model hf --tasks xlingual_xquad_zh --include_path "$(xlingual lm-eval-path --data DIR)"',
)
