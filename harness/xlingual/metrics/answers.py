"""Scores of answers: containment, and exact match and token F1 with the best of the accepted answers."""

from collections import Counter
from collections.abc import Sequence

from ..records import Example, Response
from ..text import for_scoring
from .answer_rules import RuleFamily, answer_tokens, describe_rules
from .mean import MeanMetric, in_every_language


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


def contains(example: Example, text: str, _response: Response) -> float:
    """Return 1.0 if the first accepted answer is in the answer, letter case aside, else 0.0.

    Source: the x-LLaMA paper's released code, match.py of its XQuAD and MLQA tasks: whether the lower-cased first
    accepted answer is a substring of the lower-cased prediction, with punctuation and articles left as they are.
    """
    return float(for_scoring(example.targets[0]).lower() in for_scoring(text).lower())


def _best_match(name: str, score: str, family: RuleFamily) -> MeanMetric:
    """Return the metric `name`: the mean of a score ("em", "f1"), of the accepted answer where it is best."""
    compare = _SCORES[score]

    def judge(example: Example, text: str, _response: Response) -> float:
        tokens = answer_tokens(text, family, example.language)
        return max(compare(tokens, answer_tokens(gold, family, example.language)) for gold in example.targets)

    def describe(language: str) -> str:
        return f"score:{score}|{describe_rules(family, language)}|targets:max|text:nfc-visible"

    return MeanMetric(name=name, higher_is_better=True, judge=judge, describe=describe, exact=score == "em")


_SCORES = {"em": exact_match, "f1": token_f1}
METRICS = (
    MeanMetric(
        name="containment",
        higher_is_better=True,
        judge=contains,
        describe=in_every_language("score:containment|case:lower|targets:first|text:nfc-visible"),
    ),
    _best_match("mlqa_em", "em", RuleFamily.MLQA),
    _best_match("mlqa_f1", "f1", RuleFamily.MLQA),
    _best_match("mlqa_fixed_em", "em", RuleFamily.MLQA_FIXED),
    _best_match("mlqa_fixed_f1", "f1", RuleFamily.MLQA_FIXED),
    _best_match("squad_em", "em", RuleFamily.SQUAD),
    _best_match("squad_f1", "f1", RuleFamily.SQUAD),
)
