"""`xlingual tasks --check FILE`: all of the border at once, on one file, and nothing is asked of any model."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .. import plugins
from ..errors import DataError, EnvironmentFault, PluginError, UsageError, XlingualError
from ..files.folders import real_path
from ..metrics import METRIC_NAMES, find_metric
from ..plugin import DataSource, ExtractingTask, RewordableTask, SelfScoredTask, Task
from ..plugin_code import code_in, shown_path
from ..plugin_files import find_plugins, plugin_stem
from ..records import Example, Likelihood, Response
from ..registry import METRICS, TASKS, Family, Registered
from .task_list import list_tasks
from .tasks import checked_task

MEASURED = 20
"""So many gold answers are measured by the metrics of plugins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """What was looked at of one task or metric, and the first thing that was wrong."""

    name: str
    checked: tuple[str, ...]
    """"spec", "24 examples of test", "24 prompts", ..."""
    unread: tuple[str, ...] = ()
    """What could not be looked at since its data are not here, with the reason."""
    fault: XlingualError | None = None


def check_file(path: Path, data_source: DataSource | None) -> list[FileCheck]:
    """Check every task and metric of a plugin file, with the data of `data_source`; None: with what needs no folder.

    Raises UsageError where the file is not there, and PluginError where it cannot be imported.
    """
    if not path.is_file():
        raise UsageError("no such file", where=str(path), hint="name one file: mine/tasks/NAME.py")
    stem, kind = plugin_stem(path.stem), real_path(path.parent).name
    if kind in ("models", "leaderboards"):
        raise UsageError(f"is in a folder of {kind}: only tasks and metrics are checked so", where=str(path))
    with _imported(real_path(path), "metrics" if kind == "metrics" else "tasks"):
        if kind == "metrics":
            module, found = METRICS.find(stem).module, []
        else:
            family = TASKS.find(stem)
            module, found = family.module, _check_family(family, data_source)
        return [*(_check_metric(name) for name in METRICS.of_module(module)), *found]


@contextmanager
def _imported(path: Path, kind: str) -> Iterator[None]:
    """Have a file imported as the plugin that it would be, were its folder in $XLINGUAL_PLUGINS."""
    registry = METRICS if kind == "metrics" else TASKS
    dotted = f"{plugins.__name__}.{kind}.{path.stem}"
    before = list(plugins.__path__)
    registry.forget(path.stem)
    sys.modules.pop(dotted, None)
    importlib.invalidate_caches()
    try:
        if path.parent.name == kind:
            root = str(path.parent.parent)
            plugins.__path__[:] = before if root in before else [*before, root]
        else:
            _import_alone(path, dotted, kind)
        yield
    finally:
        plugins.__path__[:] = before


