"""How often intervals of averages, gains and ranks hold the truth, by simulation: tables of docs/statistics.md.

    python -m bench.joint_coverage

Six parallel languages. A question is hard for all models in all languages, and so is an article: both shift a normal
variable that must stay below the quantile of a model's true rate in a language. Two minutes on one core.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from xlingual.metrics import find_metric
from xlingual.plugin import FloatArray
from xlingual.statistics.multiple import holm, rank_limits
from xlingual.statistics.parallel import average_of_rates, mean_of_ratios, ratio_of_means
from xlingual.statistics.resampling import expanded_interval, resample
from xlingual.statistics.signflip import ALPHA, sign_flip

ARTICLE, QUESTION = 0.15, 0.45
"""Shares of the variance that the article and the question make; the rest is of each answer alone."""
BASE = (0.46, 0.35, 0.30, 0.25, 0.20, 0.15)
"""True rates of the baseline, by language."""
WEAK = (0.46, 0.35, 0.30, 0.08, 0.06, 0.04)
GAINS = (1.1, 1.2, 1.0, 1.4, 1.3, 1.5)
"""What the tuned model's true rates are of those of the baseline."""
DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Articles:
    """A set of questions."""

    count: int
    questions: int
    """In each."""


def draw(articles: Articles, rates: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Return the right answers by article, shape (articles, ...), of models and languages with true `rates` (...)."""
    shape = (articles.count, articles.questions)
    axes = (...,) + (None,) * rates.ndim
    shared = ARTICLE**0.5 * generator.standard_normal((articles.count, 1)) + QUESTION**0.5 * generator.standard_normal(
        shape
    )
    own = (1 - ARTICLE - QUESTION) ** 0.5 * generator.standard_normal((*shape, *rates.shape))
    limits = np.vectorize(NormalDist().inv_cdf)(rates)
    return np.asarray((shared[axes] + own < limits).sum(axis=1), dtype=np.float64)


def _covers(interval: tuple[float, float] | None, truth: float) -> bool:
    return interval is not None and interval[0] <= truth <= interval[1]


def measure_averages(articles: Articles, draws: int = DRAWS, seed: int = 0) -> float:
    """Return how often the interval of an average over the languages holds it, in per cent."""
    generator = np.random.default_rng([seed, articles.count])
    rates = np.array(BASE)
    sizes = np.full(articles.count, float(articles.questions))
    hits = 0
    for _ in range(draws):
        right = draw(articles, rates, generator)
        sums = [np.stack([each, sizes], axis=1) for each in right.T]
        found = average_of_rates(sums, [float(each.sum()) for each in right.T])
        hits += _covers((float(found.low), float(found.high)), float(rates.mean()))
    return 100 * hits / draws


def measure_gains(
    articles: Articles, base: Sequence[float] = BASE, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Return how often the intervals of a mean of ratios and of a ratio of means hold them, in per cent.

    Draws in which the baseline has no right answer in a language have no mean of ratios, and are not counted.
    """
    generator = np.random.default_rng([seed, articles.count])
    rates = np.array([np.array(base) * GAINS, base])
    truths = float(mean_of_ratios(*rates)), float(ratio_of_means(*rates))
    metric, sizes = find_metric("containment"), np.full(articles.count, float(articles.questions))
    hits, counted = [0, 0], [0, 0]
    for _ in range(draws):
        right = draw(articles, rates, generator)
        sums = [np.stack([right[:, model, code], sizes], axis=1) for model in (0, 1) for code in range(len(base))]
        drawn = np.array(resample(metric, sums, 0)).T
        mine, other = drawn[:, : len(base)], drawn[:, len(base) :]
        for place, form in enumerate((mean_of_ratios, ratio_of_means)):
            found = expanded_interval(form(mine, other), articles.count)
            counted[place] += found is not None
            hits[place] += _covers(found, truths[place])
    return 100 * hits[0] / max(1, counted[0]), 100 * hits[1] / max(1, counted[1])


def measure_ranks(
    articles: Articles, levels: Sequence[float], draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Return how often all rank intervals of a table hold the true ranks, in per cent, and their mean width.

    `levels` are the true rates of models; of equal ones every rank among them is true, and all must be held.
    """
    generator = np.random.default_rng([seed, articles.count, len(levels)])
    ahead = np.array([[one > other for other in levels] for one in levels])
    truth = rank_limits(ahead)
    hits, widths = 0, 0.0
    for _ in range(draws):
        right = draw(articles, np.array(levels), generator)
        pairs = [(i, j) for i in range(len(levels)) for j in range(i)]
        corrected = holm([sign_flip(right[:, i] - right[:, j])[0] for i, j in pairs])
        surely = np.zeros(ahead.shape, dtype=np.bool_)
        for (i, j), p in zip(pairs, corrected, strict=True):
            if p <= ALPHA:
                better = right[:, i].sum() > right[:, j].sum()
                surely[(i, j) if better else (j, i)] = True
        found = rank_limits(surely)
        hits += all(low <= best and worst <= high for (low, high), (best, worst) in zip(found, truth, strict=True))
        widths += float(np.mean([high - low for low, high in found]))
    return 100 * hits / draws, widths / draws


TABLES: tuple[Sequence[float], ...] = (
    (0.4, 0.4, 0.4, 0.4, 0.4),
    (0.5, 0.4, 0.4, 0.3, 0.2),
    (0.42, 0.41, 0.4, 0.39, 0.38),
)


def main() -> str:
    """Return both tables as Markdown."""
    sets = (Articles(12, 5), Articles(24, 5), Articles(48, 25), Articles(240, 5))
    lines = [
        "| articles | questions in each | average | mean of ratios | ratio of means | mean of ratios, weak baseline |",
        "| --: | --: | --: | --: | --: | --: |",
    ]
    for each in sets:
        ratios, means = measure_gains(each)
        weak = measure_gains(each, WEAK)[0]
        cells = " | ".join(f"{value:.1f}" for value in (measure_averages(each), ratios, means, weak))
        lines.append(f"| {each.count} | {each.questions} | {cells} |")
    lines += ["", "| true rates of five models | articles | all ranks held | mean width of an interval |"]
    lines.append("| --- | --: | --: | --: |")
    for levels in TABLES:
        for each in sets:
            held, width = measure_ranks(each, levels, draws=400)
            shown = ", ".join(f"{100 * level:g}" for level in levels)
            lines.append(f"| {shown} | {each.count} of {each.questions} | {held:.1f} | {width:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
