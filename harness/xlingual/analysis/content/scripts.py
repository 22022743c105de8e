"""Scripts of letters, and how much of an answer is written in another script than its language.

"1823年，Fresnel" is 6 letters of Latin to 1 of Chinese characters... a name in Latin letters is no fault in Chinese, so
this is a share to be compared with that of the references, not a rate of failures.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ...languages import LANGUAGES
from ...text import for_scoring
from .samples import AnsweredSample

_NAMES: Mapping[str, str] = {
    "ARABIC": "Arab",
    "ARMENIAN": "Armn",
    "BENGALI": "Beng",
    "BOPOMOFO": "Hani",
    "CJK": "Hani",
    "CYRILLIC": "Cyrl",
    "DEVANAGARI": "Deva",
    "ETHIOPIC": "Ethi",
    "GEORGIAN": "Geor",
    "GREEK": "Grek",
    "GUJARATI": "Gujr",
    "GURMUKHI": "Guru",
    "HANGUL": "Hang",
    "HEBREW": "Hebr",
    "HIRAGANA": "Kana",
    "KANNADA": "Knda",
    "KATAKANA": "Kana",
    "KHMER": "Khmr",
    "LAO": "Laoo",
    "LATIN": "Latn",
    "MALAYALAM": "Mlym",
    "MYANMAR": "Mymr",
    "ORIYA": "Orya",
    "SINHALA": "Sinh",
    "TAMIL": "Taml",
    "TELUGU": "Telu",
    "THAI": "Thai",
    "TIBETAN": "Tibt",
}
"""First word of a letter's Unicode name -> script; Hiragana and Katakana are one."""
_WIDTHS = ("FULLWIDTH ", "HALFWIDTH ")
_OF_LANGUAGE: Mapping[str, frozenset[str]] = {
    "Hans": frozenset({"Hani"}),
    "Hant": frozenset({"Hani"}),
    "Jpan": frozenset({"Hani", "Kana"}),
    "Kore": frozenset({"Hang", "Hani"}),
}
"""What ISO 15924 gives one code and is written in several scripts, or in one with another name."""
OTHER = "other"
_DENSE = frozenset({"Hani", "Kana", "Hang", "Thai", "Laoo", "Khmr", "Mymr"})
DENSE_WEIGHT = 2.0
"""Letters of an alphabet that a letter of a dense script counts for: it says about twice as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptMix:
    """The scripts of an answer."""

    letters: Mapping[str, int]
    """By script, in ISO 15924's codes but "Hani" for all Chinese characters and "Kana" for both kana."""
    foreign: float | None
    """Share of the letters that are of no script of the language asked for; None: no letters, or language unknown."""


@lru_cache(maxsize=65536)
def script_of(character: str) -> str | None:
    """Return the script of a letter or vowel sign, OTHER for a letter of a rare one; None for all else.

    Vowel signs are half of what is written in Hindi; accents that any script may have are nothing by themselves.
    """
    category = unicodedata.category(character)[0]
    if category not in "LM":
        return None
    name = unicodedata.name(character, "")
    for width in _WIDTHS:
        name = name.removeprefix(width)
    word = name.replace("-", " ").partition(" ")[0]
    if word in ("MODIFIER", "MASCULINE", "FEMININE", "MICRO"):
        return None
    return _NAMES.get(word, OTHER if category == "L" else None)


def weigh(text: str) -> float:
    """Return how much `text` says, in letters of an alphabet."""
    return sum(DENSE_WEIGHT if script in _DENSE else 1.0 for script in map(script_of, text) if script is not None)


def scripts_of_language(code: str) -> frozenset[str] | None:
    """Return the scripts that a language is written in; None for a language without a row."""
    row = LANGUAGES.get(code)
    return None if row is None else _OF_LANGUAGE.get(row.script, frozenset({row.script}))


def count_scripts(text: str) -> dict[str, int]:
    """Return the number of letters of `text` by script, the most frequent first."""
    return dict(Counter(script for script in map(script_of, text) if script is not None).most_common())


def share_of(scripts: Iterable[str], letters: Mapping[str, int]) -> float:
    """Return the share of `letters` that is of any of `scripts`; there must be letters."""
    return sum(letters.get(each, 0) for each in scripts) / sum(letters.values())


def find_scripts(sample: AnsweredSample) -> ScriptMix:
    """Return the scripts of an answer."""
    letters = count_scripts(for_scoring(sample.answer))
    own = scripts_of_language(sample.language)
    return ScriptMix(letters=letters, foreign=1.0 - share_of(own, letters) if letters and own is not None else None)
