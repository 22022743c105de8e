"""A model whose second of four layers was made to know no language: the analysis finds it, and in noise nothing."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from xlingual.analysis.space import ParallelText, SpaceRecord, compare_spaces, incomparable, make_parallel
from xlingual.analysis.space.comparison import find_curve
from xlingual.analysis.space.measures import MEASURES
from xlingual.analysis.space.records import LayerCurve
from xlingual.errors import UsageError

from .conftest import analyze

FINDERS = [name for name, measure in MEASURES.items() if measure.finds_layers]
POOLINGS = ("mean", "last")


def _curve(record: SpaceRecord, measure: str, pooling: str = "mean", *, shuffled: bool = False) -> LayerCurve:
    found = find_curve(record.curves, measure, pooling, shuffled=shuffled)
    assert found is not None
    return found


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("measure", FINDERS)
def test_the_neutral_layer_is_found(
    planted_record: SpaceRecord, planted: ModuleType, measure: str, pooling: str
) -> None:
    [peak] = [each for each in planted_record.peaks if (each.measure, each.pooling) == (measure, pooling)]
    assert peak.layer == planted.NEUTRAL_LAYER
    assert peak.stability == 1.0


def test_the_neutral_layer_is_what_it_was_made(planted_record: SpaceRecord) -> None:
    assert _curve(planted_record, "retrieval_margin").values[2] == 1.0
    assert _curve(planted_record, "cka").values[2] == pytest.approx(1.0, abs=1e-3)
    assert _curve(planted_record, "sentence_share").values[2] > 0.9
    assert _curve(planted_record, "language_share").values[2] < _curve(planted_record, "language_share").values[1]
    scaled = _curve(planted_record, "language_share_scaled").values
    assert scaled[2] < scaled[1]
    # The other layers only copy: what is before the neutral one is there after it, to rounding.
    for measure in FINDERS:
        values = _curve(planted_record, measure).values
        assert values[3] == pytest.approx(values[1], abs=0.02), measure


@pytest.mark.parametrize("measure", FINDERS)
def test_the_control_is_at_chance_in_all_layers(planted_record: SpaceRecord, measure: str) -> None:
    values = np.array(_curve(planted_record, measure, shuffled=True).values)
    assert np.abs(values).max() < 0.06, values


def test_shuffled_sentences_have_no_peak(planted_folder: Path, planted_text: ParallelText) -> None:
    """The same model and sentences, but each language in an order of its own: nothing is to be found."""
    generator = np.random.default_rng(0)
    lines = [[each[index] for index in generator.permutation(len(each))] for each in planted_text.sentences]
    record = analyze(planted_folder, make_parallel(planted_text.languages, lines))
    assert {each.measure for each in record.peaks} == set(FINDERS)
    assert [each for each in record.peaks if each.layer is not None] == []
    assert [each.value for each in record.peaks] == [None] * len(record.peaks)


def test_a_model_without_a_neutral_layer(plain_record: SpaceRecord) -> None:
    by_retrieval = [each for each in plain_record.peaks if each.measure.startswith("retrieval")]
    assert all(each.layer is None for each in by_retrieval)


def test_before_and_after(plain_record: SpaceRecord, planted_record: SpaceRecord) -> None:
    found = compare_spaces(plain_record, planted_record)
    for curve in found.curves:
        if curve.measure in FINDERS:
            assert curve.certain == (False, False, True, False, False), curve.measure
            assert curve.values[2] > 0
    [margin] = [each for each in found.curves if (each.measure, each.pooling) == ("retrieval_margin", "mean")]
    assert margin.low[2] > 0.9
    same = compare_spaces(planted_record, planted_record)
    assert all(not any(each.certain) and set(each.values) == {0.0} for each in same.curves)


def test_the_layer_thinks_in_english(planted_record: SpaceRecord) -> None:
    lens = planted_record.lens
    assert lens is not None
    for each in (each for each in lens.decoded if each.best == 1 and not each.shuffled):
        english, own = each.shares["en"], each.shares[each.language]
        assert english[2] == 1.0  # the head reads the shared block as English
        assert own[0] == own[1] == own[3] == own[4] == 1.0
        assert each.shares["undecided"] == (0.0,) * 5
    mixed = [each for each in lens.decoded if each.best == 1 and each.shuffled]
    assert all(0.1 < each.shares[each.language][0] < 0.6 for each in mixed)  # a third by chance
    assert all((each.right, each.wrong, each.undecided) == (1.0, 0.0, 0.0) for each in lens.identification)


def test_translations_share_predictions_where_they_share_a_layer(planted_record: SpaceRecord) -> None:
    lens = planted_record.lens
    assert lens is not None
    own, control = (find_curve(lens.overlap, "prediction_overlap", "none", shuffled=each) for each in (False, True))
    assert own is not None
    assert control is not None
    assert own.values[2] == 1.0
    assert max(own.values[:2] + own.values[3:]) == 0.0
    assert control.values[2] < 0.5


def test_the_map_of_the_neutral_layer(planted_record: SpaceRecord) -> None:
    assert [each.layer for each in planted_record.projections] == [1, 2, 4]
    early, middle, _ = planted_record.projections
    for projection, is_neutral in ((early, False), (middle, True)):
        points = np.array([projection.points[code] for code in planted_record.languages])
        between = np.linalg.norm(points[0] - points[1], axis=1).mean()
        around = np.linalg.norm(points[0] - points[0].mean(0), axis=1).mean()
        assert (between < 0.3 * around) == is_neutral


def test_what_cannot_be_compared(planted_record: SpaceRecord) -> None:
    assert incomparable(planted_record, replace(planted_record, data="0")) == "they were shown other sentences"
    assert incomparable(planted_record, replace(planted_record, layers=9)) == "one has 4 layers, the other 9"
    assert incomparable(planted_record, replace(planted_record, poolings=("none",))) is not None
    with pytest.raises(UsageError, match="other sentences"):
        compare_spaces(planted_record, replace(planted_record, data="0"))


def test_the_same_seed_gives_the_same_record(
    planted_folder: Path, planted_text: ParallelText, planted_record: SpaceRecord
) -> None:
    again = analyze(planted_folder, planted_text)
    assert replace(again, written="") == replace(planted_record, written="")
