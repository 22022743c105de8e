"""Measures against brute force: loops over sentences, and each measure computed anew without one of them."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from xlingual.analysis.space.effects import Measured, draw_weights, intervals
from xlingual.analysis.space.languages import RIDGE, probe_hits, variance_shares
from xlingual.analysis.space.measures import MEASURES, Key, make_shuffles, measure_layer
from xlingual.analysis.space.pairs import (
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

Vectors = NDArray[np.float32]
SENTENCES, WIDTH = 14, 9


@pytest.fixture
def vectors() -> Vectors:
    """Three languages of one meaning, each with an offset and noise of its own."""
    generator = np.random.default_rng(3)
    meaning = generator.normal(size=(1, SENTENCES, WIDTH))
    offset, noise = generator.normal(size=(3, 1, WIDTH)), generator.normal(size=(3, SENTENCES, WIDTH))
    return np.asarray(meaning + 2 * offset + 0.8 * noise, dtype=np.float32)


def _cosine(one: Vectors, two: Vectors) -> float:
    return float(one @ two / np.sqrt((one @ one) * (two @ two)))


def test_cosines_and_retrieval_by_loops(vectors: Vectors) -> None:
    first, second = vectors[0].astype(np.float64), vectors[1].astype(np.float64)
    expected = np.array([[_cosine(one, two) for two in second] for one in first])
    cosines = cosine_matrix(vectors[0], vectors[1], centred=False)
    np.testing.assert_allclose(cosines, expected, atol=1e-12)
    hits = [max(range(SENTENCES), key=lambda j: expected[i, j]) == i for i in range(SENTENCES)]
    assert retrieval(cosines).value == pytest.approx(np.mean(hits))
    centred = cosine_matrix(vectors[0], vectors[1], centred=True)
    moved = first - first.mean(0), second - second.mean(0)
    assert centred[2, 5] == pytest.approx(_cosine(moved[0][2], moved[1][5]))


def test_margin_by_loops(vectors: Vectors) -> None:
    cosines = cosine_matrix(vectors[0], vectors[2], centred=False)
    margins = ratio_margin(cosines)
    for i in range(SENTENCES):
        for j in range(SENTENCES):
            near = sorted(cosines[i])[-4:], sorted(cosines[:, j])[-4:]
            mean = sum(near[0]) / 8 + sum(near[1]) / 8
            assert margins[i, j] == pytest.approx(cosines[i, j] / mean if mean > 0 else -np.inf)


def test_margin_by_hand() -> None:
    # Sentence 0 is near everything: by cosine it is the translation of sentence 1, by margin it is not.
    cosines = np.array([[0.99, 0.90], [0.95, 0.92]])
    assert retrieval(cosines).value == 0.5
    assert retrieval(np.array([[0.9, 0.5], [0.9, 0.9]])).value == 0.75  # two equals: half a hit
    assert retrieval(np.zeros((5, 5))).value == pytest.approx(0.2)  # all alike: chance
    assert (ratio_margin(-np.ones((3, 3))) == -np.inf).all()
    assert retrieval(ratio_margin(-np.ones((3, 3)))).value == pytest.approx(1 / 3)


def test_vectors_of_zeros_are_like_nothing() -> None:
    zeros = np.zeros((6, 4), dtype=np.float32)
    assert (cosine_matrix(zeros, zeros, centred=False) == 0).all()
    assert debiased_cka(gram(zeros), gram(zeros)).value == 0.0
    assert linear_cka(gram(zeros), gram(zeros)) == 0.0
    assert centroid_distance(zeros, zeros).value == 0.0
    assert [each.value for each in variance_shares(np.zeros((3, 6, 4), dtype=np.float32))] == [0.0, 0.0]


def _hsic(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """The unbiased estimate as Song et al. 2012 write it, equation 4, with matrices."""
    n = len(one)
    k, m = one - np.diag(np.diag(one)), two - np.diag(np.diag(two))
    ones = np.ones(n)
    parts = np.trace(k @ m) + (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
    return float(parts - 2 / (n - 2) * (ones @ k @ m @ ones)) / (n * (n - 3))


def _cka(first: Vectors, second: Vectors) -> float:
    one, two = gram(first), gram(second)
    return _hsic(one, two) / float(np.sqrt(_hsic(one, one) * _hsic(two, two)))


def test_cka(vectors: Vectors) -> None:
    one, two = (each.astype(np.float64) - each.mean(0, dtype=np.float64) for each in vectors[:2])
    norm = np.linalg.norm
    kornblith = norm(two.T @ one) ** 2 / (norm(one.T @ one) * norm(two.T @ two))
    assert linear_cka(gram(vectors[0]), gram(vectors[1])) == pytest.approx(kornblith)
    assert debiased_cka(gram(vectors[0]), gram(vectors[1])).value == pytest.approx(_cka(*vectors[:2]))
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(WIDTH, WIDTH)))[0]
    same = debiased_cka(gram(vectors[0]), gram((5 * vectors[0] @ turned).astype(np.float32)))
    assert same.value == pytest.approx(1.0, abs=1e-5)


def test_cka_of_unrelated_wide_vectors() -> None:
    one, two = np.random.default_rng(5).normal(size=(2, 40, 400)).astype(np.float32)
    assert linear_cka(gram(one), gram(two)) > 0.5  # the known bias
    assert abs(debiased_cka(gram(one), gram(two)).value) < 0.1


def test_cosine_gap_by_loops(vectors: Vectors) -> None:
    cosines = cosine_matrix(vectors[0], vectors[1], centred=False)
    same, others, gap = cosine_gap(cosines)
    apart = [cosines[i, j] for i in range(SENTENCES) for j in range(SENTENCES) if i != j]
    assert same.value == pytest.approx(np.mean(np.diag(cosines)))
    assert others.value == pytest.approx(np.mean(apart))
    assert gap.value == pytest.approx(same.value - others.value)


def _spread(*languages: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean([((each - each.mean(0)) ** 2).sum() / (len(each) - 1) for each in languages])))


def test_centroid_distance(vectors: Vectors) -> None:
    first, second = vectors[0].astype(np.float64), vectors[1].astype(np.float64)
    expected = np.linalg.norm(first.mean(0) - second.mean(0)) / _spread(first, second)
    assert centroid_distance(vectors[0], vectors[1]).value == pytest.approx(expected)
    half = np.arange(SENTENCES) % 2 == 0
    values = []
    for inside in (half, ~half):
        one, two = first[inside] - first[~inside].mean(0), second[inside] - second[~inside].mean(0)
        values.append(np.linalg.norm(one.mean(0) - two.mean(0)) / _spread(one, two))
    assert centred_distance(vectors[0], vectors[1], half) == pytest.approx(np.mean(values))


def _shares(vectors: Vectors) -> tuple[float, float]:
    """Components of variance from the mean squares of the textbook's table."""
    wide = vectors.astype(np.float64)
    languages, sentences, _ = wide.shape
    grand = wide.mean((0, 1))
    by_language, by_sentence = wide.mean(1), wide.mean(0)
    rest = wide - by_language[:, None] - by_sentence[None] + grand
    noise = (rest**2).sum() / ((languages - 1) * (sentences - 1))
    language = (sentences * ((by_language - grand) ** 2).sum() / (languages - 1) - noise) / sentences
    sentence = (languages * ((by_sentence - grand) ** 2).sum() / (sentences - 1) - noise) / languages
    return language / (language + sentence + noise), sentence / (language + sentence + noise)


