"""What a fitted law says about amounts of data: scores and their bootstrap draws."""

import numpy as np

from ..plugin import FloatArray
from .allocation import Laws
from .points import SizeUnit
from .records import LanguageLaw, LawFit


def predict(fit: LawFit, law: LanguageLaw, sizes: FloatArray) -> FloatArray:
    """Return the scores of the law at `sizes`, shape (n,), in the unit of the fit."""
    x = law.gamma * sizes / fit.unit_size
    return np.asarray(law.ceiling.value - law.alpha.value * x**-law.beta.value)


def predict_draws(fit: LawFit, law: LanguageLaw, sizes: FloatArray) -> FloatArray:
    """Return the scores of every bootstrap fit, shape (draws, n)."""
    x = law.gamma * sizes / fit.unit_size
    alpha, beta, ceiling = (
        np.array(each)[:, np.newaxis] for each in (law.draws.alpha, law.draws.beta, law.draws.ceiling)
    )
    return np.asarray(ceiling - alpha * x**-beta)


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
    return _laws(fitted, scale), _laws(drawn, scale)


def _values(law: LanguageLaw) -> tuple[float, float, float]:
    return law.alpha.value, law.beta.value, law.ceiling.value


def _laws(parameters: list[FloatArray], scale: FloatArray) -> Laws:
    alpha, beta, ceiling = parameters
    return Laws(log_alpha=np.asarray(np.log(alpha) - beta * np.log(scale)), beta=beta, ceiling=ceiling)
