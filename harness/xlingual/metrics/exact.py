"""Exact match of what was extracted from an answer: a number, a letter, a line."""

from ..extraction import canonical_number
from ..records import Example, Response
from ..text import for_scoring
from .mean import MeanMetric, accepted_answers, in_every_language


def is_exact(example: Example, text: str, _response: Response) -> float | None:
    """Return 1.0 if the text is one of the accepted answers, white space aside, else 0.0.

    A gold that is a number ("1,234") is also right in canonical form ("1234"), which extraction gives. Letter case and
    punctuation count. None where there is no accepted answer that is not blank.
    """
    golds = accepted_answers(example)
    if not golds:
        return None
    answer = _collapsed(text)
    if not answer:
        return 0.0
    return float(any(answer in (_collapsed(gold), canonical_number(gold, example.language)) for gold in golds))


def _collapsed(text: str) -> str:
    return " ".join(for_scoring(text).split())


METRICS = (
    MeanMetric(
        name="exact_match",
        higher_is_better=True,
        exact=True,
        judge=is_exact,
        describe=in_every_language(
            "score:exact|case:kept|space:collapsed|numbers:canonical|targets:any|text:nfc-visible"
        ),
    ),
)
