"""The translation scaling law: how a score grows with the amount of translation data.

    S(X) = C - alpha * (gamma * X / U) ** -beta

C is the ceiling, alpha the points that are missing at U units of data (U is a round size near the middle of what was
measured), beta how fast the rest closes, gamma the similarity of a language to English. Where the untuned model was
scored, its score F is the law's value at no data:

    S(X) = C - alpha * (gamma * X / U + x0) ** -beta,    x0 = (alpha / (C - F)) ** (1 / beta)

so that S lies between F and C. With much data it is the law above. Without such a score x0 is 0.

A saturating power law is usual for transfer (Hestness et al. 2017; Hernandez et al. 2021). Zhu et al. 2023 fit a law of
data size, similarity and two parameters; their formula is not public here, and this one is not theirs.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ..plugin import FloatArray

TOP = 100.0
"""The highest score there is."""
_LOG_ALPHA = (-12.0, 9.0)
_LOG_BETA = (-6.0, 1.8)
"""Rates from 0.0025 (flat over any range) to 6 (all at once)."""
_LOGIT_CEILING = (-5.0, 10.0)
_LEAST_RISE = 1e-3
"""Points between floor and ceiling, at least: what is searched may not fall below the floor."""


def log_offset(log_alpha: FloatArray, beta: FloatArray, ceiling: FloatArray, floor: FloatArray) -> FloatArray:
    """Return log x0, of the shape of all four together; -inf where there is no floor (NaN)."""
    rise = np.log(np.maximum(ceiling - np.where(np.isnan(floor), 0.0, floor), _LEAST_RISE))
    return np.asarray(np.where(np.isnan(floor), -np.inf, (log_alpha - rise) / beta))


class Ties(StrEnum):
    """Whether a parameter of the laws is given, one for all languages, or one of each language."""

    FIXED = "fixed"
    SHARED = "shared"
    OWN = "own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One form of the law: which parameters each language has of its own."""

    alpha: Ties
    beta: Ties
    ceiling: Ties
    """FIXED: at 100."""
    similarity: bool
    """Whether gamma is the given similarity; else it is 1. Only with a shared alpha, an own one would absorb it."""

    @property
    def name(self) -> str:
        """As in "alpha=own beta=shared ceiling=fixed gamma=1"."""
        return self.name_with("similarity")

    def name_with(self, similarity: str | None) -> str:
        """Return the name where gamma is from the table that is called `similarity`."""
        gamma = similarity if self.similarity else "1"
        return f"alpha={self.alpha} beta={self.beta} ceiling={self.ceiling} gamma={gamma}"

    @property
    def separable(self) -> bool:
        """Whether each language can be fitted by itself."""
        return Ties.SHARED not in (self.alpha, self.beta, self.ceiling)

    def count(self, languages: int) -> int:
        """Return the number of parameters for so many languages."""
        sizes = {Ties.FIXED: 0, Ties.SHARED: 1, Ties.OWN: languages}
        return sizes[self.alpha] + sizes[self.beta] + sizes[self.ceiling]


