"""Metrics of questions that are asked several times: pass@k and maj@n, of a metric that says right or wrong.

pass@k is the chance that at least one of k answers is right, by the unbiased estimate of Chen et al. 2021 (Evaluating
Large Language Models Trained on Code, section 2.1): 1 - C(n - c, k) / C(n, k) for c right ones of n. maj@n is whether
the answer that was given most often is right (Wang et al. 2023, Self-Consistency); where several were given equally
often, the share of them that is right.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from ..plugin import SHARE, Bounds, FloatArray
from ..records import Example, Response, Statistics
from .mean import combine_means

NAME = re.compile(r"(?:pass|maj)@[1-9][0-9]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatMetric:
    """pass@k or maj@n; its statistics are made of those of another metric, see `scoring.py`."""

    name: str
    of: str = ""
    """The signature of that other metric."""
    higher_is_better: bool = True
    bounds: Bounds = SHARE

    def missing(self, _language: str) -> str | None:
        """Return None: it can be computed everywhere."""
        return None

    def signature(self, _language: str) -> str:
        """Name every choice that changes the number."""
        return f"{self.of}|repeats:{self.name}"

    def measure(self, _example: Example, _response: Response) -> Statistics | None:
        """Return None: a single answer has no such score."""
        return None

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn (sum of scores, count), shape (..., 2), into percentages."""
        return combine_means(sums)


def pass_at(scores: Sequence[float], k: int) -> float | None:
    """Return the estimate of pass@k for the scores, 0 or 1, of one question's answers; None for fewer than k."""
    n, right = len(scores), sum(score == 1.0 for score in scores)
    return None if n < k else 1.0 - comb(n - right, k) / comb(n, k)


def majority(answers: Sequence[str], scores: Sequence[float]) -> float | None:
    """Return the score of the answer that most of `answers` give; None where there is no answer.

    Blank ones have no vote: they say nothing, or nothing could be extracted from them. Where all are blank, it is 0.
    """
    given: dict[str, list[float]] = defaultdict(list)
    for answer, score in zip(answers, scores, strict=True):
        if answer.strip():
            given[" ".join(answer.split())].append(score)
    if not given:
        return 0.0 if answers else None
    most = max(map(len, given.values()))
    best = [scores[0] for scores in given.values() if len(scores) == most]
    return sum(best) / len(best)
