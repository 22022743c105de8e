"""What the layers would predict: in which language, and how alike for a sentence and its translation."""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ...plugin import FloatArray, LogitLens, TokenArray
from .collection import Collected
from .effects import Measured, average, draw_weights, intervals, of_mean
from .records import MEAN, Decoded, LayerCurve, LensRecord
from .token_language import OTHER, UNDECIDED, TokenLanguages, learn_languages, try_identification

OVERLAP = "prediction_overlap"


def decode_layers(
    collected: Collected,
    codes: tuple[str, ...],
    text_of: Callable[[Sequence[int]], str],
    lens: LogitLens,
    seed: int,
) -> LensRecord | None:
    """Return what the lens shows; None where the model has none."""
    predictions = collected.predictions
    if predictions is None:
        return None
    sentences = predictions.shape[2]
    generator = np.random.Generator(np.random.PCG64(seed))
    swapped = generator.permuted(np.tile(np.arange(len(codes))[:, None], (1, sentences)), axis=0)
    told = _languages(predictions, learn_languages(codes, collected.ids, text_of), codes)
    mixed = np.take_along_axis(told, swapped[None, :, :, None, None], axis=1)
    return LensRecord(
        sentences=sentences,
        positions=lens.positions,
        top_k=predictions.shape[-1],
        decoded=tuple(
            each
            for best in (1, predictions.shape[-1])
            for shuffled, languages in ((False, told), (True, mixed))
            for each in _decoded(languages[..., :best], codes, shuffled=shuffled)
        ),
        overlap=_overlap_curves(predictions, codes, seed),
        identification=try_identification(codes, collected.ids, text_of),
    )


def _languages(tokens: TokenArray, languages: TokenLanguages, codes: tuple[str, ...]) -> NDArray[np.intp]:
    """Return the language of every token as its place in codes, other and undecided."""
    places = {name: place for place, name in enumerate((*codes, OTHER, UNDECIDED))}
    unique, inverse = np.unique(tokens, return_inverse=True)
    told = np.array([places[languages.of(int(token))] for token in unique], dtype=np.intp)
    return np.asarray(told[inverse].reshape(tokens.shape), dtype=np.intp)


def _decoded(told: NDArray[np.intp], codes: tuple[str, ...], *, shuffled: bool) -> list[Decoded]:
    """`told` is (layers + 1, languages, sentences, positions, best)."""
    names = (*codes, OTHER, UNDECIDED)
    return [
        Decoded(
            language=code,
            best=told.shape[-1],
            shuffled=shuffled,
            shares={
                name: tuple((told[:, index] == place).mean(axis=(1, 2, 3)).tolist()) for place, name in enumerate(names)
            },
        )
        for index, code in enumerate(codes)
    ]


def _overlap_curves(predictions: TokenArray, codes: tuple[str, ...], seed: int) -> tuple[LayerCurve, ...]:
    sentences = predictions.shape[2]
    weights = draw_weights(sentences, seed)
    curves: list[LayerCurve] = []
    # Sentences of the second language are moved on by one for the control.
    for shuffled in (False, True):
        by_pair = {}
        for first, second in combinations(range(len(codes)), 2):
            other = predictions[:, second]
            shared = _shared(predictions[:, first], np.roll(other, 1, axis=1) if shuffled else other)
            by_pair[f"{codes[first]}-{codes[second]}"] = [of_mean(layer) for layer in shared]
        layers = range(len(predictions))
        by_pair[MEAN] = [average([each[layer] for each in by_pair.values()]) for layer in layers]
        curves += [_curve(scope, each, weights, shuffled=shuffled) for scope, each in by_pair.items()]
    return tuple(curves)


def _shared(first: TokenArray, second: TokenArray) -> FloatArray:
    """Return the share of tokens that two languages have in common, (layers, sentences), the mean over positions."""
    equal = (first[..., :, None] == second[..., None, :]).sum(axis=(-1, -2))
    return np.asarray((equal / first.shape[-1]).mean(axis=-1), dtype=np.float64)


def _curve(scope: str, layers: list[Measured], weights: FloatArray, *, shuffled: bool) -> LayerCurve:
    values = np.array([each.value for each in layers])
    low, high = intervals(values, np.stack([each.effects for each in layers]), weights, (0.0, 1.0))
    return LayerCurve(
        measure=OVERLAP,
        pooling="none",
        scope=scope,
        shuffled=shuffled,
        values=tuple(values.tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )
