"""The rules by which answers are made comparable before exact match and F1: SQuAD v1.1 and MLQA v1.

Both lower the case, drop punctuation, blank out articles and split into tokens, in this order; they differ in what
counts as punctuation, article and token. Sources: the official evaluation scripts of SQuAD v1.1 (Rajpurkar et al.
2016) and MLQA v1 (Lewis et al. 2020, section 4.2). Texts are put into NFC and rid of invisible controls first, which
the scripts leave out: it changes no score of well-formed text, and makes NFD answers equal to NFC ones.

The fixed family is ours: it also folds what is one answer in two spellings. "ΟΔΟΣ" is "οδος" and "οδοσ", "İSTANBUL" is
"istanbul", "١٩٤٩" is "1949", and a tatweel, which only stretches an Arabic word, is nothing.
"""

import re
import string
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from ..languages import LANGUAGES
from ..text import for_scoring


class RuleFamily(StrEnum):
    """A set of rules for every language."""

    SQUAD = "squad-v1.1"
    """English rules, whatever the language."""
    MLQA = "mlqa-v1"
    """The official script to the letter."""
    MLQA_FIXED = "mlqa-v1-fixed"
    """The same, but the Arabic article is dropped where a word starts with it only, and spellings are folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRules:
    """What one family does to answers in one language."""

    is_punctuation: Callable[[str], bool]
    articles: re.Pattern[str] | None
    """Replaced by a space, after punctuation is gone."""
    single: re.Pattern[str] | None
    """Characters that are a token each; None: tokens are what stands between white space."""


_ENGLISH_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MLQA_ARTICLES = {
    "en": _ENGLISH_ARTICLES,
    "es": re.compile(r"\b(un|una|unos|unas|el|la|los|las)\b"),
    "vi": re.compile(r"\b(của|là|cái|chiếc|những)\b"),
    "de": re.compile(r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    # The script's pattern has a second branch without an anchor, so that "al" goes from the inside of words as well.
    "ar": re.compile(r"\sال^|ال"),
}
_ARABIC_ARTICLE_AT_WORD_START = re.compile(r"(?<!\S)ال")

MLQA_LANGUAGES = frozenset({"en", "es", "hi", "vi", "de", "ar", "zh"})
"""The languages that the official script knows; for all others the rules are ours."""

_DOTLESS = frozenset({"tr", "az"})
"""Languages that have an i without a dot."""
_TATWEEL = {0x640: None}

_HAN = re.compile("[\u4e00-\u9fa5]")
_SINGLE_CHARACTERS = {
    "Hans": _HAN,
    "Hant": _HAN,
    "Jpan": re.compile("[\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f]"),
    "Khmr": re.compile("[\u1780-\u17ff]"),
    "Laoo": re.compile("[\u0e80-\u0eff]"),
    "Mymr": re.compile("[\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f]"),
    "Thai": re.compile("[\u0e00-\u0e7f]"),
}
"""By script without spaces between words: what is a token by itself. The Han range is the official script's."""


def find_rules(family: RuleFamily, language: str) -> AnswerRules:
    """Return the rules of `family` for answers in `language`; a language without a row gets white-space tokens."""
    if family is RuleFamily.SQUAD:
        return AnswerRules(is_punctuation=_is_ascii_punctuation, articles=_ENGLISH_ARTICLES, single=None)
    articles = _MLQA_ARTICLES.get(language)
    if family is RuleFamily.MLQA_FIXED and language == "ar":
        articles = _ARABIC_ARTICLE_AT_WORD_START
    row = LANGUAGES.get(language)
    single = _SINGLE_CHARACTERS.get(row.script) if row else None
    return AnswerRules(is_punctuation=_is_punctuation, articles=articles, single=single)


def describe_rules(family: RuleFamily, language: str) -> str:
    """Return the part of a signature that names the rules, "rules:mlqa-v1" or "rules:mlqa-v1+extended"."""
    extended = family is not RuleFamily.SQUAD and language not in MLQA_LANGUAGES
    folded = "|fold:case,digits,tatweel" if family is RuleFamily.MLQA_FIXED else ""
    return f"rules:{family.value}{'+extended' if extended else ''}{folded}"


@lru_cache(maxsize=8192)
def answer_tokens(answer: str, family: RuleFamily, language: str) -> tuple[str, ...]:
    """Return the tokens of `answer` under the rules; two answers match exactly if their tokens are the same."""
    rules = find_rules(family, language)
    cleaned = for_scoring(answer)
    lower = _fold(cleaned, language) if family is RuleFamily.MLQA_FIXED else cleaned.lower()
    text = "".join(each for each in lower if not rules.is_punctuation(each))
    if rules.articles is not None:
        text = rules.articles.sub(" ", text)
    if rules.single is not None:
        text = rules.single.sub(r" \g<0> ", text)
    return tuple(text.split())


def _fold(text: str, language: str) -> str:
    """Return `text` without letter case, with digits of every script as 0 to 9, and without tatweels.

    In Turkish and Azerbaijani all four letters i are one: "ISPARTA" is "ısparta", and "IBM" is "ibm" all the same.
    """
    plain = text.replace("İ", "i")
    if language in _DOTLESS:
        plain = plain.replace("ı", "i")
    folded = unicodedata.normalize("NFC", plain.casefold()).translate(_TATWEEL)
    return "".join(_ascii_digit(each) for each in folded)


@lru_cache(maxsize=8192)
def _ascii_digit(character: str) -> str:
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)


def _is_ascii_punctuation(character: str) -> bool:
    return character in string.punctuation


@lru_cache(maxsize=8192)
def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")
