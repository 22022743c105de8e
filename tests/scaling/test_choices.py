"""With a similarity or without: planted laws in which it has a part, and in which it is noise."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from xlingual.scaling.choices import similarity_lines
from xlingual.scaling.fit import FitOptions, fit_laws
from xlingual.scaling.laws import Ties
from xlingual.scaling.records import LawFit
from xlingual.serial import from_json, to_json

from .simulation import Truth, simulate

TYPOLOGY = {"zh": 0.45, "ar": 0.30, "hi": 0.55, "tr": 0.80, "vi": 0.12, "el": 0.20}
FERTILITY = {"zh": 0.38, "ar": 0.75, "hi": 0.20, "tr": 0.15, "vi": 0.60, "el": 0.90}
"""Not a function of the other."""
TABLES = {"typology": TYPOLOGY, "fertility": FERTILITY}
LAW = Truth(20.0, 0.4, 60.0)
QUICK = FitOptions(resamples=100, test_largest=False, beta=Ties.SHARED, ceiling=Ties.SHARED, similarities=TABLES)


def _planted(gammas: Mapping[str, float]) -> dict[str, Truth]:
    """Laws of one alpha, but for the similarity of each language."""
    return {code: replace(LAW, alpha=LAW.alpha * gamma**-LAW.beta) for code, gamma in gammas.items()}


@pytest.mark.parametrize("name", TABLES)
def test_a_similarity_that_has_a_part_is_recovered(name: str) -> None:
    for seed in range(4):
        points = simulate(_planted(TABLES[name]), seeds=1, noise=0.4, generator=np.random.default_rng(seed))
        fit = fit_laws(points, QUICK)
        found = {each.name: each for each in fit.similarities or ()}
        assert [each.name for each in found.values() if each.is_chosen] == [name]
        assert fit.variant.similarity
        chosen, other = found[name], next(each for each in found.values() if each.name != name)
        assert chosen.aicc_with is not None
        assert chosen.aicc_without is not None
        assert other.aicc_with is not None
        assert chosen.aicc_with < chosen.aicc_without < other.aicc_with
        assert [each.gamma for each in fit.laws] == [TABLES[name][each.language] for each in fit.laws]
        for value, truth in ((fit.laws[0].alpha, 20.0), (fit.laws[0].beta, 0.4), (fit.laws[0].ceiling, 60.0)):
            assert value.value == pytest.approx(truth, rel=0.25)


UNRELATED = {
    code: replace(LAW, alpha=alpha) for code, alpha in zip(TYPOLOGY, (22.0, 31.0, 18.0, 35.0, 26.0, 15.0), strict=True)
}


@pytest.mark.parametrize(
    ("truths", "variant"),
    [
        (UNRELATED, "alpha=own beta=shared ceiling=shared gamma=1"),
        (dict.fromkeys(TYPOLOGY, LAW), "alpha=shared beta=shared ceiling=shared gamma=1"),
    ],
)
def test_a_similarity_that_is_noise_is_left_out(truths: Mapping[str, Truth], variant: str) -> None:
    for seed in range(4):
        points = simulate(truths, seeds=1, noise=0.4, generator=np.random.default_rng(seed))
        fit = fit_laws(points, QUICK)
        assert fit.candidates[0].variant == variant
        assert {each.gamma for each in fit.laws} == {1.0}
        assert [each.is_chosen for each in fit.similarities or ()] == [False, False]
        lines = similarity_lines(fit, list(TABLES))
        assert [line.split(":")[1] for line in lines] == [" left out", " left out"]


def test_as_good_with_it_as_without_is_without() -> None:
    """A similarity that is the same for all languages fits to the digit as well as none."""
    options = replace(QUICK, similarities={"flat": dict.fromkeys(TYPOLOGY, 0.5)})
    fit = fit_laws(simulate(dict.fromkeys(TYPOLOGY, LAW), noise=0.3), options)
    [choice] = fit.similarities or ()
    assert choice.aicc_with == pytest.approx(choice.aicc_without, abs=1e-3)
    assert not choice.is_chosen
    assert fit.variant.name.endswith("gamma=1")


def test_with_few_points_the_limit_of_aicc_is_said() -> None:
    """n - k - 1 must be above 0: with 6 points, a law of two alphas, beta and C (k = 5, with the noise) has no AICc."""
    two = {code: _planted(TYPOLOGY)[code] for code in ("tr", "vi")}
    points = simulate(two, sizes=(1_000, 8_000, 64_000), seeds=1, noise=0.1)
    fit = fit_laws(points, replace(QUICK, similarities={"typology": TYPOLOGY}))
    own = next(each for each in fit.candidates if each.variant.startswith("alpha=own"))
    assert (own.parameters, own.aicc) == (4, None)
    assert fit.similarities is not None
    none = replace(fit.similarities[0], aicc_with=None, parameters_with=4)
    [line] = similarity_lines(replace(fit, similarities=(none,)), ["typology"])
    assert "AICc none, for n = 6 is too few for k = 5, with it" in line
    for each in fit.candidates:
        assert (each.aicc is None) == (len(points) - (each.parameters + 1) - 1 <= 0)


def test_without_any_aicc_the_simplest_law_is_taken_and_said() -> None:
    two = {code: _planted(TYPOLOGY)[code] for code in ("tr", "vi")}
    points = simulate(two, sizes=(1_000, 8_000, 64_000), seeds=1, noise=0.1)[:5]
    points += [replace(points[-1], pairs=64_000, score=points[-1].score + 1.0)]
    options = replace(QUICK, alpha=Ties.SHARED, beta=Ties.OWN, ceiling=Ties.SHARED, similarities={"typology": TYPOLOGY})
    fit = fit_laws(points, options)
    assert {each.aicc for each in fit.candidates} == {None}
    assert not fit.variant.similarity
    [line] = similarity_lines(fit, ["typology"])
    assert line.count("none, for n = 6 is too few for k = 5,") == 2


def test_a_similarity_that_cannot_be_compared_is_said() -> None:
    one = {"zh": LAW}
    fit = fit_laws(simulate(one, noise=0.2), replace(QUICK, similarities={"typology": TYPOLOGY}, ceiling=Ties.FIXED))
    assert fit.similarities is None
    assert similarity_lines(fit, ["typology"])[0].startswith("similarity typology: not compared")


def test_the_choice_is_in_the_record_and_older_records_are_read() -> None:
    fit = fit_laws(simulate(_planted(TYPOLOGY), seeds=1, noise=0.4), QUICK)
    data = to_json(fit)
    assert isinstance(data, dict)
    assert from_json(LawFit, data) == fit
    older = {key: value for key, value in data.items() if key != "similarities"}
    older["candidates"] = [
        {key: value for key, value in each.items() if key != "similarity"} for each in data["candidates"]
    ]
    read = from_json(LawFit, older)
    assert read.similarities is None
    assert read.laws == fit.laws
