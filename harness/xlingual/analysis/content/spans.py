"""An answer in spans, each with its language where that can be told: by sentence, and by script within a sentence.

    "Der Turm steht in Warschau. I hope this helps you with your question."     de, en
    "他说 it was the best thing that ever happened to him 然后走了"                  en inside zh

The identifier is that of `off_target`, lid.176, with more asked of a span than of a whole answer: the fewer letters,
the more often it is wrong.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ...languages import LANGUAGES
from ...metrics.false_alarms import FALSE_ALARMS
from ...metrics.language_identifiers import CERTAINTY_NEEDED, identify_language
from ...text import for_scoring
from .scripts import count_scripts, script_of, scripts_of_language, share_of, weigh

_SENTENCE_END = re.compile(r"(?<=[.!?…؟۔।॥])[\"'”’»)\]]*\s+|(?<=[。！？])|\n+")
_ADDRESS = re.compile(
    r"(?<!\w)\w+://\S+|www\.\S+|(?<![^\s@])[^\s@]+@[^\s@]+\.[^\s@]+|</?[a-zA-Z][^<>]{0,80}>|`[^`\n]*`"
)
"""Addresses, tags and code, which are in no language. Each is sought where a word begins and ends before the next "@":
the time grows with the length of an answer, not with its square."""
LETTERS_OF_ANSWER = 30
"""Letters of an alphabet that a whole answer has whose language is told."""
LETTERS_OF_SPAN = 20
"""The same of a span, with a surer label."""
CERTAINTY_OF_SPAN = 0.8
"""Probability of the best label of a span that is called foreign; half is enough for the language asked for."""
MOST_FALSE_ALARMS_OF_SPAN = 0.3
"""Per cent of correct sentences that the identifier calls another language, above which a span in the same script is
foreign only where it is English: Assamese is taken for Bengali, Azerbaijani for Turkish."""
LETTERS_OF_PROSE = 30
"""Of a part in another script that is a span of its own."""
_LOWER_WORDS = 3
"""Words without a capital that such a part has where its script has capitals: names and titles have few."""
_CASED = frozenset({"Latn", "Cyrl", "Grek", "Armn"})
_MOSTLY = 0.8
"""Share of a span's letters that decides for or against a script."""
_OF_MANY = frozenset({"Latn", "Cyrl", "Arab", "Deva"})
"""Scripts of many languages."""
_OF_LABEL = {row.lid: row.code for row in reversed(LANGUAGES.values()) if row.lid is not None}
_OF_LABEL |= {"wuu": "zh", "yue": "zh", "nn": "nb"}
_SAME_CODE = {"zho_trad": "zh"}
"""Rows that the identifier has one label for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageSpan:
    """A part of an answer."""

    text: str
    language: str | None
    """Our code, or the identifier's label where we have no row; None: too short, or the identifier is not sure."""
    foreign: bool | None
    """Whether it is in another language than the one asked for; None where that cannot be told."""


def same_language(code: str) -> str:
    """Return the code that languages with one label share: that of Chinese for both ways to write it."""
    return _SAME_CODE.get(code, code)


def find_language_of(text: str) -> str | None:
    """Return our code of the language of `text`; None where it is too short or the identifier is not sure.

    Raises EnvironmentFault where the identifier cannot be loaded.
    """
    text = for_scoring(text)
    return None if weigh(text) < LETTERS_OF_ANSWER else _identify(text, CERTAINTY_NEEDED)


def _identify(text: str, certainty: float) -> str | None:
    label = identify_language(text, certainty)
    if label == "ja" and "Kana" not in count_scripts(text):
        label = "zh"
    return None if label is None else _OF_LABEL.get(label, label)


def split_spans(text: str, language: str) -> list[LanguageSpan]:
    """Return the spans of `text`, of which `language` was asked."""
    own = scripts_of_language(language)
    text = _ADDRESS.sub(" ", for_scoring(text))
    parts = [part for sentence in _SENTENCE_END.split(text) for part in _split_scripts(sentence, own)]
    return [_judge(part, language, own) for part in parts if weigh(part)]


def _split_scripts(sentence: str, own: frozenset[str] | None) -> Iterator[str]:
    """Yield a sentence, its long parts in another script apart from what stands around them."""
    if own is None:
        yield sentence
        return
    rest, start = [], 0
    for begin, end in _foreign_runs(sentence, own):
        if is_prose(sentence[begin:end]):
            rest.append(sentence[start:begin])
            yield sentence[begin:end]
            start = end
    yield " ".join([*rest, sentence[start:]])


def _foreign_runs(sentence: str, own: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Yield where letters of other scripts than `own` begin and end, without any letter of `own` between them."""
    begin = end = None
    for place, character in enumerate(sentence):
        script = script_of(character)
        if script is None:
            continue
        if script in own:
            if begin is not None and end is not None:
                yield begin, end
            begin = None
        else:
            begin, end = place if begin is None else begin, place + 1
    if begin is not None and end is not None:
        yield begin, end


def is_prose(text: str) -> bool:
    """Return whether a text is long enough to be a span of its own, and more than names and titles."""
    if weigh(text) < LETTERS_OF_PROSE:
        return False
    scripts = count_scripts(text)
    if next(iter(scripts)) not in _CASED:
        return True
    words: list[str] = [word for word in re.split(r"[^\w'’]+", text) if word and script_of(word[0]) is not None]
    return sum(word[0].islower() for word in words) >= max(_LOWER_WORDS, len(words) / 2)


def _judge(text: str, language: str, own: frozenset[str] | None) -> LanguageSpan:
    """Say what language a span is in: by its script where that is another, else by the identifier.

    A script that few languages are written in tells where the identifier does not.
    """
    if own is None or weigh(text) < LETTERS_OF_SPAN:
        return LanguageSpan(text=text, language=None, foreign=None)
    share, found = share_of(own, count_scripts(text)), _identify(text, CERTAINTY_NEEDED)
    if share < 1 - _MOSTLY:
        return LanguageSpan(text=text, language=found, foreign=True)
    if found == same_language(language):
        return LanguageSpan(text=text, language=found, foreign=False)
    if (found := _identify(text, CERTAINTY_OF_SPAN)) is not None:
        mistaken = FALSE_ALARMS.get(language, 0.0) > MOST_FALSE_ALARMS_OF_SPAN and found != "en"
        return LanguageSpan(text=text, language=found, foreign=None if mistaken else True)
    tells = share >= _MOSTLY and not own & _OF_MANY
    return LanguageSpan(text=text, language=None, foreign=False if tells else None)
