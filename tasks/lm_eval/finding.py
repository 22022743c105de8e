"""lm-eval's tasks by name: of the user's folders first, then its own; all of its index is read only where one must."""

import contextlib
import importlib.util
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from xlingual.data import hub_fault, hub_is_offline
from xlingual.errors import DataError, EnvironmentFault, UsageError
from xlingual.text import did_you_mean

from .faults import faults_of, require_readable

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

VARIABLE = "XLINGUAL_LM_EVAL_PATH"
METADATA_VARIABLE = "XLINGUAL_LM_EVAL_METADATA"
"""A JSON object, as lm-eval's `--metadata`, for tasks that make their own documents: {"tokenizer": "FOLDER"}."""


class HarnessInstance(Protocol):
    """What is used of lm-eval's Instance: one question about a document."""

    doc: object
    doc_id: int
    idx: int
    arguments: tuple[object, ...]
    request_type: str
    resps: list[object]
    filtered_resps: dict[str, object]


class Filters(Protocol):
    """What is used of lm-eval's FilterEnsemble."""

    name: str

    def apply(self, instances: Sequence[HarnessInstance]) -> None:
        """Fill `filtered_resps` of each instance under the name of the filters."""
        ...


class HarnessGroupMetric(Protocol):
    """What is used of lm-eval's AggMetricConfig."""

    metric: str
    filter_list: Sequence[str] | None
    weight_by_size: bool


class HarnessTask(Protocol):
    """What is used of lm-eval's Task."""

    VERSION: object
    OUTPUT_TYPE: str
    instances: list[HarnessInstance]
    _filters: list[Filters]

    @property
    def task_name(self) -> str:
        """Its name."""
        ...

    def get_config(self, key: str) -> object:
        """Return a field of its configuration."""
        ...

    def set_config(self, key: str, value: object) -> None:
        """Set a field of its configuration."""
        ...

    def set_fewshot_seed(self, seed: int) -> None:
        """Set the seed of the choice of demonstrations."""
        ...

    def build_all_requests(
        self,
        *,
        system_instruction: str | None = None,
        apply_chat_template: bool = False,
        fewshot_as_multiturn: bool = False,
        chat_template: Callable[..., str] | None = None,
    ) -> None:
        """Fill `instances`."""
        ...

    def doc_to_target(self, doc: object) -> object:
        """Return what is right: a text, the number of a choice, or several of these."""
        ...

    def doc_to_choice(self, doc: object) -> Sequence[str]:
        """Return the choices."""
        ...

    def process_results(self, doc: object, results: Sequence[object]) -> Mapping[str, object]:
        """Return the values of a document's metrics."""
        ...

    def aggregation(self) -> Mapping[str, object]:
        """Return the function of each metric that puts values together."""
        ...

    def higher_is_better(self) -> Mapping[str, object]:
        """Return the sense of each metric."""
        ...


class HarnessGroup(Protocol):
    """What is used of lm-eval's Group."""

    name: str
    aggregate_metric_list: Sequence[HarnessGroupMetric] | None

    @property
    def version(self) -> str:
        """Its version."""
        ...

    def get_all_tasks(self) -> Sequence[HarnessTask]:
        """Return its tasks, those of groups inside it among them."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """The tasks that a name stands for in lm-eval, and the groups that they are of."""

    tasks: Sequence[HarnessTask]
    groups: Sequence[HarnessGroup]


def load_tasks(name: str) -> Found:
    """Return the tasks that `name` stands for in lm-eval, with their data, and the groups that they are of.

    Raises UsageError where there is none, DataError where a file of the user's is wrong, EnvironmentFault where lm-eval
    or the data cannot be had.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise EnvironmentFault("lm-eval is not installed", where="lm-eval", hint="pip install 'xlingual[lm-eval]'")
    with faults_of(f"lm-eval:{name}", "lm-eval cannot make the task"), hide_progress(), _offline_without_hub():
        for manager, word in _candidates(name):
            if word is not None:
                _require_members(manager, word)
                loaded = cast(Mapping[str, Mapping[str, object]], manager.load([word]))
                tasks = cast(Mapping[str, HarnessTask], loaded["tasks"])
                if not tasks:
                    raise DataError("the group has no tasks", where=f"lm-eval:{name}")
                return Found(list(tasks.values()), list(cast(Mapping[str, HarnessGroup], loaded["groups"]).values()))
        known = _manager(defaults=True).all_tasks
        require_readable(name, _folders())
    raise UsageError(f"lm-eval has no task {name!r}", where="lm-eval", hint=did_you_mean(name, known))


