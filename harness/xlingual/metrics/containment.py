"""Containment accuracy: the x-LLaMA paper's own score of answers.

Source: the paper's released code, match.py of its XQuAD and MLQA tasks: whether the lower-cased first accepted answer
is a substring of the lower-cased prediction, with punctuation and articles left as they are.
"""

from ..records import Example, Response
from ..text import for_scoring
from .mean import MeanMetric


def _judge(example: Example, text: str, _response: Response) -> float:
    return float(for_scoring(example.targets[0]).lower() in for_scoring(text).lower())


def _describe(_language: str) -> str:
    return "score:containment|case:lower|targets:first|text:nfc-visible"


METRIC = MeanMetric(name="containment", higher_is_better=True, judge=_judge, describe=_describe)
