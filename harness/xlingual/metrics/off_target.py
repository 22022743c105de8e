"""The share of answers that are not in the language asked for, by a language identifier and by their script.

Answers too short to tell are not judged: 30 letters are needed, or 16 of a dense script such as Chinese. Nor are those
judged of which the identifier is not sure. A text that is mostly in another script is wrong whatever the label;
simplified and traditional Chinese are told apart by their characters, and a text without kana is Chinese where the
label says Japanese. `false_alarms.py` says how often correct texts are called wrong; languages where that is often are
not judged.
"""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from ..languages import LANGUAGES
from ..records import Example, Response
from ..text import for_scoring
from .language_identifiers import Identifier, find_identifier, heliport, lid_176
from .mean import MeanMetric

LETTERS_NEEDED = 30
LETTERS_NEEDED_DENSE = 16
"""In a script of which one letter says more: syllables, ideographs, or so many letters that the script tells."""

_SCRIPTS: Mapping[str, tuple[str, ...]] = {
    "Arab": ("ARABIC",),
    "Armn": ("ARMENIAN",),
    "Beng": ("BENGALI",),
    "Cyrl": ("CYRILLIC",),
    "Deva": ("DEVANAGARI",),
    "Ethi": ("ETHIOPIC",),
    "Geor": ("GEORGIAN",),
    "Grek": ("GREEK",),
    "Gujr": ("GUJARATI",),
    "Guru": ("GURMUKHI",),
    "Hans": ("CJK",),
    "Hant": ("CJK",),
    "Hebr": ("HEBREW",),
    "Jpan": ("CJK", "HIRAGANA", "KATAKANA"),
    "Khmr": ("KHMER",),
    "Knda": ("KANNADA",),
    "Kore": ("HANGUL", "CJK"),
    "Laoo": ("LAO",),
    "Latn": ("LATIN",),
    "Mlym": ("MALAYALAM",),
    "Mymr": ("MYANMAR",),
    "Orya": ("ORIYA",),
    "Taml": ("TAMIL",),
    "Telu": ("TELUGU",),
    "Thai": ("THAI",),
}
"""What Unicode names of letters of a script begin with."""
_KANA = ("HIRAGANA", "KATAKANA")
_HAN: Mapping[str, int] = {"Hans": 1, "Hant": -1}
"""The two Chinese scripts, as `_han_kind` has them."""
_STRAY_HAN = 1
"""Characters of the other script that a text may quote: a name."""
_DENSE_SCRIPTS = ("CJK ", "HIRAGANA ", "KATAKANA ", "HANGUL ", "THAI ", "LAO ", "KHMER ", "MYANMAR ")


def _encodable(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


@lru_cache(maxsize=8192)
def _han_kind(character: str) -> int:
    """Return 1 for a simplified character, -1 for a traditional one, 0 for one that both have, or neither.

    GB 2312 has simplified characters and Big5 traditional ones; most are in both.
    """
    if not _begins(character, ("CJK",)):
        return 0
    return _encodable(character, "gb2312") - _encodable(character, "big5")


def _in_other_han(letters: Sequence[str], script: str) -> bool:
    """Return whether more characters are of the other Chinese script alone than of `script` alone, and two at least."""
    if script not in _HAN:
        return False
    kinds = Counter(map(_han_kind, letters))
    own, other = kinds[_HAN[script]], kinds[-_HAN[script]]
    return other > max(own, _STRAY_HAN)


def is_judgeable(text: str) -> bool:
    """Return whether `text` has letters enough for its language to be identified."""
    needed = 1.0
    for character in text:
        if unicodedata.category(character).startswith("L"):
            needed -= _weight(character)
            if needed <= 1e-9:
                return True
    return False


def has_letter_of(text: str, language: str) -> bool:
    """Return whether `text` has a letter of the script of `language`."""
    names = _SCRIPTS[LANGUAGES[language].script]
    return any(_begins(each, names) for each in text if unicodedata.category(each).startswith("L"))


def _weight(letter: str) -> float:
    """Return the share of a text to be judged that `letter` is."""
    return 1 / (LETTERS_NEEDED_DENSE if _is_dense(letter) else LETTERS_NEEDED)


@lru_cache(maxsize=8192)
def _is_dense(character: str) -> bool:
    return unicodedata.name(character, "").startswith(_DENSE_SCRIPTS)


def _judge_thinking(example: Example, _text: str, response: Response) -> float | None:
    return None if response.thinking is None else _judge(example, response.thinking, response)


def _judge(example: Example, text: str, _response: Response) -> float | None:
    wrong = judge_language(text, example.language)
    return None if wrong is None else float(wrong)


def judge_language(text: str, language: str, identifier: Identifier | None = None) -> bool | None:
    """Return whether `text` is in another language than `language`, or None where that cannot be told.

    `identifier` is asked instead of the one whose word is taken for the language.
    """
    answer, identifier = for_scoring(text), identifier or find_identifier(language)
    if identifier is None or not is_judgeable(answer):
        return None
    script = LANGUAGES[language].script
    letters = [character for character in answer if unicodedata.category(character).startswith("L")]
    own = sum(_weight(each) for each in letters if _begins(each, _SCRIPTS[script]))
    if 2 * own < sum(map(_weight, letters)) or _in_other_han(letters, script):
        return True
    label = identifier.label(answer)
    if label == "ja" and not any(_begins(character, _KANA) for character in letters):
        label = "zh"
    return None if label is None else label not in identifier.accepted


@lru_cache(maxsize=8192)
def _begins(character: str, names: tuple[str, ...]) -> bool:
    return unicodedata.name(character, "").startswith(names)


def _describe(language: str) -> str:
    identifier = find_identifier(language) or lid_176(language)
    if identifier is None:
        return "rate:off-target|lid:none"
    han = "|han:gb2312/big5" if LANGUAGES[language].script in _HAN else ""
    needed = f"letters:{LETTERS_NEEDED}/{LETTERS_NEEDED_DENSE}|{identifier.settings}|script:half|ja:kana{han}"
    return f"rate:off-target|{identifier.signature}|{needed}|false-alarms:{identifier.false_alarms:g}%"


def _lack(language: str) -> str | None:
    identifier = find_identifier(language)
    if identifier is not None:
        return None if identifier.installed else f"not computed: {identifier.package} is not installed"
    row, usual, other = LANGUAGES.get(language), lid_176(language), heliport(language)
    name = row.name if row else repr(language)
    why = (
        f"the language identifier does not know {name}"
        if usual is None
        else f"the language identifier calls {usual.false_alarms:g}% of correct {name} sentences another language"
    )
    return f"not computed: {why}" + (f" (pip install 'xlingual[{other.extra}]' has one that does)" if other else "")


def _describe_thinking(language: str) -> str:
    return _describe(language).replace("rate:off-target", "rate:thinking-off-target", 1)


METRICS = (
    MeanMetric(name="off_target", higher_is_better=False, judge=_judge, describe=_describe, lack=_lack),
    MeanMetric(
        name="thinking_off_target",
        higher_is_better=False,
        judge=_judge_thinking,
        describe=_describe_thinking,
        lack=_lack,
    ),
)
"""Of answers, and of what a reasoning model thinks before them."""