def _import_alone(path: Path, dotted: str, kind: str) -> None:
    """Import a file that is in no plugin folder."""
    if offers := find_plugins(kind).get(plugin_stem(path.stem)):
        what = f"the plugin {path.stem!r} is in {offers[0].place} already"
        raise UsageError(what, where=shown_path(path), hint="give the file another name")
    spec = importlib.util.spec_from_file_location(dotted, path)
    if path.suffix != ".py" or spec is None or spec.loader is None:
        where = f"a folder called {kind}"
        raise UsageError(
            f"is neither a Python file nor in {where}", where=shown_path(path), hint=f"put it into {where}"
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[dotted] = module
    with ExitStack() as endings:
        endings.callback(sys.modules.pop, dotted, None)
        with code_in(path).calling():
            spec.loader.exec_module(module)
        endings.pop_all()


def _check_family(registered: Registered[Family], data_source: DataSource | None) -> list[FileCheck]:
    listed = list_tasks(registered)
    family = registered.item.name
    faults = [*listed.faults, *listed.broken.values()]
    found = [_check_task(task, registered, data_source) for task in listed.tasks.values()]
    return [*found, *(FileCheck(name=family, checked=(), fault=fault) for fault in faults)]


def _check_task(task: Task, registered: Registered[Family], data_source: DataSource | None) -> FileCheck:
    """Look at a task until something is wrong; data that are not here are no fault of its unless a folder is named."""
    name, checked, unread = task.spec.name, ["name"], []
    try:
        whole = checked_task(task, registered.code)
        checked.append("spec")
        for each in _wordings(whole):
            for split in dict.fromkeys(filter(None, (each.spec.split, each.spec.shot_split))):
                try:
                    checked += _check_split(each, split, data_source)
                except (DataError, EnvironmentFault, UsageError) as error:
                    if isinstance(error, PluginError) or (data_source is not None and split == each.spec.split):
                        raise
                    unread.append(f"{split}: {error}")
    except XlingualError as error:
        return FileCheck(name=name, checked=tuple(dict.fromkeys(checked)), unread=tuple(unread), fault=error)
    return FileCheck(name=name, checked=tuple(dict.fromkeys(checked)), unread=tuple(dict.fromkeys(unread)))


def _wordings(task: Task) -> Iterator[Task]:
    """Yield a task and all its other wordings; not every language has every variant."""
    yield task
    if isinstance(task, RewordableTask):
        for language in task.prompt_languages():
            for variant in task.variants():
                try:
                    other = task.reword(prompt_language=language, variant=variant)
                except UsageError:
                    continue
                if other.spec != task.spec:
                    yield other


def _check_split(task: Task, split: str, data_source: DataSource | None) -> list[str]:
    """Read a split and make all its prompts; return what was looked at."""
    source = data_source or DataSource(folder=None, sample=False, offline=True)
    rows = task.examples(split, source).rows
    if not rows:
        raise DataError(f"has no examples in {split}", where=task.spec.name)
    for row in rows:
        if isinstance(task, SelfScoredTask):
            task.request(row)
        else:
            task.prompt(row)
        if isinstance(task, ExtractingTask):
            task.extract(row, next(iter(row.targets), ""))
    checked = [f"{len(rows)} examples of {split}", f"{len(rows)} prompts of {split}"]
    own = [name for name in task.spec.metrics if name not in METRIC_NAMES and not name.startswith("lm-eval:")]
    if own and split == task.spec.split and not isinstance(task, SelfScoredTask):
        for name in own:
            _measure_golds(name, rows[:MEASURED])
        checked.append(f"{', '.join(own)} of {min(MEASURED, len(rows))} gold answers")
    return checked


def _check_metric(name: str) -> FileCheck:
    try:
        metric = find_metric(name)
        metric.missing("en")
        metric.signature("en")
    except XlingualError as error:
        return FileCheck(name=f"metric {name}", checked=(), fault=error)
    return FileCheck(name=f"metric {name}", checked=("name", "direction", "bounds", "signature"))


def _measure_golds(name: str, rows: Sequence[Example]) -> None:
    """Measure each example's own first gold answer, and combine what that gives."""
    import numpy as np  # noqa: PLC0415  # `import xlingual` stays without it

    metric = find_metric(name)
    measured = [metric.measure(row, _gold(row)) for row in rows]
    lengths = {len(each) for each in measured if each is not None}
    if len(lengths) > 1:
        raise PluginError(f"measures tuples of different lengths: {sorted(lengths)}", where=f"metric {name}")
    if lengths:
        metric.combine(np.array([each for each in measured if each is not None], dtype=np.float64).sum(axis=0))


def _gold(row: Example) -> Response:
    """Return the answer of a model that says the first gold, or chooses it."""
    text = Response(key=row.id, text=row.targets[0], failure=None, finish=None, prompt_tokens=None, tokens=None)
    if row.choices is None:
        return text
    likelihoods = tuple(
        Likelihood(logarithm=-1.0 if choice in row.targets else -9.0, is_greedy=None, tokens=None)
        for choice in row.choices
    )
    return replace(text, text=None, likelihoods=likelihoods)
