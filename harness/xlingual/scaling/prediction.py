"""What a fitted law says about amounts of data: scores and their bootstrap draws."""

import numpy as np

from ..plugin import FloatArray
from .allocation import Laws
from .laws import log_offset
from .points import SizeUnit
from .records import LanguageLaw, LawFit

_LARGEST = 200.0
"""Logarithm of the largest offset."""


def predict(fit: LawFit, law: LanguageLaw, sizes: FloatArray) -> FloatArray:
    """Return the scores of the law at `sizes`, shape (n,), in the unit of the fit."""
    return _predict(fit, law, sizes, *(np.array(value) for value in _values(law)))


def predict_draws(fit: LawFit, law: LanguageLaw, sizes: FloatArray) -> FloatArray:
    """Return the scores of every bootstrap fit, shape (draws, n)."""
    draws = (np.array(each)[:, np.newaxis] for each in (law.draws.alpha, law.draws.beta, law.draws.ceiling))
    return _predict(fit, law, sizes, *draws)


def _predict(
    fit: LawFit, law: LanguageLaw, sizes: FloatArray, alpha: FloatArray, beta: FloatArray, ceiling: FloatArray
) -> FloatArray:
    with np.errstate(divide="ignore"):
        logs = np.log(law.gamma * np.asarray(sizes, dtype=np.float64) / fit.unit_size)
    logs = np.logaddexp(logs, log_offset(np.log(alpha), beta, ceiling, _floor(law)))
    return np.asarray(ceiling - np.exp(np.log(alpha) - beta * logs))


def _floor(law: LanguageLaw) -> FloatArray:
    return np.array(np.nan if law.floor is None else law.floor)


def laws_of_pairs(fit: LawFit, tokens_per_pair: FloatArray) -> tuple[Laws, Laws]:
    """Return the laws as functions of pairs, as fitted, shape (languages,), and drawn, shape (draws, languages).

    `tokens_per_pair`, by language, is only used by a law of tokens.
    """
    scale = np.array([law.gamma for law in fit.laws]) / fit.unit_size
    if fit.unit is SizeUnit.TOKENS:
        scale = scale * tokens_per_pair
    fitted = [np.array(each) for each in zip(*(_values(law) for law in fit.laws), strict=True)]
    drawn = [
        np.array([getattr(law.draws, name) for law in fit.laws], dtype=np.float64).T
        for name in ("alpha", "beta", "ceiling")
    ]
    floors = np.array([float(_floor(law)) for law in fit.laws])
    return _laws(fitted, scale, floors), _laws(drawn, scale, floors)


def _values(law: LanguageLaw) -> tuple[float, float, float]:
    return law.alpha.value, law.beta.value, law.ceiling.value


def _laws(parameters: list[FloatArray], scale: FloatArray, floors: FloatArray) -> Laws:
    alpha, beta, ceiling = parameters
    # No budget reaches what is cut off here: such a law is flat.
    offset = np.exp(np.minimum(log_offset(np.log(alpha), beta, ceiling, floors) - np.log(scale), _LARGEST))
    return Laws(log_alpha=np.asarray(np.log(alpha) - beta * np.log(scale)), beta=beta, ceiling=ceiling, offset=offset)
