"""From words to tasks and models: `xquad,flores101/en-*` with `zh,ar`, and `hf:org/name@revision`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from .data import NotInSampleError
from .errors import DataError, UsageError, XlingualError
from .languages import find_language
from .plugin import DataSource, Model, ModelOptions, Task
from .registry import MODELS, TASKS, Family
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
    is the packaged sample, families and globs stand for those of their tasks whose `split` is in it. Raises UsageError
    with close names, and DataError where all that a word stands for is missing from the sample.
    """
    codes = [find_language(word).code for word in languages]
    chosen: dict[str, Task] = {}
    for word in words:
        family_name, pattern = [*_SLASH.split(word, maxsplit=1), ""][:2]
        family = TASKS.get(family_name)
        if family.find is not None:
            chosen.update({task.spec.name: task for task in family.find(pattern) if _answers_in(task, codes)})
            continue
        tasks = _tasks_by_variant(family)
        patterns = [pattern] if pattern else list(family.scope if codes else family.default)
        names = [name for each in patterns for name in _matches(each, tasks, family)]
        found = [tasks[name] for name in names if _answers_in(tasks[name], codes)]
        if data_source is not None and data_source.sample:
            found = _tasks_in_sample(found, family, data_source, split)
        chosen.update({task.spec.name: task for task in found})
    if not chosen:
        raise UsageError(
            f"no task of {', '.join(words)} answers in {', '.join(codes)}",
            where="--langs",
            hint="xlingual tasks FAMILY lists the languages of a family",
        )
    return list(chosen.values())


def _answers_in(task: Task, codes: Sequence[str]) -> bool:
    return not codes or task.spec.language in codes


def _tasks_in_sample(found: list[Task], family: Family, sample: DataSource, split: str | None) -> list[Task]:
    """Return those of the tasks that the packaged sample has; DataError that lists the family's where it has none.

    Of a family that is not in it at all the tasks stay: what is missing is for their own readers to say.
    """
    faults = [_missing(task, sample, split) for task in found]
    present = [task for task, fault in zip(found, faults, strict=True) if fault is None]
    first = next((fault for fault in faults if fault is not None), None)
    if present or first is None:
        return present
    tasks = _tasks_by_variant(family)
    usual = [tasks[name] for pattern in family.default for name in _matches(pattern, tasks, family)]
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


@lru_cache(maxsize=64)
def _tasks_by_variant(family: Family) -> dict[str, Task]:
    """Return the tasks of a family by what stands after the slash; kept, since Flores-101 has ten thousand."""
    return {task.spec.name.partition("/")[2]: task for task in family.tasks()}


def untouched_languages(tasks: Iterable[Task], languages: Sequence[str]) -> list[str]:
    """Return the chosen languages that no task answers in."""
    covered = {task.spec.language for task in tasks}
    return [code for code in dict.fromkeys(find_language(word).code for word in languages) if code not in covered]


def _matches(pattern: str, tasks: dict[str, Task], family: Family) -> list[str]:
    if any(sign in pattern for sign in "*?["):
        names = [name for name in tasks if fnmatchcase(name, pattern)]
    else:
        names = [name for name in (pattern, _canonical(pattern)) if name in tasks][:1]
    if not names:
        raise UsageError(f"no such task: {family.name}/{pattern}", hint=did_you_mean(pattern, tasks))
    return names


def _canonical(variant: str) -> str:
    """Return a variant with its language words replaced by our codes: "eng-zho_simpl" is "en-zh"."""
    try:
        return "-".join(find_language(part).code for part in variant.split("-"))
    except UsageError:
        return variant


def open_model(word: str, options: ModelOptions) -> Model:
    """Open the model that `word` names: BACKEND, BACKEND:NAME[@REVISION], a folder, or ORG/NAME on the hub.

    Weights are not loaded yet. Raises UsageError for a word that names nothing, with close names.
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
    if "@" not in name or "://" in name or _exists(name):  # what stands after the @ of NAME@URL is no revision
        return MODELS.get(backend)(name, options)
    name, _, revision = name.rpartition("@")
    return MODELS.get(backend)(name, replace(options, revision=revision))


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
