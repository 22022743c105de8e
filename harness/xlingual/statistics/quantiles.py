"""Quantiles of the normal, the t and the beta distribution, without scipy: an interval needs three numbers of them."""

import math
from functools import lru_cache

LEVEL = 95.0
"""Per cent: of intervals."""
TAIL = (1.0 - LEVEL / 100.0) / 2
"""What an interval leaves out on either side."""
NORMAL = 1.959963984540054
"""The quantile of the normal distribution at 1 - TAIL."""
_STEPS = 200
_TINY = 1e-300


def normal_share(value: float) -> float:
    """Return the share of a normal distribution below `value`."""
    return 0.5 * math.erfc(-value / math.sqrt(2.0))


@lru_cache(maxsize=4096)
def t_quantile(share: float, freedom: float) -> float:
    """Return the value below which `share` of Student's t lies, with `freedom` degrees of freedom."""
    if share == 0.5:
        return 0.0
    # t^2 / (freedom + t^2) has a beta distribution: its quantile gives t without a search of its own.
    tail = 2 * min(share, 1 - share)
    part = beta_quantile(tail, freedom / 2, 0.5)
    value = math.sqrt(freedom * (1 - part) / part)
    return value if share > 0.5 else -value


def t_tail(value: float, freedom: float) -> float:
    """Return the two-sided tail of Student's t beyond `value`."""
    return beta_share(freedom / (freedom + value * value), freedom / 2, 0.5)


@lru_cache(maxsize=4096)
def beta_quantile(share: float, a: float, b: float) -> float:
    """Return the value below which `share` of the beta distribution with parameters `a` and `b` lies."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if beta_share(middle, a, b) < share:
            low = middle
        else:
            high = middle
        if high - low <= 1e-15 * high:
            break
    return (low + high) / 2


def beta_share(value: float, a: float, b: float) -> float:
    """Return the share of the beta distribution below `value`: the regularised incomplete beta function.

    By Lentz's continued fraction (Numerical Recipes, section 6.4), on the side where it converges quickly.
    """
    if value <= 0.0:
        return 0.0
    if value >= 1.0:
        return 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(value) + b * math.log1p(-value)
    )
    if value < (a + 1) / (a + b + 2):
        return front * _fraction(value, a, b) / a
    return 1.0 - front * _fraction(1 - value, b, a) / b


def _fraction(value: float, a: float, b: float) -> float:
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * value / (a + 1))
    result = d
    for step in range(1, 10_000):
        even = step * (b - step) * value / ((a + 2 * step - 1) * (a + 2 * step))
        d, c = 1.0 / _away_from_zero(1.0 + even * d), _away_from_zero(1.0 + even / c)
        result *= d * c
        odd = -(a + step) * (a + b + step) * value / ((a + 2 * step) * (a + 2 * step + 1))
        d, c = 1.0 / _away_from_zero(1.0 + odd * d), _away_from_zero(1.0 + odd / c)
        result *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return result


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
