"""The language that a model thinks in, against the one asked for and that of its answer.

    asked in zh, thinks "The passage says that the lens was ...", answers "奥古斯丁·菲涅耳"     off target, English

A short answer has no language that could be told, so most thinking of question answering is judged against the
language asked for alone.
"""

from dataclasses import dataclass

from .answer_language import ENGLISH
from .samples import AnsweredSample
from .spans import find_language_of, same_language


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingLanguage:
    """The language that a model thought in, against that of its answer."""

    language: str | None
    """Of the thinking; None: there is none, or it cannot be told."""
    off_target: bool | None
    """Whether that is another than the one the answer was to be in."""
    english: bool | None
    """Whether it is English although the answer was to be in another language."""
    unlike_answer: bool | None
    """Whether it is another than that of the answer itself; None where either cannot be told."""


def find_thinking_language(sample: AnsweredSample) -> ThinkingLanguage:
    """Return the language of the thinking; all None where a model did not think."""
    if sample.thinking is None:
        return ThinkingLanguage(language=None, off_target=None, english=None, unlike_answer=None)
    thought, answer = find_language_of(sample.thinking), find_language_of(sample.answer)
    return ThinkingLanguage(
        language=thought,
        off_target=None if thought is None else thought != same_language(sample.language),
        english=None if thought is None or sample.language == ENGLISH else thought == ENGLISH,
        unlike_answer=None if thought is None or answer is None else thought != answer,
    )
