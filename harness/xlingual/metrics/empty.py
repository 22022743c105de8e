"""The share of answers without any visible character."""

from ..records import Example, Response
from ..text import for_scoring
from .mean import MeanMetric


def _judge(_example: Example, text: str, _response: Response) -> float:
    return float(for_scoring(text).strip() == "")


def _describe(_language: str) -> str:
    return "rate:empty|text:nfc-visible"


METRIC = MeanMetric(name="empty", higher_is_better=False, judge=_judge, describe=_describe)
