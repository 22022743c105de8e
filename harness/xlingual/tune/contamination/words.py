"""Texts as words for comparison: folded, so that the disguises of one text give the same words.

"Việt–Nam, 1990" and "VIET NAM １９９０" are both viet, nam, 1990. Folded are Unicode form and compatibility characters,
case, diacritics and vowel points, digits of other scripts, letters of other scripts that look alike, traditional Han
characters, punctuation and white space; `markup` has taken out tags and escapes before. In scripts that do not
separate words by spaces every character is a word.

A word counts by its letters, four at most; a Han character counts two, a kana or a letter of Thai, Lao, Khmer, Burmese
or Tibetan one. So "8 words" below are 8 words of four letters or more, or 16 Han characters.
"""

import unicodedata
from functools import cache

from .han import SIMPLIFIED
from .markup import plain_text

PER_WORD = 4
"""What a word counts at most."""
_HAN = 2
_RANGES_UNSPACED = (
    (0x0E00, 0x0FFF, 1),  # Thai, Lao, Tibetan
    (0x1000, 0x109F, 1),  # Burmese
    (0x1780, 0x17FF, 1),  # Khmer
    (0x19E0, 0x19FF, 1),  # Khmer symbols
    (0x3040, 0x30FF, 1),  # kana
    (0x3400, 0x4DBF, _HAN),
    (0x4E00, 0x9FFF, _HAN),
    (0xA9E0, 0xA9FF, 1),  # Burmese, extended
    (0xAA60, 0xAA7F, 1),  # Burmese, extended
    (0xF900, 0xFAFF, _HAN),
    (0x20000, 0x3FFFF, _HAN),
)
_TATWEEL = "\u0640"
_LETTERS = {
    "ı": "i", "đ": "d", "ð": "d", "ħ": "h", "ł": "l", "ø": "o", "ŧ": "t", "æ": "ae", "œ": "oe", "þ": "th",
    "ɑ": "a", "ɡ": "g", "ɩ": "i", "ⅼ": "l",
    **dict(zip("авеһіјкмноԛрсѕтуүхԁԝӏ", "abehijkmhoqpcstyyxdwl", strict=True)),
    **dict(zip("αβεζηικμνορτυχ", "abezhikmvoptux", strict=True)),
    "ٱ": "ا", "ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه", "ۀ": "ه", "ہ": "ه", "ھ": "ه",
}  # fmt: skip
"""Letters that no Unicode form folds: those that keyboards of other countries, or none, replace, and those that look
like a Latin one, in small letters or in capitals."""


class _Folding(dict[int, str]):
    """A table for str.translate, filled on demand: what a code point is in comparison, spaces around whole words."""

    def __missing__(self, code: int) -> str:
        folded = _fold_character(code)
        self[code] = folded
        return folded


def _fold_character(code: int) -> str:
    character = chr(code)
    if character in _LETTERS:
        return _LETTERS[character]
    kind = unicodedata.category(character)
    # Accents and vowel points of any script; joiners, bidirectional controls, soft hyphens, which stand within words.
    if kind in ("Mn", "Me", "Cf") or character == _TATWEEL:
        return ""
    if kind == "Nd":
        return str(unicodedata.decimal(character))
    if kind[0] in "PZCS":
        return " "
    return f" {SIMPLIFIED.get(character, character)} " if _unspaced_weight(code) else character


@cache
def _unspaced_weight(code: int) -> int:
    """Return what a character of a script without spaces counts; 0 for one of another script."""
    return next((weight for first, last, weight in _RANGES_UNSPACED if first <= code <= last), 0)


_FOLDING = _Folding()


def words_of(text: str) -> list[str]:
    """Return the folded words of `text`, in order."""
    text = plain_text(text)
    return unicodedata.normalize("NFKD", text).casefold().translate(_FOLDING).split()


def is_unspaced(word: str) -> bool:
    """Return whether a word is a character of a script that has no spaces."""
    return len(word) == 1 and _unspaced_weight(ord(word)) > 0


def weight_of(word: str) -> int:
    """Return what a word counts, 1 to PER_WORD."""
    if len(word) == 1:
        return _unspaced_weight(ord(word)) or 1
    return min(len(word), PER_WORD)
