"""Decontamination: rows that hold test data of a leaderboard are left out, and files of test data are refused.

"A  Cat, sat." in the training text is the test sentence "a cat sat": texts are compared exactly, after case, white
space, punctuation and Unicode form are normalised. Of a question-answering benchmark the compared texts are passages,
and questions with their passage; of a translation benchmark the sentences of both sides. An answer ("1823") or a
question alone is no evidence. A plan lists what was compared, and which test data are not on this machine.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import lru_cache

from ..data import PINS
from ..errors import DataError, EnvironmentFault, PluginError, UsageError
from ..languages import LANGUAGES
from ..plugin import DataSource, Task
from ..plugin_checks import checked_task
from ..plugin_files import plugin_folders
from ..records import DataFile, Example, Examples, Origin
from ..registry import TASKS, Family, Registered
from ..selection import listed_tasks
from ..text import for_scoring
from ..toml_table import read_toml
from .records import BenchmarkCheck

PIVOT = "en"
"""The language on the other side of parallel benchmarks, read besides those of the mixture."""


class _Folding(dict[int, str | None]):
    """A table for str.translate that drops punctuation, spaces, symbols and control characters; filled on demand."""

    def __missing__(self, code: int) -> str | None:
        kept = None if unicodedata.category(chr(code))[0] in "PZCS" else chr(code)
        self[code] = kept
        return kept


_FOLDING = _Folding()


def fold(text: str) -> str:
    """Return `text` normalised: NFC, case folded, without white space, punctuation, symbols and control characters."""
    return for_scoring(text).casefold().translate(_FOLDING)


@dataclass(slots=True)
class HeldOut:
    """The test data that a mixture is compared with, and what was found so far."""

    checks: list[BenchmarkCheck] = field(default_factory=list)
    texts: dict[str, int] = field(default_factory=dict)
    """Normalised text -> index of its check."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of known test files -> their name."""
    found: dict[int, int] = field(default_factory=dict)
    """Index of a check -> rows of the mixture that hold one of its texts."""

    def refuse_files(self, files: Sequence[DataFile], name: str) -> None:
        """Raise DataError where one of the `files` of the source `name` is a file of test data."""
        for file in files:
            if test := self.files.get(file.sha256):
                what = f"{file.path} is {test}, which leaderboards test on"
                raise DataError(what, where=f"source {name}", hint="train on something else, such as a dev split")

    def holds(self, example: Example) -> bool:
        """Return whether a text of `example` is in a test set, and count it."""
        fields = [fold(text) for text in example.fields.values()]
        candidates = [*fields, "".join(fields), *(fold(text) for text in example.targets)]
        index = next((self.texts[each] for each in candidates if each in self.texts), None)
        if index is None:
            return False
        self.found[index] = self.found.get(index, 0) + 1
        return True

    def report(self) -> tuple[BenchmarkCheck, ...]:
        """Return the checks with what they found."""
        return tuple(replace(check, rows=self.found.get(index, 0)) for index, check in enumerate(self.checks))


def gather_held_out(languages: Iterable[str], data_source: DataSource) -> HeldOut:
    """Read the test data of every benchmark on any leaderboard in `languages`, as far as it is on this machine.

    Looked for in the data folder, then in the cache; the packaged sample is always compared with. No network.
    """
    data = HeldOut(files={pin.sha256: pin.name for pin in PINS if pin.sha256 and (pin.url or "").endswith(".json")})
    tested = "|".join(translate(pattern) for pattern in _board_patterns()) or "(?!)"
    wanted = tuple(dict.fromkeys(languages))
    for name in TASKS.names():
        _gather_family(data, name, _tested_tasks(_load_family(name), tested), wanted, data_source)
    return data


def _load_family(name: str) -> Registered[Family]:
    """Return a task family; UsageError for a broken plugin, whose test data could not be compared with."""
    try:
        registered = TASKS.find(name)
        listed = listed_tasks(registered)
        for fault in [*listed.faults, *listed.broken.values()]:
            raise fault
        return registered
    except PluginError as error:
        raise UsageError(
            f"cannot be loaded ({error}), so nothing can be compared with its test data",
            where=f"task family {name}",
            hint="mend the plugin, or take its folder out of XLINGUAL_PLUGINS",
        ) from error


@lru_cache(maxsize=64)
def _tested_tasks(registered: Registered[Family], tested: str) -> tuple[tuple[Task, frozenset[str]], ...]:
    """Return the tasks whose names match `tested`, with their languages; cached, for Flores-101 has ten thousand."""
    pattern = re.compile(tested)
    named = [task for task in listed_tasks(registered).tasks.values() if pattern.fullmatch(task.spec.name)]
    return tuple((checked_task(task, registered.code), _languages_of(task)) for task in named)


