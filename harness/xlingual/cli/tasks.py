"""`xlingual tasks`: families, and the tasks of one."""

from dataclasses import dataclass

import click

from ..errors import XlingualError
from ..files import pretty_json
from ..languages import LANGUAGES
from ..registry import TASKS
from ..selection import select_tasks
from ..serial import to_json
from . import printable
from .display import show_table
from .options import json_option, takes


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksOptions:
    """The words of the command line."""

    words: tuple[str, ...]
    languages: bool
    as_json: bool


def run_tasks(options: TasksOptions) -> int:
    """List families, or the tasks that the words name; 1 where a plugin is broken."""
    if options.languages:
        rows = [[row.code, row.flores, row.name, row.script] for row in LANGUAGES.values()]
        show_table("languages", ["code", "Flores-101", "name", "script"], rows)
        return 0
    if options.words:
        specs = [task.spec for task in select_tasks(list(options.words), [])]
        if options.as_json:
            click.echo(pretty_json({"schema": 1, "tasks": to_json(tuple(specs))}), nl=False)
        else:
            rows = [[spec.name, spec.language, spec.split, spec.metrics[0], spec.licence] for spec in specs]
            show_table("tasks", ["task", "answers in", "split", "main metric", "licence"], rows)
        return 0
    return _list_families(as_json=options.as_json)


def _list_families(*, as_json: bool) -> int:
    rows, broken = [], False
    for name in TASKS.names():
        try:
            family = TASKS.get(name)
            specs = [task.spec for task in family.tasks()]
            default = " ".join(f"{name}/{variant}" for variant in family.default)
            default = default if len(default) <= 60 else f"{default[:57]}..."
            count = str(len(specs))
            if family.find is not None:
                count, default = "any", f"nothing: name one, {name.replace('_', '-')}:TASK"
            rows.append([name, count, default, TASKS.origin(name)])
        except (XlingualError, ImportError, SyntaxError, AttributeError, NameError, TypeError, ValueError) as error:
            broken = True
            rows.append([name, "broken", printable(f"{type(error).__name__}: {error}"), ""])
    if as_json:
        keys = ("family", "tasks", "default", "module")
        click.echo(
            pretty_json({"schema": 1, "families": [dict(zip(keys, row, strict=True)) for row in rows]}), nl=False
        )
    else:
        show_table("task families", ["family", "tasks", "bare name stands for", "module"], rows)
    return 1 if broken else 0


COMMAND = click.Command(
    "tasks",
    params=[
        click.Argument(["words"], nargs=-1, metavar="[FAMILY|TASK|GLOB]..."),
        click.Option(["--languages"], is_flag=True, help="List the languages and their codes."),
        json_option(),
    ],
    callback=takes(TasksOptions, run_tasks),
    help="List task families, or the tasks that the words name.",
)
