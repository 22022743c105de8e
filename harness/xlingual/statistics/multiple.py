"""Many tests at once: corrected p-values, ranks that are sure, and what a set of examples can show at all."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .quantiles import TAIL, t_quantile

POWER = 0.8
"""Chance to find the smallest difference that is called detectable."""


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's p-values: the chance of any false alarm among all of them stays below what is compared with."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    scaled = [min(1.0, (len(order) - place) * p_values[index]) for place, index in enumerate(order)]
    found = dict(zip(order, map(float, np.maximum.accumulate(scaled)), strict=True))
    return [found[index] for index in range(len(p_values))]


def rank_limits(ahead: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the best and the worst rank of each of M models; `ahead[i, j]`: i is surely ahead of j."""
    models = len(ahead)
    return [(1 + int(ahead[:, each].sum()), models - int(ahead[each].sum())) for each in range(models)]


def detectable_difference(standard_error: float, clusters: int) -> float:
    """Return the smallest true difference that a test at 5% finds with a chance of POWER."""
    freedom = clusters - 1
    return (t_quantile(1 - TAIL, freedom) + t_quantile(POWER, freedom)) * standard_error
