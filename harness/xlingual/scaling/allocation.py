"""Splits a budget of translation data over languages: exactly, for laws that each gain less and less.

The mean of the scores is a sum of concave functions, so that at the best split the last unit of budget gains the same
in every language that is not at a bound (Karush, Kuhn and Tucker). Each language's amount is then a formula of that one
gain, and the gain is found by bisection: water filling. The worst score is best where all levels are equal, found by
bisection on the level. All of it works on stacks of bootstrap fits at once.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..plugin import FloatArray

_HALVINGS = 90
"""Of an interval of a few hundred on a log scale: down to the last bit."""
_MARGIN = 1.0
"""Of that interval, for levels that rounding has moved."""
_LEAST = 1e-9
"""Pairs that stand for none: the law has no value at zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Laws:
    """The laws of n languages, arrays (..., n): S(x) = ceiling - exp(log_alpha) * (x + offset) ** -beta, x in pairs."""

    log_alpha: FloatArray
    beta: FloatArray
    ceiling: FloatArray
    offset: "FloatArray | float" = 0.0
    """Pairs that an untuned model is worth; 0 where its score is not known."""

    def scores(self, pairs: FloatArray) -> FloatArray:
        """Return the predicted scores, (..., n)."""
        return np.asarray(self.ceiling - np.exp(self.log_alpha - self.beta * self.log_size(pairs)))

    def log_size(self, pairs: FloatArray) -> FloatArray:
        """Return the logarithm of pairs and offset together, (..., n)."""
        return np.asarray(np.log(np.maximum(pairs, _LEAST) + self.offset))

    def pairs(self, logs: FloatArray) -> FloatArray:
        """Return the pairs of which `logs` are the `log_size`, (..., n); below 0 where that is under the offset's."""
        above = logs - np.log(np.maximum(self.offset, np.finfo(np.float64).tiny))
        with np.errstate(over="ignore"):
            # Beside a large offset, the offset of a flat law, the difference of the two is lost to rounding.
            near = self.offset * np.expm1(np.minimum(above, 1.0))
            return np.asarray(np.where(above < 1.0, near, np.exp(logs) - self.offset))

    @property
    def count(self) -> int:
        """Languages."""
        return int(self.beta.shape[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationLimits:
    """What an allocation must keep to; arrays of shape (n,)."""

    budget: float
    costs: FloatArray
    """Of a pair, in the unit of the budget: 1, or its tokens."""
    lower: FloatArray
    upper: FloatArray
    """Pairs; infinite where nothing limits a language but the budget."""

    def check(self) -> None:
        """Raise UsageError where no allocation keeps to the limits."""
        least = float(np.sum(self.costs * self.lower))
        if np.any(self.lower > self.upper):
            raise UsageError("a language must get more than there is", hint="lower --at-least")
        if least > self.budget * (1 + 1e-12):
            raise UsageError(f"what every language must get is {least:,.0f} together, more than the budget")

    @property
    def caps(self) -> FloatArray:
        """The upper bounds, none above what the whole budget buys."""
        return np.asarray(np.minimum(self.upper, self.budget / self.costs))


def best_mean(laws: Laws, weights: FloatArray, limits: AllocationLimits) -> FloatArray:
    """Return the pairs, (..., n), that maximise the weighted sum of scores within the budget.

    `weights`, shape (n,), are at least 0; a language of weight 0 gets its lower bound.
    """
    limits.check()
    with np.errstate(divide="ignore"):
        gains = np.log(weights) + laws.log_alpha + np.log(laws.beta) - np.log(limits.costs)
    shrink = laws.beta + 1.0
    lower, upper = laws.log_size(limits.lower), laws.log_size(limits.caps)
    finite = np.where(np.isfinite(gains), gains, np.nan)
    low = np.nanmin(finite - shrink * upper, axis=-1)
    high = np.nanmax(finite - shrink * lower, axis=-1)

    def amounts(level: FloatArray) -> FloatArray:
        return np.clip(laws.pairs((gains - level[..., np.newaxis]) / shrink), limits.lower, limits.caps)

    # A higher marginal gain buys less: the level sought is the lowest that the budget can pay.
    return _spend(amounts, low, high, limits, falling=True)


def best_worst(laws: Laws, limits: AllocationLimits) -> FloatArray:
    """Return the pairs, (..., n), that maximise the lowest score within the budget.

    Languages that their upper bound holds below the common level get all there is; the others are equal.
    """
    limits.check()
    upper = laws.log_size(limits.caps)
    # The level that an equal split of what is free reaches everywhere can surely be paid.
    free = (limits.budget - np.sum(limits.costs * limits.lower)) / (laws.count * limits.costs)
    safe = laws.log_size(np.maximum(np.minimum(free, limits.caps), limits.lower))
    low = np.min(laws.ceiling - np.exp(laws.log_alpha - laws.beta * safe), axis=-1)
    high = np.max(laws.ceiling - np.exp(laws.log_alpha - laws.beta * upper), axis=-1)

    def amounts(level: FloatArray) -> FloatArray:
        room = laws.ceiling - level[..., np.newaxis]
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(room > 0, (laws.log_alpha - np.log(room)) / laws.beta, np.inf)
        return np.clip(laws.pairs(logs), limits.lower, limits.caps)

    return _spend(amounts, low, high, limits, falling=False)


def spread(weights: FloatArray, limits: AllocationLimits, *, surplus: bool) -> FloatArray:
    """Return the budget split in proportion to `weights`, shape (n,), none above its cap.

    With `surplus`, what the caps turn away is split again among the others, so that the budget is spent while there
    is anything to spend it on.
    """
    share = limits.budget * weights / float(np.sum(weights)) / limits.costs
    if not surplus:
        return np.asarray(np.minimum(share, limits.caps))
    caps = limits.caps
    with np.errstate(divide="ignore"):
        full = np.where(weights > 0, caps * limits.costs / weights, np.inf)
    amounts: FloatArray = np.zeros(len(weights))
    left, open_weight = limits.budget, float(np.sum(weights))
    for index in np.argsort(full, kind="stable"):
        part = left * weights[index] / open_weight if open_weight > 0 else 0.0
        amounts[index] = min(part / limits.costs[index], caps[index])
        left -= amounts[index] * limits.costs[index]
        open_weight -= float(weights[index])
    return amounts


def round_to_rows(pairs: FloatArray, limits: AllocationLimits) -> list[int]:
    """Return whole rows that spend what `pairs` spend, as nearly as whole rows can, and keep to the bounds.

    Each is rounded down, then the largest remainders are rounded up while the budget pays for them: with costs of one
    the sum is that of `pairs`, rounded.
    """
    lower = np.ceil(limits.lower - 1e-9)
    upper = np.floor(np.where(np.isfinite(limits.upper), limits.upper, np.maximum(limits.caps, lower)) + 1e-9)
    rows = np.clip(np.floor(pairs + 1e-9), lower, upper)
    target = min(limits.budget, float(np.sum(pairs * limits.costs)) + 0.5 * float(limits.costs.min()))
    left = target - float(np.sum(rows * limits.costs))
    for index in np.argsort(-(pairs - rows), kind="stable"):
        if limits.costs[index] <= left + 1e-6 and rows[index] < upper[index]:
            rows[index] += 1
            left -= limits.costs[index]
    return [int(each) for each in rows]


def _spend(
    amounts: Callable[[FloatArray], FloatArray],
    low: FloatArray,
    high: FloatArray,
    limits: AllocationLimits,
    *,
    falling: bool,
) -> FloatArray:
    """Return the amounts at the level between `low` and `high` that spends the budget; all caps where it cannot be."""
    low, high = np.asarray(low) - _MARGIN, np.asarray(high) + _MARGIN
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        over = np.sum(amounts(middle) * limits.costs, axis=-1) > limits.budget
        low, high = (
            (np.where(over, middle, low), np.where(over, high, middle))
            if falling
            else (np.where(over, low, middle), np.where(over, middle, high))
        )
    paid, too_much = (amounts(high), amounts(low)) if falling else (amounts(low), amounts(high))
    return np.asarray(_between(paid, too_much, limits))


def _between(paid: FloatArray, too_much: FloatArray, limits: AllocationLimits) -> FloatArray:
    """Return the amounts that spend the budget on the way from some that it pays to some, of almost the same level.

    They are far apart where a law is so flat that its language gets nothing at one level and its cap at the next.
    """
    spent, more = (np.sum(each * limits.costs, axis=-1) for each in (paid, too_much))
    step = more - spent
    part = np.clip((limits.budget - spent) / np.where(step > 0, step, 1.0), 0.0, 1.0)
    moved = paid + np.where(step > 0, part, 0.0)[..., np.newaxis] * (too_much - paid)
    return np.clip(moved, limits.lower, limits.caps)
