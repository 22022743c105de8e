"""Rows in another language: by the identifier that `off_target` asks, and by the script of their letters."""

from ...metrics.language_identifiers import find_identifier
from ...metrics.off_target import has_letter_of, judge_language
from .texts import count_letters

SAMPLE = 20_000
"""Rows of a source, at most, whose language is asked of an identifier: every n-th of a larger source."""


def has_identifier(language: str) -> bool:
    """Return whether there is an identifier here that tells `language`."""
    identifier = find_identifier(language)
    return identifier is not None and identifier.installed


def is_other_language(text: str, language: str) -> bool:
    """Return whether `text` is in another language than `language`; a text without a letter is in none.

    A short text is judged by its script alone: it is in another language where no letter is of the script.
    """
    if not has_letter_of(text, language):
        return count_letters(text, 1) > 0
    return bool(has_identifier(language) and judge_language(text, language))


def sample_step(rows: int) -> int:
    """Return n: the language of every n-th of `rows` rows is identified."""
    return -(-rows // SAMPLE) or 1
