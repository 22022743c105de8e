"""What can be said of one text, or of the two sides of one row, without looking at any other."""

import re
import unicodedata
from collections.abc import Iterator

from ...records import Example, Role

_URL = re.compile(r"(?:https?://|ftp://|www\.)\S+", re.IGNORECASE)


def learnt_answers(row: Example) -> tuple[str, ...]:
    """Return what is learnt of a row: all learnt answers of a conversation, else the first target."""
    if row.turns is not None:
        return tuple(turn.text for turn in row.turns if turn.is_learnt)
    return row.targets[:1]


def given_texts(row: Example) -> tuple[str, ...]:
    """Return what the answer of a row may copy: the source of a pair, or input and instruction."""
    named = (row.fields.get(name, "") for name in ("source", "input", "instruction"))
    texts = tuple(text for text in named if text.strip())
    return texts or tuple(text for text in row.fields.values() if text.strip())


def learnt_sides(row: Example) -> tuple[str, ...]:
    """Return the texts of a row that must say something: both sides of a pair, or what is learnt."""
    return (row.fields["source"], row.targets[0]) if "source" in row.fields else learnt_answers(row)


def count_letters(text: str, most: int | None = None) -> int:
    """Return the letters of `text` outside URLs; counting ends at `most`."""
    count = 0
    for character in _URL.sub(" ", text):
        count += character.isalpha()
        if count == most:
            break
    return count


def is_url(text: str) -> bool:
    """Return whether `text` is URLs and nothing else."""
    return _URL.search(text) is not None and not _URL.sub("", text).strip(" \t\r\n<>()[].,;")


def is_copy(row: Example) -> bool:
    """Return whether an answer is what is given, as `copied_answer` finds it."""
    return copied_answer(row) is not None


def copied_answer(row: Example) -> str | None:
    """Return an answer that is what is given, but for case and spaces; numbers alone are no copy. None: none is.

    Of a conversation, what is given to an answer is what the user has said before it.
    """
    for answer, given in _answers_with_given(row):
        plain = _plain(answer)
        if any(_plain(text) == plain for text in given) and count_letters(plain, 1) > 0:
            return answer
    return None


def _answers_with_given(row: Example) -> Iterator[tuple[str, tuple[str, ...]]]:
    if row.turns is None:
        yield row.targets[0], given_texts(row)
        return
    for place, turn in enumerate(row.turns):
        if turn.is_learnt:
            yield turn.text, tuple(each.text for each in row.turns[:place] if each.role is Role.USER)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


class _Folding(dict[int, int | None]):
    """A table for str.translate, filled on demand: None for spaces, punctuation, control and format characters."""

    def __missing__(self, code: int) -> int | None:
        kind = unicodedata.category(chr(code))
        self[code] = None if kind[0] in "PZ" or kind in ("Cc", "Cf") else code
        return self[code]


_FOLDING = _Folding()


def folded(row: Example) -> str:
    """Return the letters, marks, digits and symbols of a row, case-folded: the same for rows that differ in the rest.

    Vowel signs stay, as a word of Thai or Hindi is another one without; so do "+" and emoji.
    """
    sides: tuple[str, ...] = (*row.fields.values(), row.targets[0])
    if row.turns is not None:
        sides = tuple(f"{turn.role}{int(turn.is_learnt)}{turn.text}" for turn in row.turns)
    return "\0".join(side.casefold().translate(_FOLDING) for side in sides)
