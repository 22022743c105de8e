"""Robust least squares of curves: one fit with care, and thousands of refits at once for the bootstrap.

The loss is soft_l1, sum of 2 c^2 (sqrt(1 + (r/c)^2) - 1): squares for residuals well below c, absolute values beyond,
so that one broken run does not bend a curve. The careful fit ends in scipy's `least_squares`; the refits are damped
Gauss-Newton steps on all resamples together (Levenberg 1944; Marquardt 1963), started at the careful fit.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import EnvironmentFault, XlingualError
from ..plugin import FloatArray

SOFTNESS = 2.5
"""c, in standard deviations of the noise: near 1 it ignores much, and far above 3 it protects from nothing."""
_ROUNDS = 8
"""Fits, at most, until the softness settles."""
_SETTLED = 0.05
"""Share of the softness: when a fit changes it by less, it has settled."""
_STEPS = 60
_STEP = 1e-5
"""Of a parameter, all of them logarithms: when a refit moves less it is done, far below what any interval shows."""
_CELLS = 2_000_000
"""Numbers of one stack of slopes held at once, so that memory does not grow with languages and resamples."""
_LEAST_SOFTNESS = 1e-6
"""In points: scores that follow a curve exactly are no reason to divide by nothing."""
_LEAST_FREEDOM = 0.5
_NORMAL_MAD = 1.4826
"""Standard deviations of a normal distribution in a median absolute deviation."""


class Curve(Protocol):
    """A function with parameters, evaluated at the sizes of fixed measurements."""

    @property
    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest value of each parameter, shape (k,) each."""
        ...

    def values(self, parameters: FloatArray) -> FloatArray:
        """Return the curve at every measurement: parameters (..., k) to values (..., n)."""
        ...

    def slopes(self, parameters: FloatArray) -> FloatArray:
        """Return the derivatives by the parameters: (..., k) to (..., n, k)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """The robust fit of a curve."""

    parameters: FloatArray
    """Shape (k,)."""
    residuals: FloatArray
    """Measured minus fitted, times the weight; shape (n,)."""
    softness: float
    """The c of the loss, in units of the weighted residuals."""
    freedom: float
    """Degrees of freedom of the residuals: measurements, each counted by how much of its pull soft_l1 leaves it, less
    parameters; never below 1/2."""
    noise: float
    """Standard deviation of the weighted residuals with that freedom."""


def fit_curve(curve: Curve, scores: FloatArray, weights: FloatArray, starts: FloatArray) -> Solution:
    """Return the robust fit of `curve` to `scores`, shape (n,), from the best of `starts`, shape (starts, k).

    The softness follows from the residuals themselves: plain squares first, then c from the median absolute residual of
    the fit before, until it settles.
    """
    softness = np.inf
    parameters = starts
    for _ in range(_ROUNDS):
        stack = np.broadcast_to(scores, (len(parameters), len(scores)))
        tried = refit(curve, stack, weights, parameters, softness)
        costs = _cost((stack - curve.values(tried)) * weights, softness)
        best = _polish(curve, scores, weights, tried[int(np.argmin(costs))], softness)
        residuals = (scores - curve.values(best)) * weights
        parameters = best[np.newaxis]
        before, softness = softness, robust_softness(residuals, len(best))
        if abs(before - softness) < _SETTLED * softness:
            break
    freedom = max(float(_pull(residuals, softness).sum()) - len(best), _LEAST_FREEDOM)
    noise = float(np.sqrt(np.sum(residuals**2) / freedom))
    return Solution(parameters=best, residuals=residuals, softness=softness, freedom=freedom, noise=noise)


def refit(curve: Curve, scores: FloatArray, weights: FloatArray, starts: FloatArray, softness: float) -> FloatArray:
    """Return the fits, shape (m, k), of m score vectors, shape (m, n), each from its own start or from one for all."""
    begin = np.broadcast_to(starts, (len(scores), starts.shape[-1]))
    at_once = max(1, _CELLS // (scores.shape[1] * starts.shape[-1]))
    parts = [
        _refit_stack(curve, scores[first : first + at_once], weights, begin[first : first + at_once].copy(), softness)
        for first in range(0, len(scores), at_once)
    ]
    return np.concatenate(parts)


def robust_softness(residuals: FloatArray, parameters: int) -> float:
    """Return c for the residuals of a fit of so many parameters, from their median absolute value."""
    free = max(len(residuals) - parameters, 1)
    spread = float(np.median(np.abs(residuals))) * _NORMAL_MAD * (len(residuals) / free) ** 0.5
    return float(max(SOFTNESS * spread, _LEAST_SOFTNESS))


def robust_sum(residuals: FloatArray, softness: float) -> FloatArray:
    """Return the soft_l1 counterpart of the sum of squares over the last axis."""
    return _cost(residuals, softness)


def _refit_stack(
    curve: Curve, scores: FloatArray, weights: FloatArray, parameters: FloatArray, softness: float
) -> FloatArray:
    low, high = curve.bounds
    damping = np.full(len(scores), 1e-3)
    residuals = (scores - curve.values(parameters)) * weights
    costs = _cost(residuals, softness)
    open_rows: NDArray[np.intp] = np.arange(len(scores))
    for _ in range(_STEPS):
        here = parameters[open_rows]
        slopes = curve.slopes(here) * weights[:, np.newaxis]
        pull = _pull(residuals[open_rows], softness)
        step = _damped_step(slopes, residuals[open_rows], pull, damping[open_rows])
        there = np.clip(here + step, low, high)
        new_residuals = (scores[open_rows] - curve.values(there)) * weights
        new_costs = _cost(new_residuals, softness)
        better = new_costs <= costs[open_rows]
        moved = np.abs(there - here).max(axis=1)
        taken = open_rows[better]
        parameters[taken], residuals[taken], costs[taken] = there[better], new_residuals[better], new_costs[better]
        damping[open_rows] = np.where(better, damping[open_rows] * 0.2, damping[open_rows] * 8.0).clip(1e-12, 1e12)
        done = (better & (moved < _STEP)) | (damping[open_rows] >= 1e11)
        open_rows = open_rows[~done]
        if not open_rows.size:
            break
    return parameters


def _damped_step(slopes: FloatArray, residuals: FloatArray, pull: FloatArray, damping: FloatArray) -> FloatArray:
    weighted = slopes * pull[..., np.newaxis]
    across = np.swapaxes(weighted, -1, -2)
    normal = across @ slopes
    gradient = (across @ residuals[..., np.newaxis])[..., 0]
    diagonal = np.einsum("...ii->...i", normal)
    diagonal += damping[:, np.newaxis] * (diagonal + 1e-10) + 1e-12
    return np.asarray(np.linalg.solve(normal, gradient[..., np.newaxis])[..., 0], dtype=np.float64)


def _pull(residuals: FloatArray, softness: float) -> FloatArray:
    """Return how much of a residual's pull under squares soft_l1 leaves it."""
    return np.ones_like(residuals) if np.isinf(softness) else 1.0 / np.sqrt(1.0 + (residuals / softness) ** 2)


