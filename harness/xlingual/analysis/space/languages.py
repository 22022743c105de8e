"""Measures of all languages together in one layer: what of the variance is language, and how well it can be read off.

`vectors` are (languages, sentences, width); sentence i is the same one in every language.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...plugin import FloatArray, StateArray
from .effects import Measured, of_deleted, of_mean

FOLDS = 5
FLAT = 1e-4
"""A dimension with less than this share of the spread of a large one is flat: scaled, it would be noise alone."""
LOUD = 0.9
"""The share of dimensions that a map leaves as they are; the others are brought down to the loudest of these."""
RIDGE = 0.1
"""The penalty of the probe, as a share of the mean squared length of a sentence's standardized vector."""


def variance_shares(vectors: StateArray) -> tuple[Measured, Measured]:
    """Return the shares of variance that language explains, and that the sentence does, whatever its language.

    Components of variance of the two-way layout without repeats (Searle 1971), over their sum with the rest: unbiased,
    so that a component that is not there is about zero on either side.
    """
    languages, sentences, _ = vectors.shape
    wide = vectors.astype(np.float64)
    wide -= wide.mean(axis=(0, 1))
    of_language, of_sentence = wide.mean(axis=1), wide.mean(axis=0)
    squares = (wide**2).sum(axis=(0, 2))
    sentence_squares = (of_sentence**2).sum(axis=1)
    sums = _Sums(
        total=squares.sum(),
        by_language=(of_language**2).sum(),
        by_sentence=sentence_squares.sum(),
        grand=np.zeros(()),  # the grand mean is zero here
    )
    value = _shares(sums, languages, sentences)
    # Without sentence m, the mean of a language is (n mean - x) / (n - 1), and so is the grand mean.
    products = np.einsum("lnd,ld->n", wide, of_language)
    language_squares = (sentences**2 * sums.by_language - 2 * sentences * products + squares) / (sentences - 1) ** 2
    without = _Sums(
        total=sums.total - squares,
        by_language=language_squares,
        by_sentence=sums.by_sentence - sentence_squares,
        grand=sentence_squares / (sentences - 1) ** 2,
    )
    deleted = _shares(without, languages, sentences - 1)
    return of_deleted(float(value[0]), deleted[0]), of_deleted(float(value[1]), deleted[1])


def dimension_scale(vectors: StateArray) -> StateArray:
    """Return the standard deviation of every dimension, (width,), infinite for one that varies by rounding alone.

    In middle layers of language models a few dimensions are hundreds of times larger than all others, for some tokens
    only (massive activations, Sun et al. 2024). Their variance hides that of all others: divided by their scale, every
    dimension counts alike.
    """
    spread = vectors.std(axis=(0, 1), dtype=np.float64)
    return np.asarray(np.where(spread > FLAT * np.quantile(spread, 0.9), spread, np.inf), dtype=np.float32)


def loud_scale(vectors: StateArray) -> StateArray:
    """Return by what to divide every dimension, (width,), so that none is louder than most: 1 for all others.

    A few huge dimensions would be the axes of any map. Divided by its own spread, a quiet one would be on the map as
    if it were as loud as the rest: that shows what a layer has made small.
    """
    spread = vectors.std(axis=(0, 1), dtype=np.float64)
    most = float(np.quantile(spread, LOUD))
    return np.asarray(np.maximum(spread / most, 1.0) if most > 0 else np.ones_like(spread), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums of squares: of all vectors, of the means of languages, of those of sentences, of the grand mean."""

    total: FloatArray
    by_language: FloatArray
    by_sentence: FloatArray
    grand: FloatArray


def _shares(sums: _Sums, languages: int, sentences: int) -> tuple[FloatArray, FloatArray]:
    total = sums.total - languages * sentences * sums.grand
    between_languages = sentences * (sums.by_language - languages * sums.grand)
    between_sentences = languages * (sums.by_sentence - sentences * sums.grand)
    rest = total - between_languages - between_sentences
    noise = rest / ((languages - 1) * (sentences - 1))
    language = (between_languages / (languages - 1) - noise) / sentences
    sentence = (between_sentences / (sentences - 1) - noise) / languages
    whole = language + sentence + noise
    known = whole > 0
    safe = np.where(known, whole, 1.0)
    return np.where(known, language / safe, 0.0), np.where(known, sentence / safe, 0.0)


def probe_hits(vectors: StateArray, labels: list[NDArray[np.intp]], seed: int) -> list[NDArray[np.bool_]]:
    """Return which vectors a linear probe gives the right language, (languages, sentences), for each of `labels`.

    Ridge regression on the languages, one against all, in closed form, on standardized dimensions; the highest wins.
    Five-fold: all translations of a sentence are left out together, so that no probe has seen a sentence it judges.
    `labels` are (languages, sentences): the languages themselves, and the shuffled ones of the control.
    """
    languages, sentences, width = vectors.shape
    inputs = vectors.reshape(-1, width).astype(np.float64)
    inputs -= inputs.mean(axis=0)
    inputs /= dimension_scale(vectors)
    penalty = RIDGE * max(float((inputs**2).sum(axis=1).mean()), 1e-12)
    fold = np.random.Generator(np.random.PCG64(seed)).permutation(sentences) % min(FOLDS, sentences)
    folds = np.tile(fold, languages)
    flat = [each.reshape(-1) for each in labels]
    targets = np.concatenate([np.eye(languages)[each] for each in flat], axis=1)
    hits = [np.zeros(len(inputs), dtype=np.bool_) for _ in labels]
    for number in range(fold.max() + 1):
        inside, outside = folds != number, folds == number
        scores = _ridge(inputs[inside], targets[inside], inputs[outside], penalty)
        for index, each in enumerate(flat):
            own = scores[:, index * languages : (index + 1) * languages]
            hits[index][outside] = own.argmax(axis=1) == each[outside]
    return [each.reshape(languages, sentences) for each in hits]


def _ridge(inputs: FloatArray, targets: FloatArray, asked: FloatArray, penalty: float) -> FloatArray:
    """Return the predictions for `asked`; with weights or with their dual, whichever has fewer unknowns."""
    mean_input, mean_target = inputs.mean(axis=0), targets.mean(axis=0)
    inputs, targets, asked = inputs - mean_input, targets - mean_target, asked - mean_input
    count, width = inputs.shape
    if width <= count:
        weights = np.linalg.solve(inputs.T @ inputs + penalty * np.eye(width), inputs.T @ targets)
        return np.asarray(asked @ weights + mean_target)
    dual = np.linalg.solve(inputs @ inputs.T + penalty * np.eye(count), targets)
    return np.asarray((asked @ inputs.T) @ dual + mean_target)


def probe_accuracy(hits: NDArray[np.bool_]) -> Measured:
    """Return the share of right languages from (languages, sentences) hits."""
    return of_mean(hits.mean(axis=0, dtype=np.float64))
