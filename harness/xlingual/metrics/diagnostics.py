"""How answers fail: shares of answers that are empty, copy their source, or were cut off. See also `off_target`.

`passage_copy` and `length_ratio` stand beside containment, which an answer that repeats the whole passage would win.
"""

from collections import Counter

from ..plugin import SHARE
from ..records import Example, Finish, Response
from ..text import for_scoring, shows_nothing
from .mean import MeanMetric, accepted_answers, in_every_language

PASSAGE = "context"
"""The field of an example that holds the passage."""
_PIECE = 5
"""Characters of the pieces that a passage is compared by: languages without spaces are compared as others are."""


def is_empty(_example: Example, text: str, _response: Response) -> float:
    """Return 1.0 for an answer without any visible character, else 0.0."""
    return float(shows_nothing(text))


def copies_source(example: Example, text: str, _response: Response) -> float:
    """Return 1.0 for an answer that repeats a whole field: the sentence to translate, the question or the context."""
    answer = _fold(text)
    return float(answer != "" and any(answer == _fold(field) for field in example.fields.values()))


def is_truncated(_example: Example, _text: str, response: Response) -> float | None:
    """Return 1.0 for an answer that the token limit cut off, None where the backend does not say."""
    return None if response.finish is None else float(response.finish is Finish.LENGTH)


def copied_share(example: Example, text: str, _response: Response) -> float | None:
    """Return how much of the passage the answer repeats, 0 to 1, by pieces of 5 characters; None without a passage."""
    passage = _pieces(example.fields.get(PASSAGE, ""))
    if not passage:
        return None
    return (passage & _pieces(text)).total() / passage.total()


def length_ratio(example: Example, text: str, _response: Response) -> float | None:
    """Return how many times as long as the longest accepted answer the answer is, in visible characters."""
    longest = max((len(_fold(gold)) for gold in accepted_answers(example)), default=0)
    return len(_fold(text)) / longest if longest else None


def _pieces(text: str) -> Counter[str]:
    folded = _fold(text)
    return Counter(folded[start : start + _PIECE] for start in range(len(folded) - _PIECE + 1))


def _fold(text: str) -> str:
    return " ".join(for_scoring(text).casefold().split())


METRICS = tuple(
    MeanMetric(name=name, higher_is_better=False, judge=judge, describe=in_every_language(signature), bounds=bounds)
    for name, judge, signature, bounds in (
        ("empty", is_empty, "rate:empty|text:nfc-visible", SHARE),
        ("source_copy", copies_source, "rate:source-copy|case:fold|space:collapsed|text:nfc-visible", SHARE),
        ("truncated", is_truncated, "rate:truncated", SHARE),
        ("passage_copy", copied_share, "share:passage-pieces|of:5|case:fold|space:collapsed|text:nfc-visible", SHARE),
        ("length_ratio", length_ratio, "ratio:answer/longest-gold|chars|space:collapsed|text:nfc-visible", (0.0, None)),
    )
)
