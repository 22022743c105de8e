"""Measures of two languages in one layer, from matrices of similarity whose diagonal holds the translations.

Row i of `cosines` is sentence i of the one language, column j sentence j of the other. The shuffled control is the same
matrix with its columns in another order.
"""

import numpy as np
from numpy.typing import NDArray

from ...plugin import FloatArray, StateArray
from .effects import Measured, of_deleted, of_mean

NEIGHBOURS = 4
"""Of the margin, as in the mining of LASER."""


def cosine_matrix(first: StateArray, second: StateArray, *, centred: bool) -> FloatArray:
    """Return the cosines of all sentences of two languages, (sentences, sentences); vectors of zeros are like nothing.

    `centred`: of the vectors less the mean of their language.
    """
    unit = [_unit(each - each.mean(axis=0, dtype=np.float64) if centred else each) for each in (first, second)]
    return np.asarray(unit[0] @ unit[1].T, dtype=np.float64)


def _unit(vectors: NDArray[np.floating]) -> FloatArray:
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(np.divide(wide, norms, out=np.zeros_like(wide), where=norms > 0))


def ratio_margin(cosines: FloatArray) -> FloatArray:
    """Return cosines over the mean cosine of both sentences with their nearest neighbours (Artetxe and Schwenk 2019).

    A sentence that is near everything is no translation of everything. Where that mean is not above zero, a ratio says
    nothing: minus infinity.
    """
    count = min(NEIGHBOURS, len(cosines))
    by_row = np.sort(cosines, axis=1)[:, -count:].mean(axis=1)
    by_column = np.sort(cosines, axis=0)[-count:].mean(axis=0)
    near = (by_row[:, None] + by_column[None]) / 2
    found = np.full_like(cosines, -np.inf)
    return np.asarray(np.divide(cosines, near, out=found, where=near > 0))


def retrieval(scores: FloatArray) -> Measured:
    """Return the share of rows whose translation, on the diagonal, has the highest score; among equals, their share."""
    right = np.diagonal(scores)
    best = scores.max(axis=1)
    equals = (scores == best[:, None]).sum(axis=1)
    return of_mean(np.where(right == best, 1.0 / equals, 0.0))


def cosine_gap(cosines: FloatArray) -> tuple[Measured, Measured, Measured]:
    """Return the mean cosine of translations, that of other pairs, and the first less the second."""
    count = len(cosines)
    diagonal = np.diagonal(cosines)
    apart = cosines - np.diag(diagonal)
    total = apart.sum()
    others = total / (count * (count - 1))
    without = total - apart.sum(axis=0) - apart.sum(axis=1)
    deleted = without / ((count - 1) * (count - 2))
    same, different = of_mean(diagonal), of_deleted(float(others), deleted)
    return same, different, Measured(same.value - different.value, same.effects - different.effects)


def gram(vectors: StateArray) -> FloatArray:
    """Return the products of all sentences of a language, less their mean, (sentences, sentences)."""
    centred = vectors.astype(np.float64)
    centred -= centred.mean(axis=0)
    return np.asarray(centred @ centred.T, dtype=np.float64)


def linear_cka(first: FloatArray, second: FloatArray) -> float:
    """Return linear CKA (Kornblith et al. 2019) from `gram` matrices: 1 for the same up to turning and scale.

    It is above zero for vectors that have nothing in common, the more the wider they are: see `debiased_cka`.
    """
    return _ratio(float((first * second).sum()), float((first * first).sum()), float((second * second).sum()))


def debiased_cka(first: FloatArray, second: FloatArray) -> Measured:
    """Return linear CKA with unbiased estimates of HSIC (Song et al. 2012), about zero for unrelated vectors."""
    parts = [_hsic(first, second), _hsic(first, first), _hsic(second, second)]
    value = _ratio(*(whole for whole, _ in parts))
    deleted = np.array([_ratio(*each) for each in zip(*(without for _, without in parts), strict=True)])
    return of_deleted(value, deleted)


def _ratio(both: float, first: float, second: float) -> float:
    """Return HSIC of two over the root of that with themselves; 0 where one does not vary."""
    return both / float(np.sqrt(first * second)) if first > 0 and second > 0 else 0.0


def _hsic(first: FloatArray, second: FloatArray) -> tuple[float, FloatArray]:
    """Return the unbiased HSIC of two matrices, and it without each of the sentences, both times a constant.

    With zeros on the diagonals it is made of four sums, all of which lose a sentence in closed form. The factor of
    1 / (n (n - 3)) cancels out in CKA.
    """
    one, two = first - np.diag(np.diagonal(first)), second - np.diag(np.diagonal(second))
    rows = one.sum(axis=1), two.sum(axis=1)
    product = (one * two).sum(axis=1)
    whole = _combine(len(one), product.sum(), rows[0].sum(), rows[1].sum(), (rows[0] * rows[1]).sum())
    cross = (rows[0] * rows[1]).sum() - rows[0] * rows[1] - two @ rows[0] - one @ rows[1] + product
    deleted = _combine(
        len(one) - 1, product.sum() - 2 * product, rows[0].sum() - 2 * rows[0], rows[1].sum() - 2 * rows[1], cross
    )
    return float(whole), np.asarray(deleted, dtype=np.float64)


def _combine(count: int, product: FloatArray, first: FloatArray, second: FloatArray, cross: FloatArray) -> FloatArray:
    return product + first * second / ((count - 1) * (count - 2)) - 2 * cross / (count - 2)


def centroid_distance(first: StateArray, second: StateArray) -> Measured:
    """Return how far the means of two languages are apart, in units of the spread of sentences about them.

    The spread is the root of the mean squared distance of a sentence from the mean of its language.
    """
    apart = first.astype(np.float64) - second
    count, mean = len(apart), apart.mean(axis=0)
    squared = float(mean @ mean)
    shift = apart @ mean
    without = (count**2 * squared - 2 * count * shift + (apart**2).sum(axis=1)) / (count - 1) ** 2
    around = _around(first) + _around(second)
    spread, spread_without = around.sum() / (2 * (count - 1)), None
    spread_without = (around.sum() - count / (count - 1) * around) / (2 * (count - 2))
    value = float(np.sqrt(squared / spread)) if spread > 0 else 0.0
    deleted = np.sqrt(np.maximum(without, 0.0) / np.where(spread_without > 0, spread_without, np.inf))
    return of_deleted(value, deleted)


def _around(vectors: StateArray) -> FloatArray:
    wide = vectors.astype(np.float64)
    return np.asarray(((wide - wide.mean(axis=0)) ** 2).sum(axis=1))


def centred_distance(first: StateArray, second: StateArray, halves: NDArray[np.bool_]) -> float:
    """Return the same distance after centring: each half of the sentences less the means of the other half.

    Means of the same sentences would leave nothing by construction. What is left is what a shift cannot take away, and
    the noise of the means.
    """
    values = []
    for half in (halves, ~halves):
        shift = first[~half].mean(axis=0, dtype=np.float64) - second[~half].mean(axis=0, dtype=np.float64)
        mean = first[half].mean(axis=0, dtype=np.float64) - second[half].mean(axis=0, dtype=np.float64) - shift
        spread = (_around(first[half]) + _around(second[half])).sum() / (2 * (half.sum() - 1))
        values.append(float(np.sqrt(mean @ mean / spread)) if spread > 0 else 0.0)
    return float(np.mean(values))
