"""How long an answer is beside its reference, whether it is empty, and whether it was cut off."""

from dataclasses import dataclass

from ...text import single_line
from .samples import AnsweredSample


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLength:
    """The length of an answer, in visible characters with single spaces."""

    characters: int
    ratio: float | None
    """To the longest accepted answer; None for an empty answer, which has no length to speak of, and without a
    reference."""
    empty: bool
    cut: bool | None
    """Whether it ended at the limit of tokens; None where the backend does not say."""


def find_length(sample: AnsweredSample) -> AnswerLength:
    """Return the length of an answer."""
    characters = len(single_line(sample.answer))
    longest = max((len(single_line(target)) for target in sample.targets), default=0)
    ratio = characters / longest if characters and longest else None
    return AnswerLength(characters=characters, ratio=ratio, empty=not characters, cut=sample.cut)
