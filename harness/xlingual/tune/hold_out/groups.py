"""Groups of rows that say the same: a group is held out whole, or trained on whole.

Rows are of one group where one of their texts is the same, folded as words: both sides of a pair, of whatever length
and in either direction; what an instruction and its input ask; an input, an answer or a message of six words or more.
"Yes" as the answer of a thousand questions makes no group of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

from ...records import Example
from ..contamination.runs import LEAST
from ..contamination.words import weight_of, words_of

_INPUT = "input"
_PAIR = "source"
"""Field of the text that a pair translates."""


def texts_of(row: Example) -> tuple[str, str]:
    """Return what a row gives and what it answers."""
    given = row.fields.get(_PAIR)
    return "\n".join(row.fields.values()) if given is None else given, "\n".join(_answers(row))


def _answers(row: Example) -> Sequence[str]:
    """Return the answer, of a conversation all learnt ones; other targets of a row are not what is learnt."""
    return row.targets[:1] if row.turns is None else row.targets


def telling_texts(row: Example) -> tuple[str, str]:
    """Return `texts_of` a row, but for an instruction with a long input the input alone: it tells rows apart."""
    given, answer = texts_of(row)
    own = row.fields.get(_INPUT, "")
    return (own if is_long(own) else given), answer


def is_long(text: str) -> bool:
    """Return whether a text has six words or more, of four letters or more."""
    return sum(map(weight_of, words_of(text))) >= LEAST


def keys_of(row: Example) -> Iterator[bytes]:
    """Yield a key for each text by which a row belongs to a group."""
    given, answer = texts_of(row)
    is_pair = _PAIR in row.fields
    yield from _key(given, is_whole=True)
    yield from _key(answer, is_whole=is_pair)
    if not is_pair and (len(row.fields) > 1 or row.turns is not None):
        for text in (*row.fields.values(), *(_answers(row) if row.turns is not None else ())):
            yield from _key(text, is_whole=False)


def _key(text: str, *, is_whole: bool) -> Iterator[bytes]:
    """Yield the key of a text; nothing for an empty one, or a short one that is not `is_whole` to its row.

    A text without a word, such as an emoji, is compared as it is.
    """
    words = words_of(text)
    said = " ".join(words or text.split())
    if said and (is_whole or sum(map(weight_of, words)) >= LEAST):
        yield blake2b(said.encode("utf-8", "replace"), digest_size=16).digest()


def hash_row(row: Example) -> bytes:
    """Return a hash of what a row gives and answers, which ranks it among all rows."""
    return blake2b("\0".join(texts_of(row)).encode("utf-8", "replace"), digest_size=16).digest()


def group_rows(keys: Iterable[Iterable[bytes]]) -> list[int]:
    """Return the group of each row, numbered by the first row of it: rows with a key in common are of one group."""
    parents: list[int] = []
    first: dict[bytes, int] = {}

    def find(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    for row, own in enumerate(keys):
        parents.append(row)
        for key in own:
            one, other = find(first.setdefault(key, row)), find(row)
            parents[max(one, other)] = min(one, other)
    return [find(row) for row in range(len(parents))]


def members_of(groups: Sequence[int]) -> dict[int, list[int]]:
    """Return the rows of each group, in order."""
    found: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        found.setdefault(group, []).append(row)
    return found
