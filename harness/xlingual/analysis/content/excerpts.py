"""Which answers show what a measure counts, and the part of them that shows it."""

from collections.abc import Callable, Iterable, Mapping

from .findings import ContentFindings
from .loops import LoopKind
from .measures import MEASURES_BY_NAME
from .phrases import PhraseKind
from .records import ContentExample
from .samples import AnsweredSample
from .spans import same_language

LENGTH = 120
"""Characters of an excerpt."""
Shown = tuple[str, str]
"""Excerpt and detail."""


def find_examples(answers: Iterable[tuple[AnsweredSample, ContentFindings]], most: int) -> tuple[ContentExample, ...]:
    """Return up to `most` examples of each kind, the first of each, in the order of the measures."""
    pairs = list(answers)
    found = []
    for name, show in _SHOWN.items():
        shown = ((sample, each) for sample, each in pairs if MEASURES_BY_NAME[name].of(each))
        for (sample, each), _ in zip(shown, range(most), strict=False):
            excerpt, detail = show(sample, each)
            found.append(ContentExample(measure=name, id=sample.id, excerpt=cut(excerpt), detail=detail))
    return tuple(found)


def cut(text: str, length: int = LENGTH) -> str:
    """Return `text` on one line, and not longer than `length`."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _whole(sample: AnsweredSample, findings: ContentFindings) -> Shown:
    found = findings.language.language
    return sample.answer, "in another script" if found in (None, same_language(sample.language)) else str(found)


def _switch(_sample: AnsweredSample, findings: ContentFindings) -> Shown:
    span = next(span for span in findings.language.spans if span.foreign)
    return span.text, span.language or "another script"


def _loop(sample: AnsweredSample, findings: ContentFindings) -> Shown:
    if findings.loop.kind is LoopKind.UNIT:
        return sample.answer, f"{findings.loop.times:.0f} times {cut(findings.loop.unit, 30)!r}"
    return sample.answer, f"{100 * (findings.loop.repeated or 0.0):.0f}% repeated"


def _phrase(*kinds: PhraseKind) -> Callable[[AnsweredSample, ContentFindings], Shown]:
    def show(sample: AnsweredSample, findings: ContentFindings) -> Shown:
        phrase = next(each for each in findings.phrases.found if each.kind in kinds)
        closes = phrase.kind is PhraseKind.CLOSER
        return (sample.answer[-LENGTH:] if closes else sample.answer), f"{phrase.language}: {phrase.text}"

    return show


def _copy_of_source(_sample: AnsweredSample, findings: ContentFindings) -> Shown:
    overlap = findings.copying.source
    return (overlap.longest if overlap else ""), "copied from the source"


def _copy_of_question(_sample: AnsweredSample, findings: ContentFindings) -> Shown:
    overlap = findings.copying.question
    return (overlap.longest if overlap else ""), "copied from the question"


def _copy_of_instruction(sample: AnsweredSample, _findings: ContentFindings) -> Shown:
    return sample.answer, "copied from the instruction"


def _copy_of_passage(sample: AnsweredSample, findings: ContentFindings) -> Shown:
    overlap = findings.copying.passage
    return sample.answer, f"{100 * ((overlap.covered if overlap else None) or 0.0):.0f}% of the passage"


def _thought(sample: AnsweredSample, findings: ContentFindings) -> Shown:
    return sample.thinking or "", findings.thinking.language or ""


_SHOWN: Mapping[str, Callable[[AnsweredSample, ContentFindings], Shown]] = {
    "off_target": _whole,
    "english": _whole,
    "code_switch": _switch,
    "loop": _loop,
    "refusal": _phrase(PhraseKind.REFUSAL),
    "abstention": _phrase(PhraseKind.ABSTENTION),
    "boilerplate": _phrase(PhraseKind.OPENER, PhraseKind.DISCLAIMER, PhraseKind.CLOSER),
    "source_copy": _copy_of_source,
    "question_copy": _copy_of_question,
    "instruction_copy": _copy_of_instruction,
    "whole_passage": _copy_of_passage,
    "thinking_off_target": _thought,
    "thinking_unlike_answer": _thought,
}
"""Measure -> what shows it; the others need no example, or have too many."""
