"""lm-eval's tasks by name: of the user's folders first, then its own; all of its index is read only where one must."""

import contextlib
import importlib.util
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from xlingual.data import hub_fault, hub_is_offline
from xlingual.errors import EnvironmentFault, UsageError
from xlingual.text import did_you_mean

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

VARIABLE = "XLINGUAL_LM_EVAL_PATH"
METADATA_VARIABLE = "XLINGUAL_LM_EVAL_METADATA"
"""A JSON object, as lm-eval's `--metadata`, for tasks that make their own documents: {"tokenizer": "FOLDER"}."""

WRONG = (
    ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""Data sets and task files that are wrong show as any of these."""


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

    def build_all_requests(self) -> None:
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


def load_tasks(name: str) -> list[HarnessTask]:
    """Return the tasks that `name` stands for in lm-eval, with their data.

    Raises UsageError where there is none, EnvironmentFault where lm-eval or the data cannot be had.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise EnvironmentFault("lm-eval is not installed", where="lm-eval", hint="pip install 'xlingual[lm-eval]'")
    with _errors_of(name), hide_progress(), _offline_without_hub():
        for manager, word in _candidates(name):
            if word is not None:
                return list(cast(Mapping[str, HarnessTask], manager.load([word])["tasks"]).values())
        known = _manager(defaults=True).all_tasks
    raise UsageError(f"lm-eval has no task {name!r}", where="lm-eval", hint=did_you_mean(name, known))


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


@lru_cache(maxsize=2)
def _manager(*, defaults: bool) -> "TaskManager":
    from lm_eval.tasks import TaskManager  # noqa: PLC0415 - optional, and heavy

    folders = [word for word in os.environ.get(VARIABLE, "").split(os.pathsep) if word]
    if missing := [word for word in folders if not Path(word).is_dir()]:
        raise UsageError(f"no such folder: {missing[0]}", where=f"${VARIABLE}")
    return TaskManager(include_path=list(folders), include_defaults=defaults, metadata=_metadata())


def _metadata() -> dict[str, object]:
    try:
        given = json.loads(os.environ.get(METADATA_VARIABLE, "") or "{}")
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


@contextlib.contextmanager
def _errors_of(name: str) -> Iterator[None]:
    from huggingface_hub import errors  # noqa: PLC0415 - heavy

    transport: type[Exception] = getattr(errors, "HTTPError", ConnectionError)  # of the client that the hub's uses
    where = f"lm-eval:{name}"
    try:
        yield
    except ImportError as error:
        hint = "the task needs a package, or a version of one, that is not here"
        raise EnvironmentFault(f"the task cannot be imported: {error}", where=where, hint=hint) from error
    except (ConnectionError, transport) as error:
        hint = "lm-eval's data come from the hub: check the network, or HF_HUB_OFFLINE"
        raise EnvironmentFault(f"the data cannot be had: {_line(error)}", where=where, hint=hint) from error
    except WRONG as error:
        message = f"lm-eval cannot make the task: {type(error).__name__}: {_line(error)}"
        raise EnvironmentFault(message, where=where, hint="does `lm-eval --tasks` take it?") from error


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]
