"""What tasks there are: families with what they cover, and tasks by name, language or words; a broken one is a row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from .errors import DataError, EnvironmentFault, UsageError, XlingualError
from .languages import LANGUAGES, find_language
from .plugin import DataSource, Task
from .plugin_checks import checked_task
from .plugin_files import plugin_stem
from .records import TaskSpec
from .registry import TASKS
from .selection import listed_tasks, select_tasks
from .serial import LATER
from .text import did_you_mean

_GLOB = "*?["


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyEntry:
    """A family of tasks, or why there is none."""

    family: str
    module: str
    tasks: int | None
    """None: too many to list."""
    default: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    """Codes of the languages that its tasks answer in."""
    metrics: tuple[str, ...] = ()
    """Main metrics."""
    licences: tuple[str, ...] = ()
    about: str = ""
    """First line of its docstring."""
    error: str | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEntry:
    """A task, and how many examples its split has where that was counted."""

    spec: TaskSpec
    examples: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryEntry:
    """The tasks that words name, and the families that could not be looked through."""

    tasks: tuple[TaskEntry, ...]
    broken: tuple[FamilyEntry, ...]


def list_families() -> list[FamilyEntry]:
    """Return every family; those of plugins that are broken say why."""
    return [_family_entry(name) for name in TASKS.names()]


def _family_entry(name: str) -> FamilyEntry:
    tasks, faults = _family_tasks(name)
    try:
        registered = TASKS.find(name)
    except XlingualError as error:
        return FamilyEntry(family=name, module="", tasks=None, error=str(error))
    family = registered.item
    specs = [task.spec for task in tasks]
    return FamilyEntry(
        family=name,
        module=registered.module,
        tasks=None if family.find is not None else len(specs),
        default=family.default if not faults else (),
        languages=tuple(dict.fromkeys(spec.language for spec in specs)),
        metrics=tuple(dict.fromkeys(spec.metrics[0] for spec in specs)),
        licences=tuple(dict.fromkeys(spec.licence for spec in specs)),
        about=next(iter((family.tasks.__doc__ or "").strip().splitlines()), ""),
        error=str(faults[0]) if faults else None,
    )


def _family_tasks(name: str) -> tuple[list[Task], list[XlingualError]]:
    """Return the tasks of a family that are as they must be, and what is wrong with the others, or with all of it."""
    try:
        registered = TASKS.find(name)
    except XlingualError as error:
        return [], [error]
    listed = listed_tasks(registered)
    if registered.code.shipped:  # ten thousand of Flores-101 that the tests have seen
        return list(listed.tasks.values()), []
    tasks, faults = [], [*listed.faults, *listed.broken.values()]
    for task in listed.tasks.values():
        try:
            tasks.append(checked_task(task, registered.code))
        except XlingualError as error:
            faults.append(error)
    return tasks, faults


def find_entries(words: Sequence[str], languages: Sequence[str], data_source: DataSource | None) -> InventoryEntry:
    """Return the tasks that `words` name; of words that name none, those that speak of all of them.

    A family, task or glob names tasks. Any other word is looked for in names, descriptions and the English names of the
    languages. With a `data_source` the examples that are there are counted. Raises UsageError where nothing is found.
    """
    names = [word for word in words if _is_name(word)]
    searched = [word.casefold() for word in words if word not in names]
    codes = [find_language(word).code for word in languages]
    broken: list[FamilyEntry] = []
    tasks = list(_named(names, codes, broken)) if names else list(_all_tasks(broken))
    found = [task for task in tasks if _speaks_of(task.spec, searched) and (not codes or task.spec.language in codes)]
    if not found and not (broken and not searched):
        what = f"no task matches {' '.join(searched) or ' '.join(words)!r}" + (
            f" in {', '.join(codes)}" if codes else ""
        )
        raise UsageError(what, hint=did_you_mean(words[0] if words else "", TASKS.names()))
    return InventoryEntry(tasks=tuple(_entry(task, data_source) for task in found), broken=tuple(broken))


def _is_name(word: str) -> bool:
    return any(sign in word for sign in f"/:{_GLOB}") or plugin_stem(word) in TASKS.names()


def _named(names: Sequence[str], codes: Sequence[str], broken: list[FamilyEntry]) -> Iterator[Task]:
    """Yield the tasks of families, tasks and globs; a glob may stand for families, too."""
    whole = [name for name in names if not any(sign in name.partition("/")[0] for sign in _GLOB)]
    if whole:
        yield from select_tasks(whole, codes)
    patterns = [name if "/" in name else f"{name}/*" for name in names if name not in whole]
    if patterns:
        for task in _all_tasks(broken):
            if any(fnmatchcase(task.spec.name, pattern) for pattern in patterns):
                yield task


def _all_tasks(broken: list[FamilyEntry]) -> Iterator[Task]:
    for name in TASKS.names():
        tasks, faults = _family_tasks(name)
        broken += [FamilyEntry(family=name, module="", tasks=None, error=str(fault)) for fault in faults]
        yield from tasks


def _speaks_of(spec: TaskSpec, searched: Sequence[str]) -> bool:
    if not searched:
        return True
    codes = [spec.language, spec.prompt_language, spec.source_language or ""]
    spoken = [LANGUAGES[code].name for code in codes if code in LANGUAGES]
    text = " ".join([spec.name, spec.description or "", *spoken]).casefold()
    return all(word in text for word in searched)


def _entry(task: Task, data_source: DataSource | None) -> TaskEntry:
    if data_source is None:
        return TaskEntry(spec=task.spec)
    try:
        return TaskEntry(spec=task.spec, examples=len(task.examples(task.spec.split, data_source).rows))
    except (DataError, EnvironmentFault):
        return TaskEntry(spec=task.spec)
