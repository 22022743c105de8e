"""Averages and gains over languages: clusters that are joined, errors of means, ratios."""

import numpy as np
import pytest

from xlingual.statistics.parallel import (
    ScoredExample,
    average_of_rates,
    join_units,
    mean_of_ratios,
    ratio_of_means,
    weakness,
)


def _scored(**units: str) -> dict[str, ScoredExample]:
    return {
        name: ScoredExample(statistics=(1.0, 1.0), cluster=unit, group=unit.partition(".")[0])
        for name, unit in units.items()
    }


def test_translations_of_one_question_join_their_articles() -> None:
    english = {f"q{index}": f"{index // 4}.{index // 2}" for index in range(24)}
    hindi = {f"q{index}": f"h{index // 4}.{index // 2}" for index in range(4, 24)}
    other = {f"z{index}": f"{index // 4}.{index // 2}" for index in range(24)}
    joint = join_units([_scored(**english), _scored(**hindi)])
    assert joint.count == 6, "articles, whatever they are called"
    assert joint.places[0]["q5"] == joint.places[1]["q5"]
    assert joint.sums(1, _scored(**hindi)).tolist() == [[0.0, 0.0], *[[4.0, 4.0]] * 5]
    assert join_units([_scored(**english), _scored(**other)]).count == 12, "nothing in common: each by itself"


def test_articles_that_chain_into_one_give_way_to_paragraphs() -> None:
    english = {f"q{index}": f"{index // 4}.{index // 2}" for index in range(24)}
    shifted = {f"q{index}": f"{(index + 2) // 4}.{index // 2}" for index in range(24)}
    assert join_units([_scored(**english), _scored(**shifted)]).count == 12


def test_the_interval_of_an_average_covers_and_that_of_independent_languages_does_not() -> None:
    """S14: joint draws cover 95.3% in simulation, independent languages 72%."""
    generator = np.random.default_rng(5)
    covered = narrow = 0
    for _ in range(400):
        articles = generator.beta(4, 6, 48)
        sums = [
            np.stack([generator.binomial(25, np.clip(articles, 0, 1)), np.full(48, 25.0)], axis=-1) for _ in range(6)
        ]
        found = average_of_rates(sums, [float(each[:, 0].sum()) for each in sums])
        covered += bool(found.low <= 0.4 <= found.high)
        rates = [each[:, 0] / 25 for each in sums]
        mean, error = np.mean(rates), np.sqrt(sum(each.var(ddof=1) / 48 for each in rates)) / 6
        narrow += bool(abs(mean - 0.4) <= 1.96 * error)
    assert 0.93 <= covered / 400 <= 0.98
    assert narrow / 400 < 0.80


def test_both_forms_of_a_gain_by_hand() -> None:
    base, tuned = np.array([36, 1]) / 62, np.array([28, 4]) / 62
    assert float(mean_of_ratios(tuned, base)) == pytest.approx(138.9, abs=0.05)
    assert float(ratio_of_means(tuned, base)) == pytest.approx(-13.5, abs=0.05)


def test_the_weakness_of_a_baseline_is_the_square_of_its_half_width_over_it() -> None:
    assert weakness(10.0, 8.0, 12.0) == pytest.approx(0.04)
    assert (weakness(2.0, None, None), weakness(0.0, 0.0, 5.0)) == (0.0, float("inf"))
