"""What leaderboards test on, in every language, and which rows of a mixture repeat it.

    row of a Vietnamese mix    {"instruction": "Tóm tắt:", "input": <the German twin of a passage, a word changed>, ...}
    found                      98% of xquad/de 56beb4343aeaaa14008c925b: near, left out

A benchmark that is parallel is learnt in any of its languages. So the test data of all languages are compared, not only
those of the mixture, as far as they are on this machine. Files are refused by their hash; rows are found by what they
hold (`index`, `words`):

    exact      a text is a field of the row, or all its words stand in the row
    near       70% of its words do
    partial    a run of 6 words does; from 8 words on the row is left out, below it is counted and shown, but where rows
               one behind the other hold 70% of a text together, they are left out

Of question answering, texts are passages, and questions with their passage; of translation, the sentences of both
sides; of any other benchmark its fields, and all of them together. An answer ("1823") is no evidence, nor is a question
that is asked of several passages. A plan lists what was compared, and which test data are not on this machine.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import lru_cache
from operator import itemgetter

from ...data import PINS
from ...errors import DataError, EnvironmentFault, PluginError, UsageError
from ...languages import LANGUAGES
from ...plugin import DataSource, Task
from ...plugin_checks import checked_task
from ...plugin_files import plugin_folders
from ...records import DataFile, Example, Examples, Origin, Role
from ...registry import TASKS, Family, Registered
from ...selection import listed_tasks
from ...text import for_scoring
from ...toml_table import read_toml
from ..records import BenchmarkCheck, RepeatedText, Repetition
from .index import ShingleIndex
from .runs import NEAR, PARTIAL, TextMatch, rows_together

PIVOT = "en"
"""The language on the other side of parallel benchmarks."""
ATTEMPTS = 3
"""Tasks of a language that the mixture does not have that are tried until one can be read."""


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


def _digest(folded: str) -> bytes:
    return hashlib.blake2b(folded.encode("utf-8", "replace"), digest_size=12).digest()


@dataclass(frozen=True, slots=True)
class TestText:
    """Where a text of a benchmark comes from."""

    check: int
    """Index of its check."""
    name: str
    """Task and example: "xquad/de 56be4db0acb8001400a502ec"."""


@dataclass(slots=True)
class HeldOut:
    """The test data that a mixture is compared with, and what was found so far."""

    checks: list[BenchmarkCheck] = field(default_factory=list)
    texts: dict[bytes, TestText] = field(default_factory=dict)
    """Digest of a normalised text -> where it comes from."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of known test files -> their name."""
    index: ShingleIndex = field(default_factory=lambda: ShingleIndex(by_letters=True))
    names: list[TestText] = field(default_factory=list)
    """Of each text of the index."""
    found: dict[int, int] = field(default_factory=dict)
    """Index of a check -> rows of the mixture that are to be left out for it."""

    def refuse_files(self, files: Sequence[DataFile], name: str) -> None:
        """Raise DataError where one of the `files` of the source `name` is a file of test data."""
        for file in files:
            if test := self.files.get(file.sha256):
                what = f"{file.path} is {test}, which leaderboards test on"
                raise DataError(what, where=f"source {name}", hint="train on something else, such as a dev split")

    def compare(self, rows: Sequence[Example]) -> list[RepeatedText | None]:
        """Return what each row repeats of the test data, the worst of it, and count the rows to be left out."""
        found: list[RepeatedText | None] = [self._whole_field(row) for row in rows]
        open_rows = [place for place, each in enumerate(found) if each is None]
        texts = [(place, text) for place in open_rows for text in _texts_of(rows[place])]
        found_texts = self.index.match([text for _, text in texts])
        matches = sorted(((texts[number][0], match) for number, match in found_texts), key=itemgetter(0))
        for place, match in matches:
            candidate, best = self._judged(match), found[place]
            if best is None or (candidate.is_left_out, candidate.share) > (best.is_left_out, best.share):
                found[place] = candidate
        for place, match in rows_together(matches, self.index.weights).items():
            if not (best := found[place]) or not best.is_left_out:
                found[place] = replace(self._judged(match), is_left_out=True)
        for each in found:
            if each is not None and each.is_left_out:
                self.found[each.check] = self.found.get(each.check, 0) + 1
        return found

    def _whole_field(self, row: Example) -> RepeatedText | None:
        """Return the test text that a field of the row is, or all fields together are."""
        given, answers = [*row.fields.values()], row.targets
        if row.turns is not None:
            given = [turn.text for turn in row.turns if not turn.is_learnt]
            answers = tuple(turn.text for turn in row.turns if turn.is_learnt)
        fields = [fold(text) for text in given]
        candidates = [*fields, "".join(fields), *(fold(text) for text in answers)]
        text = next((found for each in candidates if (found := self.texts.get(_digest(each)))), None)
        if text is None:
            return None
        return RepeatedText(check=text.check, kind=Repetition.EXACT, text=text.name, share=1.0, is_left_out=True)

    def _judged(self, match: TextMatch) -> RepeatedText:
        text = self.names[match.text]
        kind = Repetition.NEAR if match.in_order >= NEAR else Repetition.PARTIAL
        return RepeatedText(
            check=text.check,
            kind=Repetition.EXACT if match.share >= 1.0 else kind,
            text=text.name,
            share=match.in_order,
            is_left_out=kind is Repetition.NEAR or match.longest >= PARTIAL,
        )

    def report(self) -> tuple[BenchmarkCheck, ...]:
        """Return the checks with what they found."""
        return tuple(replace(check, rows=self.found.get(index, 0)) for index, check in enumerate(self.checks))


