"""The share of answers that the token limit cut off; answers of backends that do not say are not judged."""

from ..records import Example, Finish, Response
from .mean import MeanMetric


def _judge(_example: Example, _text: str, response: Response) -> float | None:
    return None if response.finish is None else float(response.finish is Finish.LENGTH)


def _describe(_language: str) -> str:
    return "rate:truncated"


METRIC = MeanMetric(name="truncated", higher_is_better=False, judge=_judge, describe=_describe)
