"""How often 95% intervals of rates hold the true rate, by simulation: the tables of docs/statistics.md.

    python -m bench.coverage

Right answers are drawn from beta-binomial clusters: each cluster has a rate of its own, as far from the true one as the
intra-class correlation says. Two minutes on one core.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from xlingual.statistics.rates import rate_interval
from xlingual.statistics.resampling import expanded_interval

CLUSTERS = (5, 6, 10, 24, 48, 120, 240)
SIZES = ("1", "5", "25", "1-13")
"""Examples in a cluster."""
CORRELATIONS = (0.0, 0.1, 0.2, 0.3)
RATES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.9, 0.98)
DRAWS = 20_000


@dataclass(frozen=True, slots=True)
class Design:
    """A set of examples and the truth about a model."""

    clusters: int
    sizes: str
    correlation: float
    rate: float

    @property
    def common(self) -> bool:
        """Whether the rate is between 10 and 90%."""
        return 0.1 <= self.rate <= 0.9


@dataclass(frozen=True, slots=True)
class Coverage:
    """How the intervals of a design did."""

    design: Design
    covered: float
    """Per cent of draws."""
    width: float
    """Median width over that of a normal interval by the true variance, which nobody knows."""
    above: float
    """Per cent of draws whose whole interval lies above the rate; 2.5 are meant."""
    below: float
    """Per cent of draws whose whole interval lies below the rate; 2.5 are meant."""


def designs() -> Iterator[Design]:
    """Yield every design; single examples have no correlation."""
    for clusters, sizes, correlation, rate in product(CLUSTERS, SIZES, CORRELATIONS, RATES):
        if sizes != "1" or correlation == 0.0:
            yield Design(clusters, sizes, correlation, rate)


def sizes_of(design: Design) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return the number of examples in each cluster."""
    if design.sizes == "1-13":
        return np.random.default_rng(design.clusters).integers(1, 14, design.clusters)
    return np.full(design.clusters, int(design.sizes))


def draw(
    design: Design, generator: np.random.Generator, draws: int
) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """Return the right answers in each cluster, shape (draws, clusters)."""
    rates = np.full((draws, design.clusters), design.rate)
    if design.correlation:
        strength = (1 - design.correlation) / design.correlation
        rates = generator.beta(design.rate * strength, (1 - design.rate) * strength, rates.shape)
    return generator.binomial(sizes_of(design), rates).astype(np.float64)


def measure(design: Design, draws: int = DRAWS, seed: int = 0) -> Coverage:
    """Return how often intervals of `draws` samples of a design cover its rate."""
    right = draw(design, np.random.default_rng([seed, design.clusters, round(1000 * design.rate)]), draws)
    sizes = sizes_of(design).astype(np.float64)
    found = rate_interval(right, sizes, right.sum(axis=-1))
    above, below = (100 * float(each.mean()) for each in (found.low > design.rate, found.high < design.rate))
    effect = 1 + ((sizes**2).sum() / sizes.sum() - 1) * design.correlation
    known = 2 * 1.96 * np.sqrt(design.rate * (1 - design.rate) / sizes.sum() * effect)
    width = float(np.median(found.high - found.low)) / float(known)
    return Coverage(design, 100 - above - below, width, above, below)


def measure_resamples(clusters: int, draws: int = 400, seed: int = 0) -> float:
    """Return how often the bootstrap interval of a ratio of sums covers: per cent, for corpus scores."""
    generator = np.random.default_rng([seed, clusters])
    hits = 0
    for _ in range(draws):
        lengths = generator.integers(8, 40, clusters).astype(np.float64)
        matches = lengths * generator.beta(3, 4, clusters)
        weights = generator.multinomial(clusters, np.full(clusters, 1 / clusters), size=1000)
        ends = expanded_interval((weights @ matches) / (weights @ lengths), clusters)
        hits += ends is not None and ends[0] <= 3 / 7 <= ends[1]
    return 100 * hits / draws


def table(found: Sequence[Coverage]) -> str:
    """Return coverage by clusters and sizes as Markdown: "93.4-97.1", least and most over correlations and rates."""
    lines = [
        "| clusters | of 1 | of 5 | of 25 | of 1 to 13 | of 1, rare | of 5, rare | of 25, rare | of 1 to 13, rare |",
        "| --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for clusters in CLUSTERS:
        cells = []
        for common, sizes in product((True, False), SIZES):
            chosen = [
                each.covered
                for each in found
                if (each.design.clusters, each.design.sizes, each.design.common) == (clusters, sizes, common)
            ]
            cells.append(f"{min(chosen):.1f}-{max(chosen):.1f}")
        lines.append(f"| {clusters} | {' | '.join(cells)} |")
    return "\n".join(lines)


def prices(found: Sequence[Coverage]) -> str:
    """Return widths over that of an interval by the true variance, at rates of 10 to 90%, as Markdown."""
    lines = [f"| clusters | {' | '.join(f'of 25, correlation {each:g}' for each in CORRELATIONS)} |"]
    lines.append("| --: |" + " --: |" * len(CORRELATIONS))
    for clusters in CLUSTERS:
        cells = [
            np.mean(
                [
                    each.width
                    for each in found
                    if (each.design.clusters, each.design.sizes, each.design.correlation)
                    == (clusters, "25", correlation)
                    and each.design.common
                ]
            )
            for correlation in CORRELATIONS
        ]
        lines.append(f"| {clusters} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")
    return "\n".join(lines)


def main() -> str:
    """Return both tables."""
    found = [measure(design) for design in designs()]
    resampled = ", ".join(f"{measure_resamples(each):.1f} at {each}" for each in (10, 24, 100))
    return f"{table(found)}\n\n{prices(found)}\n\nResamples of a ratio of sums cover: {resampled}."


if __name__ == "__main__":
    print(main())
