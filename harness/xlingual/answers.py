"""From what a model said to what is scored: without its thinking, and only the part that a task looks for.

    <think>13 * 95 ...</think>It makes 1,235.      thinking "13 * 95 ...", text "It makes 1,235."
    extract = "last_number"                        scored "1235"

An answer that ends inside the thinking is no answer: it is counted, and no metric sees it. One in which there is
nothing to extract is wrong: metrics see an empty text, and it is counted too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .extraction import extract_answer
from .plugin import ExtractingTask, Task
from .records import Example, Finish, ModelSpec, Response
from .text import is_blank
from .thinking import (
    KNOWN_MARKERS,
    SplitAnswer,
    ThinkingMarkers,
    find_end,
    find_start,
    split_first_thought,
    split_thinking,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerReading:
    """How the answers of a run are read."""

    markers: tuple[ThinkingMarkers, ...] = KNOWN_MARKERS
    extract: str | None = None
    """A word of `extraction.py`, or the task's own; None: all of the text is scored."""
    repeats: int = 1
    """Answers to each example, one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAnswer:
    """An answer, read."""

    response: Response
    """As metrics see it: its text is what is scored, its thinking stands apart."""
    finished: bool
    """False: it ended inside the thinking, and is not scored."""
    extracted: bool | None
    """Whether there was something to extract; None: nothing is extracted here."""


def reading_of(model: ModelSpec, extract: str | None, repeats: int | None) -> AnswerReading:
    """Return how the answers of `model` are read."""
    markers = KNOWN_MARKERS if model.thinking is None else (model.thinking, *KNOWN_MARKERS)
    return AnswerReading(markers=markers, extract=extract, repeats=repeats or 1)


def read_answers(
    task: Task, examples: Sequence[Example], responses: Sequence[Response | None], reading: AnswerReading
) -> list[ReadAnswer | None]:
    """Read every answer; None for what has none: not asked, failed, or a choice.

    A chat template may open the thinking, so that an answer holds its end only. Where any answer shows that, one of the
    same run that was cut off and holds no marker at all is unfinished thinking.
    """
    split = [
        None if each is None or each.text is None else _split(each, example, reading)
        for example, each in zip(examples, responses, strict=True)
    ]
    opened = any(
        each is not None and response is not None and _ends_without_start(response, each, reading)
        for each, response in zip(split, responses, strict=True)
    )
    found: list[ReadAnswer | None] = []
    for example, response, parts in zip(examples, responses, split, strict=True):
        if response is None or response.failure is not None or parts is None:
            found.append(None)
        else:
            cut = opened and parts.thinking is None and response.finish is Finish.LENGTH
            whole = replace(parts, thinking=parts.text, text="", finished=False) if cut else parts
            found.append(
                _read(task, example, replace(response, text=whole.text, thinking=whole.thinking), whole, reading)
            )
    return found


def _split(response: Response, example: Example, reading: AnswerReading) -> SplitAnswer:
    text, markers = response.text or "", reading.markers
    # Where the gold answer is "</think>" or holds it, a marker behind the first thought is part of the answer.
    asked_for = any(find_start(gold, markers) or find_end(gold, markers) for gold in example.targets)
    parts = split_first_thought(text, markers) if asked_for else split_thinking(text, markers)
    if response.thinking is None:
        # What is left of the budget after the thinking was nothing; a server may count thoughts that it does not show.
        thought = parts.thinking is not None or bool(response.thinking_tokens)
        starved = thought and is_blank(parts.text) and response.finish is Finish.LENGTH
        return replace(parts, finished=parts.finished and not starved)
    thinking = "\n".join(filter(None, (response.thinking.strip(), parts.thinking)))
    return SplitAnswer(thinking=thinking, text=parts.text, finished=parts.finished and not is_blank(parts.text))


def _ends_without_start(response: Response, parts: SplitAnswer, reading: AnswerReading) -> bool:
    text = response.text or ""
    return parts.thinking is not None and response.thinking is None and not find_start(text, reading.markers)


def _read(task: Task, example: Example, response: Response, parts: SplitAnswer, reading: AnswerReading) -> ReadAnswer:
    if not parts.finished:
        return ReadAnswer(response=response, finished=False, extracted=None)
    if reading.extract is None:
        return ReadAnswer(response=response, finished=True, extracted=None)
    if isinstance(task, ExtractingTask) and reading.extract == task.spec.extract:
        found = task.extract(example, parts.text)
    else:
        found = extract_answer(reading.extract, example.language, parts.text)
    return ReadAnswer(response=replace(response, text=found or ""), finished=True, extracted=found is not None)
