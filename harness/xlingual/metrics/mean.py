"""Metrics that are the mean of a score per example: rates and answer scores."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from ..plugin import SHARE, Bounds, FloatArray
from ..records import Example, Response, Statistics
from ..text import is_blank


def can_judge(_language: str) -> str | None:
    """Return None, which says that nothing is lacking for any language."""
    return None


def in_every_language(signature: str) -> Callable[[str], str]:
    """Return what describes a metric whose `signature` does not depend on the language."""
    return lambda _language: signature


def accepted_answers(example: Example) -> tuple[str, ...]:
    """Return the targets of `example` but blank ones: nothing would be in every answer, and equal to none."""
    return tuple(target for target in example.targets if not is_blank(target))


def combine_means(sums: FloatArray, scale: float = 100.0) -> FloatArray:
    """Turn (sum of scores, count), shape (..., 2), into `scale` times their means; NaN where nothing was counted."""
    import numpy as np  # noqa: PLC0415  # `import xlingual`, which offers MeanMetric, stays without it

    total, count = sums[..., 0], sums[..., 1]
    counted = count > 0
    with np.errstate(over="ignore"):  # a changed file may hold any number; infinity is no value
        return np.asarray(np.where(counted, scale * total / np.where(counted, count, 1.0), np.nan), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanMetric:
    """The Metric that a judgement of single answers makes: 100 times its mean over the answers it can judge.

    Where the judgement is no share, `scale` says how often the mean is taken, and `bounds` what it may then be.
    """

    name: str
    higher_is_better: bool
    judge: Callable[[Example, str, Response], float | None]
    """Score of an example's answer text, from 0 to 1 for a share; None where it cannot be judged."""
    describe: Callable[[str], str]
    """The signature for answers in a language."""
    lack: Callable[[str], str | None] = can_judge
    """Why answers in a language cannot be judged on this machine, or None."""
    scale: float = 100.0
    bounds: Bounds = SHARE
    exact: bool = False
    """Whether every score says right or wrong, 1 or 0: then there are pass@k and maj@n."""

    def missing(self, language: str) -> str | None:
        """Return why the metric cannot be computed for `language`, or None."""
        return self.lack(language)

    def signature(self, language: str) -> str:
        """Name every choice that changes the number."""
        return self.describe(language)

    def measure(self, example: Example, response: Response) -> Statistics | None:
        """Return (score, 1.0), or None where the answer cannot be judged."""
        if response.text is None:
            return None
        score: object = self.judge(example, response.text, response)
        if isinstance(score, str | bytes | bytearray):  # float() would read it
            raise ValueError(f"a judgement is a number or None, got the text {score!r}")
        return None if score is None else (float(cast(float, score)), 1.0)

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn (sum of scores, count), shape (..., 2), into means; NaN where nothing was counted."""
        return combine_means(sums, self.scale)
