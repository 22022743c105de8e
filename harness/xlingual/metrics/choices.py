"""Metrics of choices: whether the one that a model finds best, by a given measure, is among the accepted answers."""

from collections.abc import Callable
from dataclasses import dataclass

from ..plugin import FloatArray
from ..records import Example, Likelihood, Response, Statistics
from .mean import combine_means


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceMetric:
    """The Metric that a worth of single choices makes: 100 times the share of examples whose best one is accepted.

    Of several with the same worth the first counts, as in lm-eval. An answer in words, from a predictions file, is
    right where it is an accepted one.
    """

    name: str
    worth: Callable[[str, Likelihood], float]
    """Of a choice; the largest is best."""
    rules: str
    higher_is_better: bool = True

    def missing(self, _language: str) -> str | None:
        """Return None: it can be computed everywhere."""
        return None

    def signature(self, _language: str) -> str:
        """Name every choice that changes the number."""
        return self.rules

    def measure(self, example: Example, response: Response) -> Statistics | None:
        """Return (1.0 for a hit or 0.0, 1.0), or None for an example without choices."""
        if example.choices is None:
            return None
        if response.likelihoods is None:
            return None if response.text is None else (float(response.text.strip() in example.targets), 1.0)
        if len(response.likelihoods) != len(example.choices):
            return None
        worths = [self.worth(*each) for each in zip(example.choices, response.likelihoods, strict=True)]
        best = example.choices[worths.index(max(worths))]
        return float(best in example.targets), 1.0

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn (hits, examples), shape (..., 2), into percentages."""
        return combine_means(sums)
