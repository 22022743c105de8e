"""The measures by name, and all of them for one layer, beside their shuffled controls."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ...plugin import FloatArray, StateArray
from .effects import Measured, average
from .languages import dimension_scale, probe_accuracy, probe_hits, variance_shares
from .pairs import (
    centred_distance,
    centroid_distance,
    cosine_gap,
    cosine_matrix,
    debiased_cka,
    gram,
    linear_cka,
    ratio_margin,
    retrieval,
)
from .records import MEAN

Bounds = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Measure:
    """What a measure is called, and the values it can have."""

    title: str
    bounds: Bounds
    has_interval: bool = True
    finds_layers: bool = False
    """Whether its highest value tells in which layer languages are most alike."""


SHARE: Bounds = (0.0, 1.0)
MEASURES: Mapping[str, Measure] = {
    "retrieval": Measure("retrieval of translations, cosine", SHARE),
    "retrieval_margin": Measure("retrieval of translations, margin", SHARE, finds_layers=True),
    "retrieval_centred": Measure("retrieval of translations, languages centred", SHARE, finds_layers=True),
    "cosine_translations": Measure("cosine of translations", (-1.0, 1.0)),
    "cosine_others": Measure("cosine of other pairs", (-1.0, 1.0)),
    "cosine_gap": Measure("cosine of translations less that of other pairs", (None, None), finds_layers=True),
    "cka": Measure("linear CKA, debiased", (None, None), finds_layers=True),
    "cka_biased": Measure("linear CKA as published", SHARE, has_interval=False),
    "centroid_distance": Measure("distance of language means, in spreads", (0.0, None)),
    "centroid_distance_centred": Measure("the same after centring", (0.0, None), has_interval=False),
    "language_share": Measure("variance explained by language", (None, None)),
    "sentence_share": Measure("variance explained by the sentence", (None, None)),
    "language_share_scaled": Measure("variance explained by language, dimensions scaled", (None, None)),
    "sentence_share_scaled": Measure(
        "variance explained by the sentence, dimensions scaled", (None, None), finds_layers=True
    ),
    "probe": Measure("language told by a linear probe", SHARE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shuffles:
    """The controls: for each language an order of the sentences, for each sentence one of the languages."""

    sentences: tuple[NDArray[np.intp], ...]
    languages: NDArray[np.intp]
    """(languages, sentences): which language stands in for which."""
    halves: NDArray[np.bool_]
    """The sentences that centring is tried on, in turn with the others."""
    seed: int


def make_shuffles(languages: int, sentences: int, seed: int) -> Shuffles:
    """Return random orders; no sentence stays beside its own translation. There must be more sentences than languages.

    One order, turned by a step of its own for each language: all pairs of languages are out of step.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    order = generator.permutation(sentences)
    steps = [0, *(generator.permutation(sentences - 1)[: languages - 1] + 1).tolist()]
    halves = np.zeros(sentences, dtype=np.bool_)
    halves[generator.permutation(sentences)[: sentences // 2]] = True
    return Shuffles(
        sentences=tuple(np.roll(order, step) for step in steps),
        languages=generator.permuted(np.tile(np.arange(languages)[:, None], (1, sentences)), axis=0),
        halves=halves,
        seed=seed,
    )


@dataclass(frozen=True, slots=True)
class Key:
    """Which curve a value belongs to."""

    measure: str
    scope: str
    shuffled: bool


def measure_layer(vectors: StateArray, codes: tuple[str, ...], shuffles: Shuffles) -> dict[Key, Measured]:
    """Return all measures of one layer, from its vectors (languages, sentences, width)."""
    found: dict[Key, Measured] = {}
    grams = [gram(each) for each in vectors]
    swapped = np.take_along_axis(vectors, shuffles.languages[:, :, None], axis=0)
    for first, second in combinations(range(len(codes)), 2):
        names = codes[first], codes[second]
        for centred in (False, True):
            cosines = cosine_matrix(vectors[first], vectors[second], centred=centred)
            orders = shuffles.sentences[first], shuffles.sentences[second]
            for shuffled, matrix in ((False, cosines), (True, cosines[np.ix_(*orders)])):
                found |= _of_cosines(matrix, names, centred=centred, shuffled=shuffled)
        pair = "-".join(names)
        moved = [grams[each][np.ix_(shuffles.sentences[each], shuffles.sentences[each])] for each in (first, second)]
        for shuffled, (one, two) in ((False, (grams[first], grams[second])), (True, (moved[0], moved[1]))):
            found[Key("cka", pair, shuffled)] = debiased_cka(one, two)
            found[Key("cka_biased", pair, shuffled)] = _constant(linear_cka(one, two), len(one))
        for shuffled, each in ((False, vectors), (True, swapped)):
            found[Key("centroid_distance", pair, shuffled)] = centroid_distance(each[first], each[second])
            distance = centred_distance(each[first], each[second], shuffles.halves)
            found[Key("centroid_distance_centred", pair, shuffled)] = _constant(distance, each.shape[1])
    found |= _of_languages(vectors, swapped, codes, shuffles)
    return found | _means(found)


def _of_cosines(matrix: FloatArray, names: tuple[str, str], *, centred: bool, shuffled: bool) -> dict[Key, Measured]:
    ways = (">".join(names), matrix), (">".join(reversed(names)), matrix.T)
    if centred:
        return {Key("retrieval_centred", scope, shuffled): retrieval(each) for scope, each in ways}
    margins = ratio_margin(matrix)
    found = {Key("retrieval", scope, shuffled): retrieval(each) for scope, each in ways}
    for scope, each in ((ways[0][0], margins), (ways[1][0], margins.T)):
        found[Key("retrieval_margin", scope, shuffled)] = retrieval(each)
    same, others, gap = cosine_gap(matrix)
    pair = "-".join(names)
    found[Key("cosine_translations", pair, shuffled)] = same
    found[Key("cosine_others", pair, shuffled)] = others
    found[Key("cosine_gap", pair, shuffled)] = gap
    return found


def _of_languages(
    vectors: StateArray, swapped: StateArray, codes: tuple[str, ...], shuffles: Shuffles
) -> dict[Key, Measured]:
    moved = np.stack([each[order] for each, order in zip(vectors, shuffles.sentences, strict=True)])
    found: dict[Key, Measured] = {}
    for suffix, scale in (("", None), ("_scaled", dimension_scale(vectors))):
        whole, by_language, by_sentence = (
            variance_shares(each if scale is None else np.asarray(each / scale, dtype=np.float32))
            for each in (vectors, swapped, moved)
        )
        found[Key(f"language_share{suffix}", MEAN, False)] = whole[0]
        found[Key(f"language_share{suffix}", MEAN, True)] = by_language[0]
        found[Key(f"sentence_share{suffix}", MEAN, False)] = whole[1]
        found[Key(f"sentence_share{suffix}", MEAN, True)] = by_sentence[1]
    own = np.tile(np.arange(len(codes))[:, None], (1, vectors.shape[1]))
    right, by_chance = probe_hits(vectors, [own, shuffles.languages], shuffles.seed)
    found[Key("probe", MEAN, False)] = probe_accuracy(right)
    found[Key("probe", MEAN, True)] = probe_accuracy(by_chance)
    for index, code in enumerate(codes):
        found[Key("probe", code, False)] = probe_accuracy(right[index : index + 1])
        found[Key("probe", code, True)] = probe_accuracy(by_chance[index : index + 1])
    return found


def _means(found: Mapping[Key, Measured]) -> dict[Key, Measured]:
    """Return the mean over all pairs, in both directions, of each measure of pairs."""
    parts: dict[Key, list[Measured]] = {}
    for key, measured in found.items():
        if "-" in key.scope or ">" in key.scope:
            parts.setdefault(Key(key.measure, MEAN, key.shuffled), []).append(measured)
    return {key: average(each) for key, each in parts.items()}


def _constant(value: float, sentences: int) -> Measured:
    return Measured(value, np.zeros(sentences))