def _board_patterns() -> Iterator[str]:
    for folder in plugin_folders("leaderboards"):
        for path in sorted(folder.glob("*.toml")):
            yield from read_toml(path).texts("tasks")


def _gather_family(
    data: HeldOut,
    family: str,
    tasks: Sequence[tuple[Task, frozenset[str]]],
    languages: Sequence[str],
    data_source: DataSource,
) -> None:
    """Read the real test data of a family and its packaged sample; add a check for the languages that are missing."""
    covered = [code for code in languages if any(code in spoken for _, spoken in tasks)]
    known = {*covered, PIVOT}
    needed = [(task, spoken) for task, spoken in tasks if spoken <= known and not spoken.isdisjoint(covered)]
    real = DataSource(folder=None, sample=False, offline=True)
    to_read = [[DataSource(folder=None, sample=True, offline=True)]]
    if not data_source.sample:
        to_read.insert(0, [replace(data_source, offline=True), real] if data_source.folder is not None else [real])
    for sources in to_read:
        reading = _TestData(family)
        for task, spoken in needed:
            if reading.read(task, sources):
                reading.languages.update(spoken)
        for code in covered:  # a language may be here with another that the mixture does not have
            others = (pair for pair in tasks if code in pair[1] and code not in reading.languages)
            if found := next((spoken for task, spoken in others if reading.read(task, sources)), None):
                reading.languages.update(found)
        _add_checks(data, reading, covered, is_sample=sources[0].sample)


def _languages_of(task: Task) -> frozenset[str]:
    """Return the languages in a task's name ("flores101/en-zh"), else that of its answers."""
    parts = task.spec.name.partition("/")[2].split("-")
    return frozenset(parts) if all(part in LANGUAGES for part in parts) else frozenset([task.spec.language])


@dataclass(slots=True)
class _TestData:
    """The test data of one family, either the real ones or the packaged sample."""

    family: str
    texts: dict[str, None] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    origins: set[Origin] = field(default_factory=set)
    languages: set[str] = field(default_factory=set)
    folded: dict[str, str] = field(default_factory=dict)

    def read(self, task: Task, data_sources: Sequence[DataSource]) -> bool:
        """Read the test split of `task` from the first data source that has it; False where none has."""
        for data_source in data_sources:
            try:
                found = task.examples(task.spec.split, data_source)
            except (DataError, EnvironmentFault):
                continue
            self._add(task, found)
            return True
        return False

    def _add(self, task: Task, found: Examples) -> None:
        for file in found.files:
            self.files[file.sha256] = file.name
            self.origins.add(file.origin)
        for example in found.rows:
            self.texts.update(dict.fromkeys(compared_texts(task, example, self._fold)))

    def _fold(self, text: str) -> str:
        if text not in self.folded:
            self.folded[text] = fold(text)
        return self.folded[text]


def compared_texts(task: Task, example: Example, folding: Callable[[str], str] = fold) -> Iterator[str]:
    """Yield the normalised texts of a test example that may not be in the training text.

    These are the passage, and question with passage in any order or as the task asks; both sides of a sentence pair;
    of any other example all that it gives, together.
    """
    context, question = example.fields.get("context"), example.fields.get("question")
    if context is not None and question is not None:
        passage, asked = folding(context), folding(question)
        yield from (passage, passage + asked, asked + passage, fold(task.prompt(example).input))
    elif "source" in example.fields:
        yield from map(folding, (*example.fields.values(), *example.targets))
    else:
        yield "".join(map(folding, example.fields.values()))


def _add_checks(data: HeldOut, reading: _TestData, languages: Sequence[str], *, is_sample: bool) -> None:
    here = tuple(code for code in languages if code in reading.languages)
    absent = tuple(code for code in languages if code not in reading.languages)
    if here:
        index = len(data.checks)
        reading.texts.pop("", None)
        data.checks.append(
            BenchmarkCheck(
                family=reading.family,
                languages=here,
                origins=tuple(sorted(origin.value for origin in reading.origins)),
                texts=len(reading.texts),
                rows=0,
            )
        )
        for text in reading.texts:
            data.texts.setdefault(text, index)
        for sha256, name in reading.files.items():
            data.files.setdefault(sha256, name)
    if absent and not is_sample:
        data.checks.append(BenchmarkCheck(family=reading.family, languages=absent, origins=(), texts=0, rows=0))
