"""The measures: what is counted of the findings, as rates and means with intervals.

A measure says of one answer 1, 0, a number, or None: it cannot be told. Answers that cannot be told are left out of the
rate and counted; with fewer than FEWEST_JUDGED of the others there is no rate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log

import numpy as np

from ...languages import LANGUAGES
from ...metrics import find_metric
from ...metrics.mean import can_judge, combine_means
from ...plugin import SHARE, Bounds, FloatArray
from ...records import Example, Response, Statistics
from .findings import ContentFindings
from .passage_position import Third

VERSION = "1"
"""Goes up whenever a detector or its table changes what is counted."""
FEWEST_JUDGED = 10
"""Answers that a measure can tell anything of, below which it is not computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentMeasure:
    """The Metric that a judgement of findings makes."""

    name: str
    meaning: str
    """What it counts, for tables of measures."""
    of: Callable[[ContentFindings], float | bool | None]
    unjudged: str
    """Why an answer may not be judged: completes "no answer could be judged: ..."."""
    lack: Callable[[str], str | None] = can_judge
    """Why answers in a language cannot be judged, or None."""
    higher_is_better: bool = False
    bounds: Bounds = SHARE
    geometric: bool = False
    """Whether it is the geometric mean of ratios, else 100 times the mean of shares."""

    def missing(self, language: str) -> str | None:
        """Return why it cannot be computed for answers in `language`, or None."""
        return self.lack(language)

    def signature(self, _language: str) -> str:
        """Name every choice that changes the number."""
        return f"content:{self.name}|version:{VERSION}"

    def measure(self, _example: Example, _response: Response) -> Statistics | None:
        """Return None: what it is made of is in the findings, see `judge`."""
        return None

    def judge(self, findings: ContentFindings) -> Statistics | None:
        """Return (score, 1.0), or None where the answer cannot be judged."""
        value = self.of(findings)
        if value is None:
            return None
        return (log(value) if self.geometric else float(value), 1.0)

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn (sum of scores, count), shape (..., 2), into percentages, or ratios; NaN where nothing was counted."""
        if not self.geometric:
            return combine_means(sums)
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(combine_means(sums, 1.0)), dtype=np.float64)


def _identified(language: str) -> str | None:
    return find_metric("off_target").missing(language)


def _not_english(language: str) -> str | None:
    return "the answers are to be in English" if language == "en" else None


def _has_script(language: str) -> str | None:
    return None if language in LANGUAGES else f"the scripts of {language!r} are not known"


def _stands(third: Third) -> Callable[[ContentFindings], bool | None]:
    return lambda each: None if each.position.answer is None else each.position.answer is third


_SHORT = "too short to tell the language, or the identifier is not sure"
_NO_PASSAGE = "there is no passage in the prompts, or the answer is empty"
_NO_THINKING = "no thinking of which the language can be told"
_NOT_LOCATED = "no answer stands in one place of a passage"

MEASURES: tuple[ContentMeasure, ...] = (
    ContentMeasure(
        name="off_target",
        meaning="answers in another language than the one asked for",
        of=lambda each: each.language.off_target,
        unjudged=_SHORT,
        lack=_identified,
    ),
    ContentMeasure(
        name="english",
        meaning="English answers to what asks for another language",
        of=lambda each: each.language.english,
        unjudged=_SHORT,
        lack=_not_english,
    ),
    ContentMeasure(
        name="code_switch",
        meaning="answers with a span in the language asked for and one in another",
        of=lambda each: each.language.switched,
        unjudged="no span of which the language can be told",
        lack=_identified,
    ),
    ContentMeasure(
        name="foreign_script",
        meaning="letters in scripts of other languages, mean share of an answer",
        of=lambda each: each.scripts.foreign,
        unjudged="no letters",
        lack=_has_script,
    ),
    ContentMeasure(
        name="length_ratio",
        meaning="length of the answer / longest reference, geometric mean",
        of=lambda each: each.length.ratio,
        unjudged="empty, or without a reference",
        bounds=(0.0, None),
        geometric=True,
    ),
    ContentMeasure(
        name="empty",
        meaning="answers without a visible character",
        of=lambda each: each.length.empty,
        unjudged="not answered",
    ),
    ContentMeasure(
        name="cut",
        meaning="answers that ended at the limit of tokens",
        of=lambda each: each.length.cut,
        unjudged="the backend does not say why answers end",
    ),
    ContentMeasure(
        name="loop",
        meaning="answers that repeat a unit four times in a row, or half of their pieces",
        of=lambda each: None if each.length.empty else each.loop.kind is not None,
        unjudged="empty",
    ),
    ContentMeasure(
        name="refusal",
        meaning="answers that say that the model cannot or will not answer",
        of=lambda each: None if each.length.empty else each.phrases.refuses,
        unjudged="empty",
    ),
    ContentMeasure(
        name="abstention",
        meaning="answers that say that the answer is not known or not given",
        of=lambda each: None if each.length.empty else each.phrases.abstains,
        unjudged="empty",
    ),
    ContentMeasure(
        name="boilerplate",
        meaning="answers with words around them: openers, disclaimers, closers",
        of=lambda each: None if each.length.empty else each.phrases.boilerplate,
        unjudged="empty",
    ),
    ContentMeasure(
        name="source_copy",
        meaning="translations of which 60% or more is one part of the source",
        of=lambda each: each.copying.copies_source,
        unjudged="there is nothing to translate in the prompts, or the answer is short",
    ),
    ContentMeasure(
        name="question_copy",
        meaning="answers that hold 80% or more of the question in one part",
        of=lambda each: each.copying.copies_question,
        unjudged="there is no question in the prompts, or it is short, or the answer is empty",
    ),
    ContentMeasure(
        name="instruction_copy",
        meaning="answers that hold 80% or more of the instruction in one part",
        of=lambda each: each.copying.copies_instruction,
        unjudged="there is no instruction in the prompts, or it is short, or the answer is empty",
    ),
    ContentMeasure(
        name="from_passage",
        meaning="pieces of 5 characters that the passage has too, mean share of an answer",
        of=lambda each: None if each.copying.passage is None else each.copying.passage.share,
        unjudged=_NO_PASSAGE,
        higher_is_better=True,
    ),
    ContentMeasure(
        name="verbatim",
        meaning="answers that stand in the passage as they are",
        of=lambda each: each.copying.verbatim,
        unjudged=_NO_PASSAGE,
        higher_is_better=True,
    ),
    ContentMeasure(
        name="whole_passage",
        meaning="answers with half of the passage or more",
        of=lambda each: each.copying.whole_passage,
        unjudged=_NO_PASSAGE,
    ),
    *(
        ContentMeasure(
            name=f"at_{third.value}",
            meaning=f"answers that stand in the {third.value} of the passage, of those that stand in one third of it",
            of=_stands(third),
            unjudged=_NOT_LOCATED,
        )
        for third in Third
    ),
    ContentMeasure(
        name="thinking_off_target",
        meaning="thinking in another language than the one asked for",
        of=lambda each: each.thinking.off_target,
        unjudged=_NO_THINKING,
        lack=_identified,
    ),
    ContentMeasure(
        name="thinking_english",
        meaning="English thinking where the answer is to be in another language",
        of=lambda each: each.thinking.english,
        unjudged=_NO_THINKING,
        lack=_not_english,
    ),
    ContentMeasure(
        name="thinking_unlike_answer",
        meaning="thinking in another language than the answer itself",
        of=lambda each: each.thinking.unlike_answer,
        unjudged="no thinking, or no answer, of which the language can be told",
        lack=_identified,
    ),
)
"""In the order of tables."""
MEASURES_BY_NAME = {measure.name: measure for measure in MEASURES}
