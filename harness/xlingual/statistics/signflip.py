"""Exact tests of paired differences: if two models are equal, each cluster's difference has either sign as easily.

The p-value is the share of all sign choices with a sum as far from zero as the one observed (Fisher's randomisation
test). Its interval holds every difference that the test does not refuse. With k clusters that differ no p-value is
below 2^(1-k), so that 6 of them are the fewest that can show anything at 5%.
"""

import numpy as np
from numpy.typing import NDArray

from ..plugin import FloatArray

FEWEST_DIFFERENCES = 6
"""Clusters below which there is no interval: the smallest p-value is above 5%."""
DRAWS = 9_999
"""Sign choices where there are too many for all of them, the observed one not counted."""
ALPHA = 0.05
_ALL_HALVES = 40
"""Clusters up to which all sign choices are counted for sums that are no whole numbers: half a second."""
_LONGEST = 200_000
"""Largest sum of whole-numbered differences whose distribution is worked out."""
_ALL_SIGNS = 13
"""Clusters up to which an interval looks at all sign choices."""
_CELLS = 4_000_000
_ROUNDING = 1e-9


def sign_flip(differences: FloatArray, seed: int = 0) -> tuple[float, bool]:
    """Return the two-sided p-value of clusters' `differences`, shape (k,), and whether it is exact.

    Differences of zero do not matter. Whole numbers are counted exactly whatever their number, others up to 40; beyond
    that (b + 1) / (DRAWS + 1) for b drawn sums as large (Phipson and Smyth 2010), never 0.
    """
    values = np.abs(differences[np.abs(differences) > _ROUNDING])
    if not len(values):
        return 1.0, True
    observed = abs(float(differences.sum()))
    whole = np.rint(values)
    if np.abs(values - whole).max() < _ROUNDING and whole.sum() <= _LONGEST:
        return _count_whole(whole.astype(np.intp), round(observed)), True
    tolerance = _ROUNDING * max(1.0, float(values.sum()))
    if len(values) <= _ALL_HALVES:
        return _count_halves(values, observed - tolerance), True
    sums = np.abs(flip(values[:, None], seed)[:, 0])
    return (1 + int((sums >= observed - tolerance).sum())) / (DRAWS + 1), False


def _count_whole(values: NDArray[np.intp], observed: int) -> float:
    """Return the share of sign choices by the distribution of the sum, one difference after the other."""
    total = int(values.sum())
    chances: FloatArray = np.zeros(2 * total + 1, dtype=np.float64)
    chances[total] = 1.0
    for value in values:
        moved = np.zeros_like(chances)
        moved[value:] += 0.5 * chances[:-value]
        moved[:-value] += 0.5 * chances[value:]
        chances = moved
    sums = np.abs(np.arange(-total, total + 1))
    return min(1.0, float(chances[sums >= observed].sum()))


def _count_halves(values: FloatArray, least: float) -> float:
    """Return the same for sums of any kind: all signed sums of two halves, the one sorted, the other looked up."""
    if least <= 0:
        return 1.0
    middle = len(values) // 2
    ours, theirs = signed_sums(values[:middle]), np.sort(signed_sums(values[middle:]))
    above = len(theirs) - np.searchsorted(theirs, least - ours, side="left")
    return min(1.0, 2.0 * float(above.sum()) / 2.0 ** len(values))


def signed_sums(values: FloatArray) -> FloatArray:
    """Return the sums of `values` under all choices of signs, shape (2^k,)."""
    sums: FloatArray = np.zeros(1, dtype=np.float64)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def flip(values: FloatArray, seed: int, draws: int = DRAWS) -> FloatArray:
    """Return the sums of the columns of `values`, shape (k, m), under random choices of signs, shape (draws, m)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    clusters = len(values)
    at_once = max(1, min(draws, _CELLS // clusters))
    parts = []
    for start in range(0, draws, at_once):
        bits = generator.integers(0, 2, size=(min(at_once, draws - start), clusters), dtype=np.int8)
        parts.append((2.0 * bits - 1.0) @ values)
    return np.concatenate(parts)


def flip_all(values: FloatArray, seed: int) -> FloatArray:
    """Return the same under all choices of signs where those are few, else under drawn ones; the observed one first."""
    if len(values) <= _ALL_SIGNS:
        return np.stack([signed_sums(column) for column in values.T], axis=-1)
    return np.concatenate([values.sum(axis=0, keepdims=True), flip(values, seed)])


def refused_beyond(differences: FloatArray, sizes: FloatArray, seed: int = 0) -> tuple[float, float] | None:
    """Return the mean differences between which the test refuses none, or None where there are too few clusters.

    A mean difference m is tested by the signs of `differences` - m `sizes`. A choice of signs with sums a of the
    differences and n of the sizes is at least as far out as the observed D and N where |a - m n| >= |D - m N|, which
    are the m between (D - a) / (N - n) and (D + a) / (N + n). So the interval needs no search: its ends are order
    statistics of those limits.
    """
    if len(differences) < FEWEST_DIFFERENCES:
        return None
    sums, counts = flip_all(np.stack([differences, sizes], axis=-1), seed).T
    total, count = float(differences.sum()), float(sizes.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack([(total - sums) / (count - counts), (total + sums) / (count + counts)])
    everywhere = np.abs(counts) >= count * (1 - 1e-12)
    lower = np.sort(np.where(everywhere, -np.inf, ends.min(axis=0)))
    upper = np.sort(np.where(everywhere, np.inf, ends.max(axis=0)))
    place = int(np.floor(ALPHA * len(sums)))
    low, high = float(lower[place]), float(upper[-1 - place])
    return (low, high) if np.isfinite(low) and np.isfinite(high) else None
