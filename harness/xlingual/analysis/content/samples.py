"""The stored answers of a run, as the detectors read them.

    {"answer": "<think>Warsaw?</think>Kraków", ...}      answer "Kraków", thinking "Warsaw?"
    {"failure": {"kind": "timeout", ...}, ...}           no answer: counted as failed
    {"unfinished_thinking": true, ...}                   no answer: counted as unfinished

What was given to the model, its passage, question or source, is read back from the prompt: see `prompts.py`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ...errors import DataError
from ...files import read_json_lines
from ...files.json_file import CHANGED, type_name
from ...identity import Json
from ...records import Finish, RunRecord
from ...thinking import KNOWN_MARKERS, ThinkingMarkers, split_thinking
from .prompts import NOTHING, GivenTexts, PromptReader

ABSENT = "they are written when a run ends; run the same `xlingual eval` again"


class AnswerState(StrEnum):
    """What became of a question."""

    ANSWERED = "answered"
    FAILED = "failed"
    MISSING = "missing"
    """It was not asked: the run had stopped before."""
    UNFINISHED = "unfinished thinking"
    CHOICE = "choice"
    """Nothing was generated: the likelihoods of given texts were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredSample:
    """One answer with all that a detector may look at."""

    id: str
    cluster: str
    """Paragraph or sentence."""
    group: str | None
    """Article or document; None in files from before it was written down."""
    language: str
    """Code of the language that the answer is to be in."""
    answer: str
    """Without the thinking."""
    thinking: str | None = None
    targets: tuple[str, ...] = ()
    given: GivenTexts = NOTHING
    cut: bool | None = None
    """Whether the answer ended at the limit of tokens; None where the backend does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSample:
    """A line of a samples file: what became of the question, and the answer where there is one."""

    id: str
    cluster: str
    group: str | None
    state: AnswerState
    answered: AnsweredSample | None


def read_stored(path: Path, record: RunRecord) -> list[StoredSample]:
    """Read the samples file of a run; DataError naming line and field of the first that is not as we write it.

    So is a file that was cut, or has lines twice: rates of another number of answers would be those of another run.
    """
    if not path.is_file():
        raise DataError("there are no samples", where=str(path), hint=ABSENT)
    markers = KNOWN_MARKERS if record.model.thinking is None else (record.model.thinking, *KNOWN_MARKERS)
    reader = PromptReader.of(record)
    lines = enumerate(read_json_lines(path), start=1)
    found = [_read(_Line(line, f"{path}:{number}"), record, markers, reader) for number, line in lines]
    _check_whole(found, record, path)
    return found


def _check_whole(samples: Sequence[StoredSample], record: RunRecord, path: Path) -> None:
    """Raise DataError where the file does not have every example of the run, each as often as it was asked."""
    repeats = record.protocol.repeats or 1
    expected = record.protocol.n * repeats
    if len(samples) != expected:
        raise DataError(f"{len(samples)} whole lines, and the run has {expected}", where=str(path), hint=CHANGED)
    for name, count in Counter(each.id for each in samples).items():
        if count > repeats:
            raise DataError(f"the example {name!r} stands on {count} lines", where=str(path), hint=CHANGED)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line and where it stands; what is not of its kind is a DataError."""

    values: Mapping[str, Json]
    where: str

    def text(self, name: str) -> str:
        value = self.values.get(name)
        if not isinstance(value, str):
            raise self.fault(name, "a text", value)
        return value

    def maybe_text(self, name: str) -> str | None:
        return None if self.values.get(name) is None else self.text(name)

    def maybe_object(self, name: str) -> Mapping[str, Json] | None:
        value = self.values.get(name)
        if value is not None and not isinstance(value, dict):
            raise self.fault(name, "an object or null", value)
        return value

    def maybe_flag(self, name: str) -> bool:
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise self.fault(name, "true or false", value)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.values.get(name, [])
        if not isinstance(value, list):
            raise self.fault(name, "a list of texts", value)
        for item in value:
            if not isinstance(item, str):
                raise self.fault(name, "a list of texts", item)
        return tuple(str(item) for item in value)

    def messages(self) -> tuple[str, ...]:
        """Return the texts of the user's messages, in order."""
        value = self.values.get("messages", [])
        if not isinstance(value, list):
            raise self.fault("messages", "a list", value)
        found = []
        for item in value:
            role, text = (item.get("role"), item.get("text")) if isinstance(item, dict) else (None, None)
            if not isinstance(role, str) or not isinstance(text, str):
                raise DataError("field 'messages' must hold objects with role and text", where=self.where, hint=CHANGED)
            found += [text] if role == "user" else []
        return tuple(found)

    def fault(self, name: str, kind: str, value: Json) -> DataError:
        if name not in self.values:
            return DataError(f"field {name!r} is missing", where=self.where, hint=CHANGED)
        return DataError(f"field {name!r} must be {kind}, got {type_name(value)}", where=self.where, hint=CHANGED)


def _read(line: _Line, record: RunRecord, markers: Sequence[ThinkingMarkers], reader: PromptReader) -> StoredSample:
    identifier, cluster, group = line.text("id"), line.text("cluster"), line.maybe_text("group")
    answer, failure = line.maybe_text("answer"), line.maybe_object("failure")
    thinking, finish = line.maybe_text("thinking"), line.maybe_text("finish")
    targets, messages = line.texts("targets"), line.messages()
    state = AnswerState.ANSWERED
    if failure is not None:
        state = AnswerState.FAILED
    elif line.values.get("likelihoods") is not None:
        state = AnswerState.CHOICE
    elif answer is None:
        state = AnswerState.MISSING
    elif line.maybe_flag("unfinished_thinking"):
        state = AnswerState.UNFINISHED
    if state is not AnswerState.ANSWERED or answer is None:
        return StoredSample(id=identifier, cluster=cluster, group=group, state=state, answered=None)
    answered = AnsweredSample(
        id=identifier,
        cluster=cluster,
        group=group,
        language=record.language,
        answer=answer if thinking is None else split_thinking(answer, markers).text,
        thinking=thinking,
        targets=targets,
        given=reader.read(messages),
        cut=None if finish is None else finish == Finish.LENGTH.value,
    )
    return StoredSample(id=identifier, cluster=cluster, group=group, state=state, answered=answered)