def _require_members(manager: "TaskManager", name: str) -> None:
    """Raise DataError where a group names a task that there is not, which lm-eval would take for a task's settings."""
    entry = manager.task_index.get(name)
    if entry is None or entry.kind.name != "GROUP":
        return
    for member in _named_members(entry.cfg or {}):
        if member not in manager.task_index:
            what, hint = (
                f"the group names the task {member!r}, which there is not",
                did_you_mean(member, manager.all_tasks),
            )
            raise DataError(what, where=str(entry.yaml_path), hint=hint)


def _named_members(group: Mapping[str, object]) -> Iterator[str]:
    """Yield the names in a group that must be of tasks elsewhere: those without data of their own."""
    members = group.get("task")
    for member in members if isinstance(members, list) else []:
        if isinstance(member, str):
            yield member
        elif isinstance(member, Mapping) and "group" in member:
            yield from _named_members({**group, **member})
        elif isinstance(member, Mapping) and not {"dataset_path", "custom_dataset", "class"} & {*group, *member}:
            yield str(member.get("task"))


def _candidates(name: str) -> "Iterator[tuple[TaskManager, str | None]]":
    """Yield the places to look at, the quick ones first: an index of lm-eval's own tasks takes seconds."""
    from lm_eval.tasks import __file__ as root  # noqa: PLC0415 - optional, and heavy
    from lm_eval.tasks._index import TaskIndex  # noqa: PLC0415 - optional, and heavy

    own = _manager(defaults=False)
    yield own, name if name in own.all_tasks else None
    for path in sorted(Path(root).parent.rglob(f"{name}.yaml")):
        entry = TaskIndex.entry_from_path(path)
        if entry is not None and entry.name == name and entry.kind.name in ("TASK", "PY_TASK"):
            yield own, str(path)
    every = _manager(defaults=True)
    yield every, name if name in every.all_tasks else None


def _manager(*, defaults: bool) -> "TaskManager":
    return _make_manager(defaults, tuple(_folders()), os.environ.get(METADATA_VARIABLE, ""))


@lru_cache(maxsize=4)
def _make_manager(defaults: bool, folders: tuple[str, ...], metadata: str) -> "TaskManager":
    """Return lm-eval's index; kept, for it takes seconds to make."""
    from lm_eval.tasks import TaskManager  # noqa: PLC0415 - optional, and heavy

    return TaskManager(include_path=list(folders), include_defaults=defaults, metadata=_metadata(metadata))


def _folders() -> list[str]:
    """Return the user's folders of tasks."""
    folders = [word for word in os.environ.get(VARIABLE, "").split(os.pathsep) if word]
    if missing := [word for word in folders if not Path(word).is_dir()]:
        raise UsageError(f"no such folder: {missing[0]}", where=f"${VARIABLE}")
    return folders


def _metadata(text: str) -> dict[str, object]:
    try:
        given = json.loads(text or "{}")
    except ValueError as error:
        raise UsageError(f"not JSON: {error}", where=f"${METADATA_VARIABLE}") from error
    if not isinstance(given, dict):
        raise UsageError("must be a JSON object", where=f"${METADATA_VARIABLE}", hint='{"tokenizer": "FOLDER"}')
    return given


@contextlib.contextmanager
def _offline_without_hub() -> Iterator[None]:
    """Have the hub's clients use their cache at once where the hub does not answer, instead of trying for long."""
    if hub_is_offline() or hub_fault() is None:
        yield
        return
    from datasets import config  # noqa: PLC0415 - heavy
    from huggingface_hub import constants  # noqa: PLC0415 - heavy

    before = constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def hide_progress() -> Iterator[None]:
    """Keep lm-eval's progress bars out of ours."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
