"""Words and texts: near words for hints, what scoring leaves out, where a stop string cuts."""

import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def close_words(word: str, known: Sequence[str], cutoff: float = 0.5) -> str:
    """Return up to three of the `known` words near `word`, with "or" between them; "" where none is near.

    `cutoff` is the share of characters in common, from 0 to 1, that a near word has.
    """
    return " or ".join(get_close_matches(word, known, n=3, cutoff=cutoff))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint that offers up to three of the `known` words near `word`, or lists the first of them."""
    known = list(known)
    if not known:
        return ""  # rather than a list of nothing
    if near := close_words(word, known):
        return f"did you mean {near}?"
    return f"known: {', '.join(known[:12])}{', ...' if len(known) > 12 else ''}"


BOM = "\ufeff"
_UNSEEN = frozenset({"Cc", "Cf", "Cs"})
"""Categories of controls, zero-width signs among them, and of halves of characters."""
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0\ufe0e\ufe0f")
"""Letters and signs that show nothing: Hangul fillers, the empty Braille pattern, variation selectors."""
_INVISIBLE = dict.fromkeys(
    map(ord, "\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069" + BOM)
)


def for_scoring(text: str) -> str:
    """Return `text` in NFC without byte order marks, zero-width spaces and bidirectional controls.

    The zero-width joiner and non-joiner stay: they are spelling in Persian, Hindi and other languages.
    """
    return unicodedata.normalize("NFC", text.translate(_INVISIBLE))


def is_blank(text: str) -> bool:
    """Return whether scoring would leave nothing of `text`: it is white space and invisible marks alone."""
    return not for_scoring(text).strip()


def shows_nothing(text: str) -> bool:
    """Return whether a text shows nothing at all; stricter than `is_blank`, which goes by what scoring leaves."""
    return all(
        each.isspace() or each in _FILLERS or unicodedata.category(each) in _UNSEEN for each in for_scoring(text)
    )


def single_line(text: str) -> str:
    """Return `text` in its form for scoring, with every run of white space as one space and none at its ends.

    White space is all that Unicode calls so: no-break and ideographic spaces, tabs, line ends.
    """
    return " ".join(for_scoring(text).split())


def find_stop(text: str, stop: Sequence[str]) -> int | None:
    """Return where `text` is to be cut: at the first stop string after its first non-space character, or None.

    A model that opens with a newline does not get an empty answer for it.
    """
    first = len(text) - len(text.lstrip())
    places = [place for each in stop if each and (place := text.find(each, first + 1)) >= 0]
    return min(places, default=None)
