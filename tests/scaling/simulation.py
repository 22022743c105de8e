"""Scores simulated from laws with known parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xlingual.scaling.points import Point


@dataclass(frozen=True, slots=True)
class Truth:
    """A law: S(X) = ceiling - alpha * (X / 10,000) ** -beta."""

    alpha: float
    beta: float
    ceiling: float

    def score(self, pairs: float) -> float:
        return float(self.ceiling - self.alpha * (pairs / 10_000) ** -self.beta)


TRUTHS = {"zh": Truth(15.0, 0.35, 55.0), "ar": Truth(20.0, 0.3, 50.0), "hi": Truth(12.0, 0.4, 45.0)}
SIZES = (1_000, 4_000, 16_000, 64_000)


def simulate(
    truths: Mapping[str, Truth] = TRUTHS,
    sizes: Sequence[int] = SIZES,
    *,
    seeds: int = 2,
    noise: float = 0.0,
    generator: np.random.Generator | None = None,
) -> list[Point]:
    """Return one point a language, size and seed, with normal noise."""
    generator = generator or np.random.default_rng(0)
    return [
        make_point(language, pairs, truth.score(pairs) + noise * float(generator.standard_normal()), seed=seed)
        for language, truth in truths.items()
        for pairs in sizes
        for seed in range(seeds)
    ]


def make_point(language: str, pairs: int, score: float, *, seed: int = 0, half_width: float | None = None) -> Point:
    """Return a point of chrF++ with 20 tokens a pair."""
    return Point(
        language=language,
        pairs=pairs,
        tokens=20 * pairs,
        seed=seed,
        metric="chrf++",
        score=score,
        low=None if half_width is None else score - half_width,
        high=None if half_width is None else score + half_width,
        origin=None,
    )
