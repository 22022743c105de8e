"""Measures with what each sentence adds to them, and intervals by resampling sentences.

A measure of n parallel sentences comes with n effects: how far each sentence moves it. Of a mean, the effect of a
sentence is its value less the mean. Of anything else it is the jackknife's, from the measure without that sentence
(Efron and Tibshirani 1993, chapter 11). A resample of sentences then costs one product of weights and effects. It is
also the only fair one: drawn twice, a sentence would be its own translation, and every measure of likeness would rise.

Translations of one sentence are drawn together, so that effects of several pairs of languages add up.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from ...plugin import FloatArray
from ...statistics.quantiles import LEVEL, TAIL, normal_share, t_quantile

RESAMPLES = 1000
FEWEST_SENTENCES = 8
_LEVEL = (100.0 - LEVEL) / 100.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A measure, and what each sentence adds to it."""

    value: float
    effects: FloatArray
    """(sentences,), with a mean of zero."""


def of_mean(values: FloatArray) -> Measured:
    """Return the mean of a value for each sentence."""
    mean = float(values.mean())
    return Measured(mean, np.asarray(values - mean, dtype=np.float64))


def of_deleted(value: float, deleted: FloatArray) -> Measured:
    """Return a measure from its `value` on all sentences, and `deleted`, (sentences,): without one of them each."""
    effects = (len(deleted) - 1) * (value - deleted)
    return Measured(value, np.asarray(effects - effects.mean(), dtype=np.float64))


def average(parts: list[Measured]) -> Measured:
    """Return the mean of several measures of the same sentences."""
    effects: FloatArray = np.mean([each.effects for each in parts], axis=0)
    return Measured(float(np.mean([each.value for each in parts])), effects)


def draw_weights(sentences: int, seed: int) -> FloatArray:
    """Return how often each sentence is in each resample, (resamples, sentences), over the number of sentences."""
    generator = np.random.Generator(np.random.PCG64(seed))
    counts = generator.multinomial(sentences, np.full(sentences, 1.0 / sentences), size=RESAMPLES)
    return np.asarray(counts / sentences, dtype=np.float64)


def intervals(
    values: FloatArray, effects: FloatArray, weights: FloatArray, bounds: tuple[float | None, float | None]
) -> tuple[FloatArray, FloatArray]:
    """Return the ends of the 95% intervals of `values`, (layers,), from `effects`, (layers, sentences).

    Percentiles of the resamples, expanded for few sentences as in `statistics.resampling`. Of a share at one of its
    bounds no resample differs: there the end is that of Clopper and Pearson's interval.
    """
    count = effects.shape[1]
    tail = 100 * normal_share(-sqrt(count / (count - 1)) * t_quantile(1 - TAIL, count - 1))
    drawn = values[:, None] + effects @ weights.T
    low, high = np.percentile(drawn, [tail, 100.0 - tail], axis=1)
    floor, ceiling = bounds
    if floor is not None and ceiling is not None:
        unseen = (ceiling - floor) * (1 - TAIL ** (1 / count))
        still = np.abs(effects).max(axis=1) < _ROUNDING
        low = np.where(still & (values >= ceiling - _ROUNDING), ceiling - unseen, low)
        high = np.where(still & (values <= floor + _ROUNDING), floor + unseen, high)
    return np.clip(low, floor, ceiling), np.clip(high, floor, ceiling)


def certain_from_zero(values: FloatArray, effects: FloatArray) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Return in which layers a difference is more than noise, with so many layers looked at: t, after Bonferroni."""
    layers, count = effects.shape
    reach = t_quantile(1 - _LEVEL / (2 * layers), count - 1) * effects.std(axis=1, ddof=1) / sqrt(count)
    return np.asarray(np.abs(values) > np.maximum(reach, _ROUNDING))


_ROUNDING = 1e-9
