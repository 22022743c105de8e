"""All that the detectors find in one answer."""

from dataclasses import dataclass

from .answer_language import AnswerLanguage, find_answer_language
from .copying import Copying, find_copying
from .lengths import AnswerLength, find_length
from .loops import Loop, find_loop
from .passage_position import PassagePosition, find_position
from .phrases import Phrases, find_phrases
from .samples import AnsweredSample
from .scripts import ScriptMix, find_scripts
from .thinking_language import ThinkingLanguage, find_thinking_language


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentFindings:
    """One answer, by every detector."""

    length: AnswerLength
    scripts: ScriptMix
    language: AnswerLanguage
    thinking: ThinkingLanguage
    loop: Loop
    copying: Copying
    phrases: Phrases
    position: PassagePosition


def find_all(sample: AnsweredSample) -> ContentFindings:
    """Return what every detector finds in an answer; EnvironmentFault without the language identifier."""
    return ContentFindings(
        length=find_length(sample),
        scripts=find_scripts(sample),
        language=find_answer_language(sample),
        thinking=find_thinking_language(sample),
        loop=find_loop(sample),
        copying=find_copying(sample),
        phrases=find_phrases(sample),
        position=find_position(sample),
    )
