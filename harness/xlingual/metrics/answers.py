"""Scores of answers by the best of the accepted ones: containment, exact match, token F1."""

from collections import Counter
from collections.abc import Sequence

from ..records import Example, Response
from ..text import single_line
from .answer_rules import RuleFamily, answer_tokens, describe_rules
from .mean import MeanMetric, accepted_answers, in_every_language


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


def contains_any(example: Example, text: str, _response: Response) -> float | None:
    """Return 1.0 if an accepted answer is in the answer, letter case and kinds of white space aside, else 0.0.

    Punctuation and articles stay as they are. None where there is no accepted answer that is not blank.
    """
    return _contains(text, accepted_answers(example))


def contains_first(example: Example, text: str, _response: Response) -> float | None:
    """Return the same for the first accepted answer alone.

    Source: the x-LLaMA paper's released code, match.py of its XQuAD and MLQA tasks: whether the lower-cased first
    accepted answer is a substring of the lower-cased prediction. The collapsed white space is ours.
    """
    return _contains(text, accepted_answers(example)[:1])


def _contains(text: str, golds: Sequence[str]) -> float | None:
    if not golds:
        return None
    answer = single_line(text).lower()
    return float(any(single_line(gold).lower() in answer for gold in golds))


def _best_match(name: str, score: str, family: RuleFamily) -> MeanMetric:
    """Return the metric `name`: the mean of a score ("em", "f1"), of the accepted answer where it is best."""
    compare = _SCORES[score]

    def judge(example: Example, text: str, _response: Response) -> float | None:
        tokens = answer_tokens(text, family, example.language)
        golds = (answer_tokens(gold, family, example.language) for gold in accepted_answers(example))
        return max((compare(tokens, gold) for gold in golds), default=None)

    def describe(language: str) -> str:
        return f"score:{score}|{describe_rules(family, language)}|targets:max|text:nfc-visible"

    return MeanMetric(name=name, higher_is_better=True, judge=judge, describe=describe, exact=score == "em")


_SCORES = {"em": exact_match, "f1": token_f1}
METRICS = (
    MeanMetric(
        name="containment",
        higher_is_better=True,
        judge=contains_any,
        describe=in_every_language("score:containment|case:lower|space:collapsed|targets:any|text:nfc-visible"),
    ),
    MeanMetric(
        name="containment_first",
        higher_is_better=True,
        judge=contains_first,
        describe=in_every_language("score:containment|case:lower|space:collapsed|targets:first|text:nfc-visible"),
    ),
    _best_match("mlqa_em", "em", RuleFamily.MLQA),
    _best_match("mlqa_f1", "f1", RuleFamily.MLQA),
    _best_match("mlqa_fixed_em", "em", RuleFamily.MLQA_FIXED),
    _best_match("mlqa_fixed_f1", "f1", RuleFamily.MLQA_FIXED),
    _best_match("squad_em", "em", RuleFamily.SQUAD),
    _best_match("squad_f1", "f1", RuleFamily.SQUAD),
)
