"""The share of answers that repeat a whole input field: the sentence to translate, the question or the context."""

from ..records import Example, Response
from ..text import for_scoring
from .mean import MeanMetric


def _fold(text: str) -> str:
    return " ".join(for_scoring(text).casefold().split())


def _judge(example: Example, text: str, _response: Response) -> float:
    answer = _fold(text)
    return float(answer != "" and any(answer == _fold(field) for field in example.fields.values()))


def _describe(_language: str) -> str:
    return "rate:source-copy|case:fold|space:collapsed|text:nfc-visible"


METRIC = MeanMetric(name="source_copy", higher_is_better=False, judge=_judge, describe=_describe)
