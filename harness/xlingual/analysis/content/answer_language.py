"""The language of an answer, as a whole and by span.

    asked for zh: "The lighthouse stands in Cordouan, in the west of France."     off target, English
    asked for zh: "灯塔在法国西部。 It was first used in 1823 in the west of France."     code-switched

Too few letters, or no sure label, and there is no judgement: that is not the same as "on target".
"""

from dataclasses import dataclass

from ...metrics.off_target import judge_language
from ...text import for_scoring
from .samples import AnsweredSample
from .scripts import count_scripts, share_of
from .spans import LanguageSpan, find_language_of, is_prose, split_spans

ENGLISH = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLanguage:
    """What languages an answer is in."""

    language: str | None
    """Of the whole; None where it cannot be told."""
    off_target: bool | None
    """Whether that is another language than the one asked for: `off_target` of the metrics."""
    english: bool | None
    """Whether it is English although another language was asked for; None also where English was."""
    switched: bool | None
    """Whether it has a span in the language asked for and one in another; None where nothing is known of any span."""
    spans: tuple[LanguageSpan, ...]


def find_answer_language(sample: AnsweredSample) -> AnswerLanguage:
    """Return the languages of an answer; EnvironmentFault where the identifier cannot be loaded."""
    found = find_language_of(sample.answer)
    letters = count_scripts(for_scoring(sample.answer))
    # A few Latin words among others give a text the label of English, and so does the name of an English company.
    if found == ENGLISH != sample.language and (share_of(("Latn",), letters) < 0.5 or not is_prose(sample.answer)):
        found = None
    spans = tuple(split_spans(sample.answer, sample.language))
    judged = [span.foreign for span in spans if span.foreign is not None]
    asks_english = sample.language == ENGLISH
    return AnswerLanguage(
        language=found,
        off_target=judge_language(sample.answer, sample.language),
        english=None if found is None or asks_english else found == ENGLISH,
        switched=any(judged) and not all(judged) if judged else None,
        spans=spans,
    )
