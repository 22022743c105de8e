"""Exact match and token F1 of answers, the best over the accepted answers, under one family of rules."""

from collections import Counter
from collections.abc import Sequence

from ..records import Example, Response
from .answer_rules import RuleFamily, answer_tokens, describe_rules
from .mean import MeanMetric


def exact_match(tokens: Sequence[str], gold: Sequence[str]) -> float:
    """Return 1.0 if both are the same tokens, else 0.0; two empty answers match, as in the official scripts."""
    return float(tuple(tokens) == tuple(gold))


def token_f1(tokens: Sequence[str], gold: Sequence[str]) -> float:
    """Return the F1 of two bags of tokens, from 0 to 1.

    Nothing in common is 0.0, also where both are empty: an answer that the rules leave nothing of has an exact match
    with another such answer but no F1, as in the official scripts.
    """
    common = sum((Counter(tokens) & Counter(gold)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(tokens), common / len(gold)
    return 2 * precision * recall / (precision + recall)


def exact_match_metric(name: str, family: RuleFamily) -> MeanMetric:
    """Return the metric `name`: the share of answers that equal an accepted answer under the rules."""

    def judge(example: Example, text: str, _response: Response) -> float:
        tokens = answer_tokens(text, family, example.language)
        return max(exact_match(tokens, answer_tokens(gold, family, example.language)) for gold in example.targets)

    return MeanMetric(
        name=name, higher_is_better=True, judge=judge, describe=lambda language: _describe("em", family, language)
    )


def token_f1_metric(name: str, family: RuleFamily) -> MeanMetric:
    """Return the metric `name`: the mean F1 of tokens with the nearest accepted answer under the rules."""

    def judge(example: Example, text: str, _response: Response) -> float:
        tokens = answer_tokens(text, family, example.language)
        return max(token_f1(tokens, answer_tokens(gold, family, example.language)) for gold in example.targets)

    return MeanMetric(
        name=name, higher_is_better=True, judge=judge, describe=lambda language: _describe("f1", family, language)
    )


def _describe(score: str, family: RuleFamily, language: str) -> str:
    return f"score:{score}|{describe_rules(family, language)}|targets:max|text:nfc-visible"
