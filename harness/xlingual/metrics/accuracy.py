"""The share of examples whose likeliest choice is accepted: lm-eval's `acc`."""

from ..records import Likelihood
from .choices import ChoiceMetric


def _worth(_choice: str, likelihood: Likelihood) -> float:
    return likelihood.logarithm


METRIC = ChoiceMetric(name="accuracy", worth=_worth, rules="score:accuracy|choice:log-likelihood|ties:first")