def _cost(residuals: FloatArray, softness: float) -> FloatArray:
    squares = residuals**2
    if not np.isinf(softness):
        squares = 2.0 * squares / (1.0 + np.sqrt(1.0 + squares / softness**2))
    return np.asarray(squares.sum(axis=-1))


def _polish(curve: Curve, scores: FloatArray, weights: FloatArray, start: FloatArray, softness: float) -> FloatArray:
    try:
        from scipy.optimize import least_squares  # noqa: PLC0415 (only a fit needs scipy)
    except ImportError as error:
        hint = "pip install 'xlingual[scale]'"
        raise EnvironmentFault("scipy is not installed, and laws are fitted with it", hint=hint) from error
    low, high = curve.bounds
    margin = 1e-9 * (high - low)
    found = least_squares(
        lambda theta: (curve.values(theta) - scores) * weights,
        np.clip(start, low + margin, high - margin),
        jac=lambda theta: curve.slopes(theta) * weights[:, np.newaxis],
        bounds=(low, high),
        loss="linear" if np.isinf(softness) else "soft_l1",
        f_scale=1.0 if np.isinf(softness) else softness,
        xtol=1e-12,
        ftol=1e-12,
        gtol=1e-12,
        max_nfev=200,
    )
    if not np.isfinite(found.x).all():
        raise XlingualError("a fit went astray: its parameters are not finite")
    return np.asarray(found.x)
