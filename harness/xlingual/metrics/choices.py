"""Metrics of choices, lm-eval's `acc` and `acc_norm`: whether the choice with the best score is an accepted one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..plugin import SHARE, Bounds, FloatArray
from ..records import Example, Likelihood, Response, Statistics
from ..text import single_line
from .mean import accepted_answers, combine_means


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceMetric:
    """The Metric that a score of single choices makes: 100 times the share of examples whose best one is accepted.

    Of several with the same score the first counts, as in lm-eval. An answer in words, from a predictions file, is
    right where it is an accepted one.
    """

    name: str
    score: Callable[[str, Likelihood], float]
    """Of a choice; the largest is best."""
    rules: str
    higher_is_better: bool = True
    bounds: Bounds = SHARE

    def missing(self, _language: str) -> str | None:
        """Return None: it can be computed everywhere."""
        return None

    def signature(self, _language: str) -> str:
        """Name every choice that changes the number."""
        return self.rules

    def measure(self, example: Example, response: Response) -> Statistics | None:
        """Return (1.0 for a hit or 0.0, 1.0), or None for an example without choices or without an accepted answer."""
        if example.choices is None:
            return None
        accepted = accepted_answers(example)
        if not accepted:
            return None
        if response.likelihoods is None:
            return None if response.text is None else (float(_is_one_of(response.text, accepted)), 1.0)
        if len(response.likelihoods) != len(example.choices):
            return None
        scores = [self.score(*each) for each in zip(example.choices, response.likelihoods, strict=True)]
        best = example.choices[scores.index(max(scores))]
        return float(best in accepted), 1.0

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn (hits, examples), shape (..., 2), into percentages."""
        return combine_means(sums)


def _is_one_of(text: str, accepted: Sequence[str]) -> bool:
    """Return whether an answer in words is an accepted one: to the eye, so that a decomposed "é" is one letter."""
    return single_line(text) in map(single_line, accepted)


def log_likelihood(_choice: str, likelihood: Likelihood) -> float:
    """Return the sum over the tokens of the choice."""
    return likelihood.logarithm


def log_likelihood_per_character(choice: str, likelihood: Likelihood) -> float:
    """Return the sum, divided by the code points of the choice without the space before it, as lm-eval 0.4 has it."""
    return likelihood.logarithm / len(choice)


METRICS = (
    ChoiceMetric(name="accuracy", score=log_likelihood, rules="score:accuracy|choice:log-likelihood|ties:first"),
    ChoiceMetric(
        name="accuracy_norm",
        score=log_likelihood_per_character,
        rules="score:accuracy|choice:log-likelihood per character|ties:first",
    ),
)
