"""From words to tasks and models: `xquad,flores101/en-*` with `zh,ar`, and `hf:org/name@revision`."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from pathlib import Path

from .data import NotInSampleError
from .errors import DataError, UsageError, XlingualError
from .languages import find_language
from .plugin import DataSource, Model, ModelOptions, Task
from .plugin_checks import TaskList, checked_model, checked_task, list_tasks, made_tasks
from .registry import MODELS, TASKS, Family, Registered, used_options
from .text import did_you_mean

_SLASH = re.compile(r"[/:]")


def split_words(text: str) -> list[str]:
    """Return the words of a comma- or space-separated list, without repeats, in order."""
    return list(dict.fromkeys(text.replace(",", " ").split()))


def select_tasks(
    words: Sequence[str], languages: Sequence[str], data_source: DataSource | None = None, split: str | None = None
) -> list[Task]:
    """Return the tasks that `words` name, in order and once each, those in `languages` only where any are given.

    A word is a family ("xquad"), a task ("mlqa/zh-en", or "mlqa:zh-en") or a glob ("flores101/en-*"). A bare family
    stands for its default tasks; with languages chosen, for all of its tasks that answer in them. Where `data_source`
    is the packaged sample, families and globs stand for those of their tasks whose `split` is in it.

    All are behind their border (see `plugin_checks`). Raises UsageError with close names, DataError where all that a
    word stands for is missing from the sample, and PluginError for a task that is named and not as it must be.
    """
    codes = [find_language(word).code for word in languages]
    chosen: dict[str, Task] = {}
    for word in words:
        family_name, pattern = [*_SLASH.split(word, maxsplit=1), ""][:2]
        registered = TASKS.find(family_name)
        named = [task for task in _named_tasks(registered, pattern, codes) if _answers_in(task, codes)]
        found = [checked_task(task, registered.code) for task in named]
        if data_source is not None and data_source.sample and registered.item.find is None:
            found = _tasks_in_sample(found, registered, data_source, split)
        chosen.update({task.spec.name: task for task in found})
    if not chosen:
        raise UsageError(
            f"no task of {', '.join(words)} answers in {', '.join(codes)}",
            where="--langs",
            hint="xlingual tasks FAMILY lists the languages of a family",
        )
    return list(chosen.values())


def _named_tasks(registered: Registered[Family], pattern: str, codes: Sequence[str]) -> list[Task]:
    """Return the tasks of a family that a pattern names, those that it stands for without one."""
    family = registered.item
    if family.find is not None:
        return made_tasks(registered, pattern)
    listed = listed_tasks(registered)
    if listed.faults and not pattern:
        raise listed.faults[0]
    patterns = [pattern] if pattern else list(family.scope if codes else family.default)
    return [listed.tasks[name] for each in patterns for name in _matches(each, listed, family)]


def _answers_in(task: Task, codes: Sequence[str]) -> bool:
    return not codes or task.spec.language in codes


_LISTED: dict[str, tuple[Registered[Family], TaskList]] = {}
"""The tasks of families by what stands after the slash; kept, since Flores-101 has ten thousand."""


def listed_tasks(registered: Registered[Family]) -> TaskList:
    """Return the tasks of a family, listed once for each time that its file is imported."""
    name = registered.item.name
    if name not in _LISTED or _LISTED[name][0] is not registered:
        _LISTED[name] = (registered, list_tasks(registered))
    return _LISTED[name][1]


def _tasks_in_sample(
    found: list[Task], registered: Registered[Family], sample: DataSource, split: str | None
) -> list[Task]:
    """Return those of the tasks that the packaged sample has; DataError that lists the family's where it has none.

    Of a family that is not in it at all the tasks stay: what is missing is for their own readers to say.
    """
    faults = [_missing(task, sample, split) for task in found]
    present = [task for task, fault in zip(found, faults, strict=True) if fault is None]
    first = next((fault for fault in faults if fault is not None), None)
    if present or first is None:
        return present
    listed, family = listed_tasks(registered), registered.item
    names = [name for pattern in family.default for name in _matches(pattern, listed, family)]
    usual = [checked_task(listed.tasks[name], registered.code) for name in names]
    there = [task.spec.name for task in usual if _missing(task, sample, split) is None]
    if not there:
        return found
    raise DataError(first.what, where=first.where, hint=f"it has {', '.join(there)}; {first.hint}")


def _missing(task: Task, sample: DataSource, split: str | None) -> NotInSampleError | None:
    """Return the error that says what the sample lacks of a task; what else is wrong with its data is told later."""
    try:
        task.examples(split or task.spec.split, sample)
    except NotInSampleError as error:
        return error
    except XlingualError:
        return None
    return None


def untouched_languages(tasks: Iterable[Task], languages: Sequence[str]) -> list[str]:
    """Return the chosen languages that no task answers in."""
    covered = {task.spec.language for task in tasks}
    return [code for code in dict.fromkeys(find_language(word).code for word in languages) if code not in covered]


def _matches(pattern: str, listed: TaskList, family: Family) -> list[str]:
    """Return the variants that a pattern names; what is wrong with one of them, or with one without a name, is raised.

    A task that is named whole is not harmed by what is wrong with the others.
    """
    names = [*listed.tasks, *listed.broken]
    if is_glob := any(sign in pattern for sign in "*?["):
        found = [name for name in names if fnmatchcase(name, pattern)]
    else:
        found = [name for name in (pattern, _canonical(pattern)) if name in names][:1]
    for fault in (listed.broken[name] for name in found if name in listed.broken):
        raise fault
    if listed.faults and (is_glob or not found):
        raise listed.faults[0]
    if not found:
        raise UsageError(f"no such task: {family.name}/{pattern}", hint=did_you_mean(pattern, names))
    return found


def _canonical(variant: str) -> str:
    """Return a variant with its language words replaced by our codes: "eng-zho_simpl" is "en-zh"."""
    try:
        return "-".join(find_language(part).code for part in variant.split("-"))
    except UsageError:
        return variant


def open_model(word: str, options: ModelOptions) -> Model:
    """Open the model that `word` names: BACKEND, BACKEND:NAME[@REVISION], a folder, or ORG/NAME on the hub.

    A plugin's is behind its border (see `plugin_checks`). Weights are not loaded yet. Raises UsageError for a word that
    names nothing, with close names, and PluginError for a model that is not as it must be.
    """
    if not word.strip():
        raise UsageError("the model's name is empty", where="--model", hint=did_you_mean("", MODELS.names()))
    backend, colon, name = word.partition(":")
    backends = MODELS.names()
    if colon and backend.replace("-", "_") in backends:
        return _open(backend, name, options)
    if word in backends:
        return _open(word, "", options)
    if word.startswith((".", "/", "~")) or _exists(word):
        return _open("hf", word, options)
    if "/" in word and not colon:
        return _open("hf", word, options)
    raise UsageError(f"no such model: {word!r}", where="--model", hint=_model_hint(word, backend, backends))


def _open(backend: str, name: str, options: ModelOptions) -> Model:
    if "@" in name and "://" not in name and not _exists(name):  # what stands after the @ of NAME@URL is no revision
        name, _, revision = name.rpartition("@")
        options = replace(options, revision=revision)
    registered = MODELS.find(backend)
    _refuse_unused(backend, options)
    word = f"{backend}:{name}" if name else backend
    with registered.code.calling(f"model {word!r}", registered.item):
        model = registered.item(name, options)
    return checked_model(model, registered.code, word, registered.item)


OPTION_WORDS = {
    "server_args": "--server-arg",
    "headers": "--header",
    "chat_template": "--template",
    "thinking_end": "--think-end",
}
"""Options of the command line that are not called as their field of ModelOptions."""
ALWAYS_FINE = frozenset({"offline", "batch_size"})
"""Options that every backend may be given: they change no answer, and one without rows or network has nothing to do."""


def _refuse_unused(backend: str, options: ModelOptions) -> None:
    """Raise UsageError for an option that the user set and the backend cannot use: it would silently change nothing."""
    used = used_options(backend)
    if used is None:
        return
    for each in fields(ModelOptions):
        if each.name in used | ALWAYS_FINE or getattr(options, each.name) == each.default:
            continue
        word = OPTION_WORDS.get(each.name, "--" + each.name.replace("_", "-"))
        users = [name for name in MODELS.names() if each.name in (_used_by(name) or ())]
        hint = f"leave {word} out" + (f"; {', '.join(users)} can use it" if users else "")
        raise UsageError(f"{backend} models cannot use it", where=word, hint=hint)


def can_use(word: str, option: str) -> bool:
    """Return whether the model `word` is of a backend that can use an option, a field of ModelOptions, or may do so."""
    backend = word.partition(":")[0].replace("-", "_")
    used = _used_by(backend) if backend in MODELS.names() else None
    return used is None or option in used


def _used_by(backend: str) -> frozenset[str] | None:
    """Return the options of a backend, None where it does not say; it is imported, for a hint only."""
    with suppress(XlingualError, ImportError):
        MODELS.get(backend)
    return used_options(backend)


def _exists(word: str) -> bool:
    """Return whether `word` names a file; no file system has names of 5,000 letters or with a NUL."""
    try:
        return Path(word).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _model_hint(word: str, backend: str, backends: Sequence[str]) -> str:
    near = did_you_mean(backend, backends)
    folders = [str(path) for path in Path().iterdir() if path.is_dir() and not path.name.startswith(".")]
    folder_hint = did_you_mean(word, folders) if folders else ""
    if near.startswith("known") and folder_hint.startswith("did"):
        return folder_hint
    return f"{near}; a hub model is ORG/NAME or hf:NAME, a local one a folder"
