"""The same as accuracy with the log-likelihood of a choice divided by its length: lm-eval's `acc_norm`.

The length is that of the choice's text in characters (code points), without the space before it, as lm-eval 0.4 has it.
"""

from ..records import Likelihood
from .choices import ChoiceMetric


def _worth(choice: str, likelihood: Likelihood) -> float:
    return likelihood.logarithm / len(choice)


METRIC = ChoiceMetric(
    name="accuracy_norm", worth=_worth, rules="score:accuracy|choice:log-likelihood per character|ties:first"
)
