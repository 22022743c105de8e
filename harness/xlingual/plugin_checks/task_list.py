"""The tasks of a family by name: what a broken one is worth is told where it is named, and nowhere else."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..errors import XlingualError
from ..plugin import Task
from ..plugin_code import PluginCode
from ..plugin_files import plugin_stem
from ..records import TaskSpec
from ..registry import Family, Registered
from .contract import Broken
from .record_types import describe_value, make_check

UNSAFE = re.compile(r"[\s,/\\*?\[\]\"'\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""What no variant may hold: it would end a word of the command line, or be a glob, or be seen by nobody."""
_MEMBERS = ("examples", "prompt")
_TEXTS = make_check(tuple[str, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskList:
    """What a family offers."""

    tasks: Mapping[str, Task]
    """By variant; not checked yet but for their names."""
    broken: Mapping[str, XlingualError] = field(default_factory=dict)
    """Variants that cannot be used, and why: two tasks of one name."""
    faults: tuple[XlingualError, ...] = ()
    """What is wrong with tasks that have no name one could call them by, and what ended the list early."""


def list_tasks(registered: Registered[Family]) -> TaskList:
    """Ask a family for its tasks; nothing is raised for a broken one."""
    family, code = registered.item, registered.code
    tasks: dict[str, Task] = {}
    broken: dict[str, XlingualError] = {}
    faults: list[XlingualError] = []
    doing = f"task family {family.name}"
    try:
        for each in _iterate(family, code):
            with code.calling(doing, family.tasks):
                found = next(_name_faults(each, family.name), None)
            if found is not None:
                faults.append(code.fault(found.what, doing=doing, function=family.tasks, hint=found.hint))
                continue
            variant = each.spec.name.partition("/")[2]
            if variant in tasks:
                what = f"yields the task {each.spec.name} twice"
                broken[variant] = code.fault(what, doing=doing, function=family.tasks, hint="names are unique")
            tasks[variant] = each
    except XlingualError as error:
        faults.append(error)
    if _TEXTS(family.default) or _TEXTS(family.scope):
        what = "default and scope must be tuples of texts"
        faults.append(code.fault(what, doing=doing, function=family.tasks, hint='default=("*",), with a comma'))
    kept = {variant: task for variant, task in tasks.items() if variant not in broken}
    if not kept and not broken and not faults and family.find is None:
        faults.append(code.fault("yields no task", doing=doing, function=family.tasks))
    return TaskList(tasks=kept, broken=broken, faults=tuple(faults))


def made_tasks(registered: Registered[Family], pattern: str) -> list[Task]:
    """Return the tasks that a family makes for a pattern, by its `find`; PluginError where that is no list of tasks."""
    family, code = registered.item, registered.code
    doing = f"task family {family.name}, {pattern!r}"
    with code.calling(doing, family.find):
        made: object = family.find(pattern) if family.find is not None else []
    if not isinstance(made, list | tuple):
        raise code.fault(f"find must return a list of tasks, got {describe_value(made)}", doing=doing)
    for each in made:
        with code.calling(doing, family.find):
            found = next(_name_faults(each, family.name, is_safe=True), None)
        if found is not None:
            raise code.fault(found.what, doing=doing, function=family.find, hint=found.hint)
    return list(made)


def _iterate(family: Family, code: PluginCode) -> Iterator[Task]:
    """Yield what a family yields, and turn what its code raises into a PluginError."""
    with code.calling(f"task family {family.name}", family.tasks):
        found = family.tasks()
        if not hasattr(found, "__iter__"):
            what = f"must yield tasks, got {describe_value(found)}"
            raise code.fault(what, doing=f"task family {family.name}", function=family.tasks)
        tasks = iter(found)
    while True:
        with code.calling(f"task family {family.name}", family.tasks):
            try:
                task = next(tasks)
            except StopIteration:
                return
        yield task


def _name_faults(task: Task, family: str, *, is_safe: bool = False) -> Iterator[Broken]:
    """Yield why a task has no name that it could be called by; `is_safe`: any variant will do, it has been called."""
    spec = getattr(task, "spec", None)
    if not isinstance(spec, TaskSpec):
        missing = "yields no task" if spec is None else "spec must be a TaskSpec"
        yield Broken(f"{missing}, got {describe_value(task if spec is None else spec)}", "yield GenerationTask(...)")
        return
    if lacking := [name for name in _MEMBERS if not callable(getattr(task, name, None))]:
        yield Broken(f"a task must have {lacking[0]}(), {describe_value(task)} has none")
    name: object = spec.name
    if not isinstance(name, str):
        yield Broken(f"name must be a text, got {describe_value(name)}", f'name="{family}/en"')
        return
    first, slash, variant = name.partition("/")
    if not slash or not first or not variant or first.startswith("."):
        yield Broken(f"the name {spec.name!r} is not FAMILY/VARIANT", f'name="{family}/en"')
    elif plugin_stem(first) != plugin_stem(family):
        yield Broken(f"the name {spec.name!r} is not of the family {family!r}", f'name="{family}/{variant}"')
    elif not is_safe and (sign := UNSAFE.search(variant)):
        what = f"the name {spec.name!r} holds {sign[0]!r}, which no name of a task may"
        yield Broken(what, "letters, digits and . _ - + @ do")