def all_variants(languages: int, *, similarity: bool) -> list[Variant]:
    """Return the forms that differ for so many languages; with one, nothing can be shared."""
    if languages == 1:
        ceilings = (Ties.FIXED, Ties.OWN)
        return [Variant(alpha=Ties.OWN, beta=Ties.OWN, ceiling=each, similarity=False) for each in ceilings]
    return [
        Variant(alpha=alpha, beta=beta, ceiling=ceiling, similarity=gamma)
        for alpha in (Ties.OWN, Ties.SHARED)
        for beta in (Ties.OWN, Ties.SHARED)
        for ceiling in (Ties.FIXED, Ties.SHARED, Ties.OWN)
        for gamma in ((False, True) if similarity and alpha is Ties.SHARED else (False,))
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LawCurve:
    """The law at the measurements of one or more languages, as a `Curve` of well-scaled parameters.

    The parameters are log alpha, log beta and the logit of C / 100, each once or once a language, in this order.
    """

    log_sizes: FloatArray
    """log(gamma X / U) of each measurement, shape (n,)."""
    languages: NDArray[np.intp]
    """The language of each measurement, counted from 0; shape (n,)."""
    count: int
    """Languages."""
    variant: Variant
    floors: "FloatArray | None" = None
    """Scores without data, shape (count,), NaN where not known; None: of no language."""

    @property
    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Wide enough for any curve that can be seen in scores from 0 to 100."""
        pairs = [_LOG_ALPHA] * self._widths[0] + [_LOG_BETA] * self._widths[1] + [_LOGIT_CEILING] * self._widths[2]
        low, high = zip(*pairs, strict=True)
        return np.array(low), np.array(high)

    def values(self, parameters: FloatArray) -> FloatArray:
        """Return the scores that the law gives, (..., k) to (..., n)."""
        return self._ceilings(parameters) - self._gaps(parameters)[0]

    def slopes(self, parameters: FloatArray) -> FloatArray:
        """Return the derivatives by the parameters, (..., k) to (..., n, k)."""
        gaps, logs, offsets, weights = self._gaps(parameters)
        slopes: FloatArray = np.zeros((*gaps.shape, parameters.shape[-1]))
        rows = np.arange(len(self.languages))
        places = self._places
        slopes[..., rows, places[0]] = -gaps * (1.0 - weights)
        beta = np.exp(parameters[..., places[1]])
        slopes[..., rows, places[1]] = gaps * beta * (logs - weights * np.where(weights > 0, offsets, 0.0))
        if self._widths[2]:
            ceilings = self._ceilings(parameters)
            share = ceilings / TOP
            rise = np.maximum(ceilings - np.nan_to_num(self._floors), _LEAST_RISE)
            slopes[..., rows, places[2]] = TOP * share * (1.0 - share) * (1.0 - weights * gaps / rise)
        return slopes

    def unpack(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return alpha, beta and ceiling of each language: (..., k) to three of (..., count)."""
        first, second, third = (np.minimum(np.arange(self.count), width - 1) for width in self._widths)
        ends = np.cumsum(self._widths)
        alpha = np.exp(parameters[..., first])
        beta = np.exp(parameters[..., ends[0] + second])
        if not self._widths[2]:
            return alpha, beta, np.full_like(alpha, TOP)
        return alpha, beta, TOP / (1.0 + np.exp(-parameters[..., ends[1] + third]))

    def starts(self, scores: FloatArray) -> FloatArray:
        """Return first guesses, shape (guesses, k): several rates, and ceilings near the best score and far above."""
        best: FloatArray = np.full(self.count, -np.inf)
        np.maximum.at(best, self.languages, scores)
        guesses = []
        for room in (0.05, 0.3, 0.8) if self._widths[2] else (1.0,):
            ceiling = best + np.maximum(room * (TOP - best), 0.1)
            for beta in (0.1, 0.3, 0.8):
                gaps = np.maximum(ceiling[self.languages] - scores, 0.05)
                heights = np.log(gaps) + beta * self.log_sizes
                totals = np.bincount(self.languages, weights=heights, minlength=self.count)
                alpha = totals / np.bincount(self.languages, minlength=self.count)
                share = np.clip(ceiling / TOP, 0.01, 0.999)
                parts = (alpha, np.full(self.count, np.log(beta)), np.log(share / (1.0 - share)))
                guesses.append(
                    np.concatenate([_tie(part, width) for part, width in zip(parts, self._widths, strict=True)])
                )
        low, high = self.bounds
        return np.asarray(np.clip(np.array(guesses), low, high), dtype=np.float64)

    @property
    def _widths(self) -> tuple[int, int, int]:
        sizes = {Ties.FIXED: 0, Ties.SHARED: 1, Ties.OWN: self.count}
        return sizes[self.variant.alpha], sizes[self.variant.beta], sizes[self.variant.ceiling]

    @property
    def _places(self) -> list[NDArray[np.intp]]:
        """Where the alpha, the beta and the ceiling of each measurement stand among the parameters."""
        places, before = [], 0
        for width in self._widths:
            places.append(before + (self.languages if width == self.count else np.zeros_like(self.languages)))
            before += width
        return places

    @property
    def _floors(self) -> FloatArray:
        """The floor of each measurement, (n,); NaN where there is none."""
        return np.full(len(self.languages), np.nan) if self.floors is None else self.floors[self.languages]

    def _gaps(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return the missing points, log(x + x0), log x0, and the share of x0 in x + x0; each (..., n)."""
        alpha, beta, _ = self._places
        log_alpha, rate = parameters[..., alpha], np.exp(parameters[..., beta])
        offsets = log_offset(log_alpha, rate, self._ceilings(parameters), self._floors)
        logs = np.logaddexp(self.log_sizes, offsets)
        gaps: FloatArray = np.exp(log_alpha - rate * logs)
        return gaps, logs, offsets, np.exp(offsets - logs)

    def _ceilings(self, parameters: FloatArray) -> FloatArray:
        if not self._widths[2]:
            return np.full((*parameters.shape[:-1], len(self.languages)), TOP)
        ceilings: FloatArray = TOP / (1.0 + np.exp(-parameters[..., self._places[2]]))
        return ceilings


def _tie(own: FloatArray, width: int) -> FloatArray:
    """Return one value a language as `width` parameters: all of them, their mean, or none."""
    return own if width == len(own) else np.full(width, own.mean())