def _texts_of(row: Example) -> Iterator[str]:
    """Yield a row as one text; of a conversation also what one side says in several turns."""
    yield "\n".join(row.texts)
    for role in (Role.USER, Role.ASSISTANT):
        own = [turn.text for turn in row.turns or () if turn.role is role]
        if len(own) > 1:
            yield "\n".join(own)


def gather_held_out(languages: Iterable[str], data_source: DataSource) -> HeldOut:
    """Read the test data of every benchmark on any leaderboard, in every language, as far as it is on this machine.

    `languages` are those of the mixture: a plan says of each whether there were test data. Looked for in the data
    folder, then in the cache; the packaged sample is always compared with. No network.
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
    code = registered.code  # a look-up in the file system
    return tuple((checked_task(task, code), _languages_of(task)) for task in named)


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
    by_language: dict[str, list[tuple[Task, frozenset[str]]]] = {}
    for task, spoken in tasks:
        for code in spoken:
            by_language.setdefault(code, []).append((task, spoken))
    covered = [code for code in languages if code in by_language]
    real = DataSource(folder=None, sample=False, offline=True)
    to_read = [[DataSource(folder=None, sample=True, offline=True)]]
    if not data_source.sample:
        to_read.insert(0, [replace(data_source, offline=True), real] if data_source.folder is not None else [real])
    for sources in to_read:
        reading = _TestData(family)
        for code in dict.fromkeys([*covered, *sorted(by_language)]):
            _read_language(reading, code, by_language[code], sources, attempts=None if code in covered else ATTEMPTS)
        _add_checks(data, reading, covered, is_sample=sources[0].sample)


def _read_language(
    reading: "_TestData",
    code: str,
    tasks: Sequence[tuple[Task, frozenset[str]]],
    sources: Sequence[DataSource],
    *,
    attempts: int | None,
) -> None:
    """Read the first task of a language that can be read, where no other task has brought its texts.

    Those of the language alone come first, then those with the pivot.
    """
    if code in reading.languages:
        return
    ordered = sorted(tasks, key=lambda each: (len(each[1]), PIVOT not in each[1]))
    for task, spoken in ordered[:attempts]:
        if reading.read(task, sources):
            reading.languages.update(spoken)
            return


def _languages_of(task: Task) -> frozenset[str]:
    """Return the languages in a task's name ("flores101/en-zh"), else that of its answers."""
    parts = task.spec.name.partition("/")[2].split("-")
    return frozenset(parts) if all(part in LANGUAGES for part in parts) else frozenset([task.spec.language])


@dataclass(slots=True)
class _TestData:
    """The test data of one family, either the real ones or the packaged sample."""

    family: str
    whole: dict[bytes, str] = field(default_factory=dict)
    """Digest of a normalised text -> the name of its example."""
    parts: dict[str, tuple[str, str] | None] = field(default_factory=dict)
    """A text that is looked for in rows -> name and group of its example; None where several groups have it."""
    files: dict[str, str] = field(default_factory=dict)
    origins: set[Origin] = field(default_factory=set)
    languages: set[str] = field(default_factory=set)

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
            name = f"{task.spec.name} {example.id}"
            for text in compared_texts(task, example):
                if folded := fold(text):
                    self.whole.setdefault(_digest(folded), name)
            for text in searched_texts(example):
                known = self.parts.setdefault(text, (name, example.group))
                if known is not None and known[1] != example.group:
                    self.parts[text] = None


def compared_texts(task: Task, example: Example) -> Iterator[str]:
    """Yield the texts of a test example that may not be a field of a row, nor its fields together.

    These are the passage, and question with passage in any order or as the task asks; both sides of a sentence pair;
    of any other example all that it gives, together.
    """
    context, question = example.fields.get("context"), example.fields.get("question")
    if context is not None and question is not None:
        yield from (context, context + question, question + context, task.prompt(example).input)
    elif "source" in example.fields:
        yield from (*example.fields.values(), *example.targets)
    else:
        yield "".join(example.fields.values())


def searched_texts(example: Example) -> Iterator[str]:
    """Yield the texts of a test example that may not stand anywhere in a row: its fields, both sides of a pair."""
    yield from example.fields.values()
    if "source" in example.fields:
        yield from example.targets


def _add_checks(data: HeldOut, reading: _TestData, languages: Sequence[str], *, is_sample: bool) -> None:
    here = tuple(code for code in languages if code in reading.languages)
    absent = tuple(code for code in languages if code not in reading.languages)
    others = tuple(sorted(reading.languages.difference(languages)))
    if here or others:
        index = len(data.checks)
        data.checks.append(
            BenchmarkCheck(
                family=reading.family,
                languages=here,
                origins=tuple(sorted(origin.value for origin in reading.origins)),
                texts=len(reading.whole),
                rows=0,
                others=others,
            )
        )
        for digest, name in reading.whole.items():
            data.texts.setdefault(digest, TestText(index, name))
        for text, known in reading.parts.items():
            if known is not None and data.index.add(text) is not None:
                data.names.append(TestText(index, known[0]))
        for sha256, name in reading.files.items():
            data.files.setdefault(sha256, name)
    if absent and not is_sample:
        data.checks.append(BenchmarkCheck(family=reading.family, languages=absent, origins=(), texts=0, rows=0))
