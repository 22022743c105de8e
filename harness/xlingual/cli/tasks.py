"""`xlingual tasks`: what there is to ask, by family, name, language or word; and the check of a task of one's own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ..errors import PluginError, UsageError, XlingualError
from ..files import pretty_json
from ..identity import Json
from ..inventory import FamilyEntry, TaskEntry, find_entries, list_families
from ..languages import LANGUAGES
from ..plugin_checks.file_check import check_file
from ..selection import split_words
from ..serial import to_json
from . import printable
from .display import show_table
from .options import data_option, json_option, read_data_source, takes

MOST_ROWS = 60
"""So many tasks of a family are shown; --json shows all."""
_LONGEST = 60
"""Characters of a list that is shown in a cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksOptions:
    """The words of the command line."""

    words: tuple[str, ...]
    lang: str
    data: str | None
    check: str | None
    languages: bool
    as_json: bool


def run_tasks(options: TasksOptions) -> int:
    """List families, or the tasks that the words name; 1 where a plugin is broken."""
    if options.check is not None:
        return _check(options, Path(options.check).expanduser())
    if options.languages:
        rows = [[row.code, row.flores, row.name, row.script] for row in LANGUAGES.values()]
        show_table("languages", ["code", "Flores-101", "name", "script"], rows)
        return 0
    data_source = None if options.data is None else read_data_source(options.data, offline=True)
    codes = split_words(options.lang)
    if not options.words and not codes:
        return _show_families(list_families(), as_json=options.as_json)
    found = find_entries(options.words, codes, data_source)
    if options.as_json:
        tasks: list[Json] = [to_json(each.spec) for each in found.tasks]
        broken = [{"family": each.family, "error": each.error} for each in found.broken]
        counts = {each.spec.name: each.examples for each in found.tasks if each.examples is not None}
        document: Json = {"schema": 1, "tasks": tasks, "examples": counts, "broken": broken}
        click.echo(pretty_json(document), nl=False)
    else:
        _show_tasks(found.tasks, counted=data_source is not None)
        if found.broken:
            show_table(
                "broken plugins", ["family", "error"], [[each.family, each.error or ""] for each in found.broken]
            )
    return 1 if found.broken else 0


def _show_families(families: Sequence[FamilyEntry], *, as_json: bool) -> int:
    if as_json:
        click.echo(pretty_json({"schema": 1, "families": to_json(tuple(families))}), nl=False)
    else:
        header = ["family", "tasks", "bare name stands for", "module", "languages", "metric", "licence", "about"]
        show_table("task families", header, [_family_row(each) for each in families])
    return 1 if any(each.error for each in families) else 0


def _family_row(family: FamilyEntry) -> list[str]:
    if family.error:
        return [family.family, "broken", family.error, family.module, "", "", "", ""]
    if family.tasks is None:
        default = f"nothing: name one, {family.family.replace('_', '-')}:TASK"
        return [family.family, "any", default, family.module, "", "", "", family.about]
    default = _short(" ".join(f"{family.family}/{variant}" for variant in family.default))
    licences, metrics = (_short(", ".join(each)) for each in (family.licences, family.metrics))
    numbers = [str(family.tasks), default, family.module, str(len(family.languages))]
    return [family.family, *numbers, metrics, licences, family.about]


def _show_tasks(tasks: Sequence[TaskEntry], *, counted: bool) -> None:
    families: dict[str, list[TaskEntry]] = {}
    for each in tasks:
        families.setdefault(each.spec.name.partition("/")[0], []).append(each)
    header = ["task", "answers in", "split", *(["examples"] if counted else []), "metrics", "licence", "about"]
    for name, members in families.items():
        show_table(name, header, [_task_row(each, counted=counted) for each in members[:MOST_ROWS]])
        if len(members) > MOST_ROWS:
            click.echo(f"\n... and {len(members) - MOST_ROWS} more of {name}: --json lists all, --lang and globs fewer")


def _task_row(entry: TaskEntry, *, counted: bool) -> list[str]:
    spec = entry.spec
    examples = ["not here" if entry.examples is None else str(entry.examples)] if counted else []
    about = spec.description or ""
    return [spec.name, spec.language, spec.split, *examples, _short(", ".join(spec.metrics)), spec.licence, about]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _check(options: TasksOptions, path: Path) -> int:
    """Say what was checked of a file; the first thing that is wrong is the command's error, others are lines too."""
    if options.words:
        raise UsageError("--check takes no words beside it", where="--check", hint="xlingual tasks --check FILE")
    data_source = None if options.data is None else read_data_source(options.data, offline=True)
    found = check_file(path, data_source)
    faults = [each.fault for each in found if each.fault is not None]
    if options.as_json:
        rows: list[Json] = [
            {
                "name": each.name,
                "checked": list(each.checked),
                "unread": list(each.unread),
                "error": None if each.fault is None else str(each.fault),
            }
            for each in found
        ]
        click.echo(pretty_json({"schema": 1, "file": str(path), "checks": rows}), nl=False)
    else:
        rows_shown = [[each.name, "broken" if each.fault else "right", "; ".join(each.checked)] for each in found]
        show_table(str(path), ["task", "is", "checked"], rows_shown)
        for each in found:
            for line in each.unread:
                click.echo(printable(f"not read of {each.name}: {line}"))
    for line in _other_faults(faults):
        click.echo(printable(line), err=True)
    if faults:
        first = faults[0]
        raise (
            first
            if first.exit_code == PluginError.exit_code
            else PluginError(first.what, where=first.where, hint=first.hint)
        )
    return 0


def _other_faults(faults: Sequence[XlingualError]) -> Iterator[str]:
    for each in faults[1:]:
        yield f"error: {each}"


COMMAND = click.Command(
    "tasks",
    params=[
        click.Argument(["words"], nargs=-1, metavar="[FAMILY|TASK|GLOB|WORD]..."),
        click.Option(
            ["--lang", "--langs", "-l", "lang"], default="", help="Only tasks that answer in these languages."
        ),
        data_option(
            "Count the examples that this folder holds, or 'sample'; with --check, read them. Nothing is fetched."
        ),
        click.Option(
            ["--check"],
            default=None,
            metavar="FILE",
            help="Check a task file of yours: specs, examples, every prompt, metrics. Nothing is asked of a model.",
        ),
        click.Option(["--languages"], is_flag=True, help="List the languages and their codes."),
        json_option(),
    ],
    callback=takes(TasksOptions, run_tasks),
    help="List task families, or the tasks that the words name or that speak of them: names, descriptions, languages "
    "in English.",
    epilog="Examples: xlingual tasks translation --lang sw; xlingual tasks --check mine/tasks/capitals.py --data DIR",
)
