"""Unicode for scoring: what is done to a text before it is compared, while the raw text is kept beside it."""

import unicodedata

BOM = "\ufeff"
_INVISIBLE = dict.fromkeys(
    map(ord, "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069" + BOM)
)


def for_scoring(text: str) -> str:
    """Return `text` in NFC without byte order marks, zero-width spaces and bidirectional controls.

    The zero-width joiner and non-joiner stay: they are spelling in Persian, Hindi and other languages.
    """
    return unicodedata.normalize("NFC", text.translate(_INVISIBLE))