def test_variance_shares(vectors: Vectors) -> None:
    found = variance_shares(vectors)
    assert [each.value for each in found] == pytest.approx(_shares(vectors))
    neutral = np.repeat(vectors[:1], 3, axis=0)
    assert [each.value for each in variance_shares(neutral)] == pytest.approx([0.0, 1.0], abs=1e-6)


def test_one_huge_dimension_hides_all_others_unless_scaled(vectors: Vectors) -> None:
    huge = vectors.copy()
    huge[:, 3, 0] += 5000  # one sentence, in all languages
    assert variance_shares(huge)[0].value < 0.01 < 0.3 < variance_shares(vectors)[0].value
    found = measure_layer(huge, ("en", "el", "zh"), make_shuffles(3, SENTENCES, seed=0))
    assert found[Key("language_share", "mean", False)].value < 0.01
    plain = huge[..., 1:] / huge[..., 1:].std(axis=(0, 1))
    expected = _shares(np.concatenate([huge[..., :1] / huge[..., :1].std(), plain], axis=2))
    assert found[Key("language_share_scaled", "mean", False)].value == pytest.approx(expected[0], abs=1e-4)
    assert found[Key("sentence_share_scaled", "mean", False)].value == pytest.approx(expected[1], abs=1e-4)
    assert expected[0] > 0.3


DELETED: dict[str, tuple[Callable[[Vectors], Measured], Callable[[Vectors], float]]] = {
    "cka": (lambda v: debiased_cka(gram(v[0]), gram(v[1])), lambda v: _cka(v[0], v[1])),
    "others": (
        lambda v: cosine_gap(cosine_matrix(v[0], v[1], centred=False))[1],
        lambda v: cosine_gap(cosine_matrix(v[0], v[1], centred=False))[1].value,
    ),
    "centroids": (lambda v: centroid_distance(v[0], v[1]), lambda v: centroid_distance(v[0], v[1]).value),
    "language": (lambda v: variance_shares(v)[0], lambda v: _shares(v)[0]),
    "sentence": (lambda v: variance_shares(v)[1], lambda v: _shares(v)[1]),
}


@pytest.mark.parametrize("name", DELETED)
def test_effects_are_those_of_leaving_a_sentence_out(vectors: Vectors, name: str) -> None:
    measure, anew = DELETED[name]
    found = measure(vectors)
    without = np.array([anew(np.delete(vectors, each, axis=1)) for each in range(SENTENCES)])
    expected = (SENTENCES - 1) * (anew(vectors) - without)
    # `gram` centres anew without a sentence; in closed form the mean is that of all, which unbiased HSIC does not see.
    np.testing.assert_allclose(found.effects, expected - expected.mean(), rtol=1e-4, atol=1e-5)


