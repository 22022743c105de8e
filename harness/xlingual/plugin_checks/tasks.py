"""A task behind its border: a spec is checked once, examples and prompts whenever they are made.

The wrapper has the methods of an optional protocol (RewordableTask, ExtractingTask, SelfScoredTask) only where the task
itself has them, so that `isinstance` says of it what it says of the task.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from ..errors import UsageError
from ..plugin import ChatTask, DataSource, ExtractingTask, GroupMember, RewordableTask, SelfScoredTask, Task
from ..plugin_code import PluginCode
from ..records import Example, Examples, Prompt, Request, Response, Statistics, TaskGroup, TaskSpec
from ..text import did_you_mean
from .contract import require
from .examples import examples_faults, prompt_faults
from .record_types import describe_value, make_check, record_fault
from .specs import extract_faults, language_faults, spec_faults, split_fault

_TEXTS = make_check(tuple[str, ...])
_NUMBERS = make_check(tuple[float, ...])


@dataclass(frozen=True, slots=True)
class CheckedTask:
    """A Task that raises a PluginError, or what else the plugin means to raise, wherever the task is not as it must be.

    Raises UsageError for a split that the task does not have, or that none can have.
    """

    task: Task
    code: PluginCode

    @property
    def spec(self) -> TaskSpec:
        """What the task is."""
        return self.task.spec

    def examples(self, split: str, data_source: DataSource) -> Examples:
        """Read a split, in the order of its files; UsageError for a split that the task does not have."""
        spec, doing = self.spec, f"task {self.spec.name}"
        if (broken := split_fault(split)) is not None:
            raise UsageError(broken.what, where="--split", hint=broken.hint)
        if spec.splits is not None and split not in spec.splits:
            hint = did_you_mean(split, spec.splits)
            raise UsageError(f"{spec.name} has no split {split!r}", where="--split", hint=hint)
        function = getattr(self.task, "read", self.task.examples)
        with self.code.calling(f"{doing}, split {split}", function):
            found = self.task.examples(split, data_source)
        judges_itself = isinstance(self.task, SelfScoredTask)
        faults = examples_faults(found, spec, judges_itself=judges_itself, shipped=self.code.shipped)
        require(faults, self.code, doing, function)
        return found

    def prompt(self, example: Example) -> Prompt:
        """Say what to ask for `example`."""
        doing, function = _doing(self, example), getattr(self.task, "ask", self.task.prompt)
        with self.code.calling(doing, function):
            found = self.task.prompt(example)
        if not isinstance(self.task, SelfScoredTask):
            require(prompt_faults(found, example, self.spec), self.code, doing, function)
        return found


def checked_task(task: Task, code: PluginCode) -> Task:
    """Return `task` behind its border; PluginError where its spec is not as it must be."""
    doing = f"task {task.spec.name}"
    require(spec_faults(task.spec), code, doing)
    if not isinstance(task, ExtractingTask):
        require(extract_faults(task.spec), code, doing)
    offered = tuple(protocol for protocol in _OPTIONAL if isinstance(task, protocol))
    return cast(Task, _wrapper(offered)(task, code))


def _doing(checked: CheckedTask, example: Example) -> str:
    return f"task {checked.spec.name}, example {example.id!r}"


def _extract(self: CheckedTask, example: Example, text: str) -> str | None:
    """Return what is to be scored, None where there is nothing."""
    task, doing = cast(ExtractingTask, self.task), _doing(self, example)
    with self.code.calling(doing, task.extract):
        found: object = task.extract(example, text)
    if found is not None and not isinstance(found, str):
        what = f"extract must return a text or None, got {describe_value(found)}"
        raise self.code.fault(what, doing=doing, function=task.extract)
    return found


def _request(self: CheckedTask, example: Example) -> Request:
    """Return the whole request for `example`."""
    task, doing = cast(SelfScoredTask, self.task), _doing(self, example)
    with self.code.calling(doing, task.request):
        found = task.request(example)
    if not self.code.shipped and (wrong := record_fault(found, Request, called="request")) is not None:
        raise self.code.fault(wrong, doing=doing, function=task.request)
    return found


def _judge(self: CheckedTask, example: Example, response: Response) -> Mapping[str, Statistics]:
    """Return what an answer adds to each metric of the task."""
    task, doing = cast(SelfScoredTask, self.task), _doing(self, example)
    with self.code.calling(doing, task.judge):
        found: Mapping[str, Statistics] | object = task.judge(example, response)
    if not isinstance(found, Mapping):
        what = f"judge must return a mapping of metrics to statistics, got {describe_value(found)}"
        raise self.code.fault(what, doing=doing, function=task.judge)
    for name, statistics in found.items():
        if name not in self.spec.metrics:
            raise self.code.fault(f"judge names {name!r}, no metric of the task", doing=doing, function=task.judge)
        if not self.code.shipped and (wanted := _NUMBERS(statistics)) is not None:
            what = f"judge: the statistics of {name} must be {wanted}, got {describe_value(statistics)}"
            raise self.code.fault(what, doing=doing, function=task.judge)
    return found


def _prompt_languages(self: CheckedTask) -> tuple[str, ...]:
    """Return the codes of the languages that its instruction is there in, its own first."""
    found = _texts(self, cast(RewordableTask, self.task).prompt_languages, "prompt_languages")
    for code in found:
        require(language_faults("prompt_languages", code), self.code, f"task {self.spec.name}")
    return found


def _variants(self: CheckedTask) -> tuple[str, ...]:
    """Return the names of its wordings, its own first."""
    return _texts(self, cast(RewordableTask, self.task).variants, "variants")


def _texts(self: CheckedTask, function: Callable[[], tuple[str, ...]], name: str) -> tuple[str, ...]:
    doing = f"task {self.spec.name}"
    with self.code.calling(doing, function):
        found = function()
    if (wanted := _TEXTS(found)) is not None:
        what = f"{name} must return {wanted}, got {describe_value(found)}"
        raise self.code.fault(what, doing=doing, function=function)
    return found


def _reword(self: CheckedTask, *, prompt_language: str | None, variant: str | None) -> Task:
    """Return the task in other words."""
    function, doing = cast(RewordableTask, self.task).reword, f"task {self.spec.name}"
    with self.code.calling(doing, function):
        found = function(prompt_language=prompt_language, variant=variant)
    return _same_task(self, found, "reword", function)


def _same_task(self: CheckedTask, found: object, name: str, function: Callable[..., Task]) -> Task:
    """Return what the method `name` made of a task behind the border; it must be the same task."""
    spec = getattr(found, "spec", None)
    if not isinstance(spec, TaskSpec) or spec.name != self.spec.name:
        what = f"{name} must return the task {self.spec.name}, got {describe_value(spec and spec.name)}"
        raise self.code.fault(what, doing=f"task {self.spec.name}", function=function)
    return checked_task(cast(Task, found), self.code)


def _with_chat(self: CheckedTask, *, template: bool, as_turns: bool, system: str | None) -> Task:
    """Return the task asked as chats."""
    task, doing = cast(ChatTask, self.task), f"task {self.spec.name}"
    with self.code.calling(doing, task.with_chat):
        found = task.with_chat(template=template, as_turns=as_turns, system=system)
    return _same_task(self, found, "with_chat", task.with_chat)


def _groups(self: CheckedTask) -> tuple[TaskGroup, ...]:
    """Return the groups that the task was chosen as one of."""
    return cast(GroupMember, self.task).groups


_OPTIONAL: Mapping[type, Mapping[str, object]] = {
    ChatTask: {"with_chat": _with_chat},
    GroupMember: {"groups": property(_groups)},
    RewordableTask: {"prompt_languages": _prompt_languages, "variants": _variants, "reword": _reword},
    ExtractingTask: {"extract": _extract},
    SelfScoredTask: {"request": _request, "judge": _judge},
}
"""What a task may have besides, and what the wrapper has for it then."""


@lru_cache(maxsize=16)
def _wrapper(protocols: tuple[type, ...]) -> Callable[[Task, PluginCode], CheckedTask]:
    """Return the class of wrappers with the methods of `protocols`: `isinstance` looks at nothing but a class."""
    methods = {name: method for protocol in protocols for name, method in _OPTIONAL[protocol].items()}
    return type("CheckedTask", (CheckedTask,), {"__slots__": (), **methods})