def test_probe_by_weights(vectors: Vectors) -> None:
    labels = np.tile(np.arange(3)[:, None], (1, SENTENCES))
    [hits] = probe_hits(vectors, [labels], seed=4)
    inputs = vectors.reshape(-1, WIDTH).astype(np.float64)
    inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    fold = np.tile(np.random.Generator(np.random.PCG64(4)).permutation(SENTENCES) % 5, 3)
    expected = np.zeros(len(inputs), dtype=bool)
    flat = labels.reshape(-1)
    for number in range(5):
        inside = fold != number
        mean, target = inputs[inside].mean(0), np.eye(3)[flat][inside]
        left = (inputs[inside] - mean).T @ (inputs[inside] - mean) + RIDGE * WIDTH * np.eye(WIDTH)
        weights = np.linalg.inv(left) @ (inputs[inside] - mean).T @ (target - target.mean(0))
        scores = (inputs[~inside] - mean) @ weights + target.mean(0)
        expected[~inside] = scores.argmax(1) == flat[~inside]
    assert (hits.reshape(-1) == expected).all()
    wide = np.concatenate([vectors, np.zeros((3, SENTENCES, 60), dtype=np.float32)], axis=2)
    [dual] = probe_hits(wide, [labels], seed=4)  # more dimensions than vectors: the dual, and the same answer
    assert (dual == hits).all()


def test_the_probe_never_sees_a_sentence_that_it_judges() -> None:
    # Labels that only the sentence tells cannot be learnt from other sentences.
    generator = np.random.default_rng(2)
    vectors = np.repeat(generator.normal(size=(1, 60, 30)), 2, axis=0).astype(np.float32)
    labels = generator.permuted(np.tile(np.arange(2)[:, None], (1, 60)), axis=0)
    [hits] = probe_hits(vectors, [labels], seed=0)
    assert abs(hits.mean() - 0.5) < 0.1


def test_intervals_are_those_of_resampled_means() -> None:
    values = np.random.default_rng(8).normal(size=50)
    weights = draw_weights(50, seed=1)
    low, high = intervals(np.array([values.mean()]), (values - values.mean())[None], weights, (None, None))
    drawn = weights @ values
    assert weights.sum(axis=1) == pytest.approx(1.0)
    assert low[0] == pytest.approx(np.percentile(drawn, 2.3), abs=0.02)
    assert high[0] == pytest.approx(np.percentile(drawn, 97.7), abs=0.02)


def test_all_hits_do_not_prove_certainty() -> None:
    low, high = intervals(np.array([1.0, 0.0]), np.zeros((2, 24)), draw_weights(24, seed=0), (0.0, 1.0))
    assert low.tolist() == pytest.approx([0.025 ** (1 / 24), 0.0])  # Clopper and Pearson for 24 of 24
    assert high.tolist() == pytest.approx([1.0, 1 - 0.025 ** (1 / 24)])


def test_coverage_of_cka_intervals() -> None:
    """Of 95% intervals for CKA of samples, most hold the value of the whole population."""
    generator = np.random.default_rng(12)
    meaning = generator.normal(size=(4000, 6))
    population = [np.asarray(meaning + generator.normal(size=meaning.shape), dtype=np.float32) for _ in range(2)]
    truth = debiased_cka(*(gram(each[:1500]) for each in population)).value
    held = 0
    for number in range(40):
        rows = slice(50 * number, 50 * number + 50)
        found = debiased_cka(*(gram(each[rows]) for each in population))
        weights = draw_weights(50, seed=number)
        low, high = intervals(np.array([found.value]), found.effects[None], weights, (None, None))
        held += bool(low[0] <= truth <= high[0])
    assert held >= 34


def test_shuffles_leave_no_translation_beside_its_sentence() -> None:
    for languages in (2, 3, 7):
        shuffles = make_shuffles(languages, languages + 2, seed=5)
        for first in range(languages):
            for second in range(first):
                assert (shuffles.sentences[first] != shuffles.sentences[second]).all()
        assert (np.sort(shuffles.languages, axis=0) == np.arange(languages)[:, None]).all()


def test_a_layer_has_every_measure_with_its_control(vectors: Vectors) -> None:
    found = measure_layer(vectors, ("en", "el", "zh"), make_shuffles(3, SENTENCES, seed=0))
    for name in MEASURES:
        for shuffled in (False, True):
            assert np.isfinite(found[Key(name, "mean", shuffled)].value), name
    pairs = [found[Key("cka", pair, False)].value for pair in ("en-el", "en-zh", "el-zh")]
    assert found[Key("cka", "mean", False)].value == pytest.approx(np.mean(pairs))
    there = found[Key("retrieval", "en>zh", False)].value, found[Key("retrieval", "zh>en", False)].value
    cosines = cosine_matrix(vectors[0], vectors[2], centred=False)
    assert there == (retrieval(cosines).value, retrieval(cosines.T).value)
