"""Kappa, calibration and corrected rates: numbers from papers, by hand, and from simulations with a known truth."""

import json
from pathlib import Path

import numpy as np
import pytest

from xlingual.judging.agreement import KappaMetric
from xlingual.judging.calibration import CHANCE, calibrate, correct_rate, read_labels
from xlingual.judging.prompts import find_prompt
from xlingual.judging.records import Calibration, JudgeKind, JudgeVerdict, VerdictState
from xlingual.judging.scores import Reply, make_mean
from xlingual.records import Estimate

from .runs import Judge, evaluate, ids, read_one, write_lines

TABLES = [
    # The textbook case: observed 35 of 50, by chance 0.5.
    ((20, 5, 10, 15), 2, 0.4),
    ((25, 0, 0, 25), 2, 1.0),
    ((0, 25, 25, 0), 2, -1.0),
    ((10, 10, 10, 10), 2, 0.0),
    ((88, 14, 18, 10, 40, 6, 2, 6, 16), 3, 0.312 / 0.592),  # observed 0.72, by chance 0.408
]


@pytest.mark.parametrize(("cells", "categories", "kappa"), TABLES)
def test_kappa(cells: tuple[int, ...], categories: int, kappa: float) -> None:
    metric = KappaMetric(name="kappa", categories=categories)
    assert float(metric.combine(np.array(cells, dtype=np.float64))) == pytest.approx(kappa, abs=5e-4)


def test_kappa_is_undefined_where_chance_alone_agrees() -> None:
    metric = KappaMetric(name="kappa", categories=2)
    assert np.isnan(metric.combine(np.array([[24.0, 0, 0, 0], [0, 0, 0, 0]]))).all()
    assert metric.cell(1, 0) == (0.0, 0.0, 1.0, 0.0)


def _rate(successes: int, n: int, name: str = "rate") -> Estimate:
    return Estimate(
        metric=name, value=100 * successes / n if n else None, low=None, high=None, n=n, unscored=0, signature="s",
        reason=None,
    )  # fmt: skip


def _calibration(sensitivity: tuple[int, int], specificity: tuple[int, int]) -> Calibration:
    n = sensitivity[1] + specificity[1]
    return Calibration(
        file="f", sha256="0" * 64, n=n, unscored=0, accuracy=_rate(sensitivity[0] + specificity[0], n),
        sensitivity=_rate(*sensitivity, "sensitivity"), specificity=_rate(*specificity, "specificity"),
    )  # fmt: skip


def test_a_perfect_judge_needs_no_correction() -> None:
    found = correct_rate(_rate(60, 100), _calibration((50, 50), (50, 50)))
    assert found.value == pytest.approx(60.0)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 55 < 65 < found.high


def test_rogan_and_gladen_by_hand() -> None:
    # 0.40 seen with sensitivity 0.8 and specificity 0.9: (0.40 + 0.9 - 1) / (0.8 + 0.9 - 1) = 3 / 7.
    found = correct_rate(_rate(40, 100), _calibration((40, 50), (45, 50)))
    assert found.value == pytest.approx(300 / 7)


@pytest.mark.parametrize(
    ("calibration", "reason"),
    [
        (_calibration((4, 5), (4, 4)), "only 9 labelled items"),
        (_calibration((4, 4), (20, 20)), "only 4 items for the sensitivity"),
        (_calibration((10, 20), (10, 20)), CHANCE),
        (_calibration((0, 20), (20, 20)), CHANCE),
        (_calibration((20, 20), (0, 20)), CHANCE),
    ],
)
def test_what_cannot_be_corrected_is_said(calibration: Calibration, reason: str) -> None:
    found = correct_rate(_rate(40, 100), calibration)
    assert found.value is None
    assert reason in (found.reason or "")


@pytest.mark.parametrize(("truth", "right", "wrong"), [(0.3, 0.9, 0.85), (0.6, 0.7, 0.75), (0.05, 0.85, 0.95)])
def test_intervals_of_corrected_rates_hold_the_truth(truth: float, right: float, wrong: float) -> None:
    generator = np.random.default_rng(7)
    hits = known = 0
    for _ in range(600):
        seen = generator.binomial(200, truth * right + (1 - truth) * (1 - wrong))
        calibration = _calibration((generator.binomial(30, right), 30), (generator.binomial(30, wrong), 30))
        found = correct_rate(_rate(int(seen), 200), calibration)
        if found.low is not None and found.high is not None and found.value is not None:
            known += 1
            hits += found.low <= 100 * truth <= found.high
            assert 0 <= found.low <= found.value <= found.high <= 100
    assert known > 550
    assert hits / known >= 0.93


@pytest.mark.parametrize(("truth", "accuracy"), [(0.5, 0.8), (0.7, 0.75), (0.9, 0.9)])
def test_corrected_win_rates_hold_the_truth(truth: float, accuracy: float) -> None:
    generator = np.random.default_rng(11)
    hits = known = 0
    for _ in range(600):
        seen = int(generator.binomial(150, truth * accuracy + (1 - truth) * (1 - accuracy)))
        labels = int(generator.binomial(40, accuracy))
        calibration = Calibration(
            file="f", sha256="0" * 64, n=40, unscored=0, accuracy=_rate(labels, 40), sensitivity=None, specificity=None
        )
        found = correct_rate(_rate(seen, 150), calibration)
        if found.low is not None and found.high is not None:
            known += 1
            hits += found.low <= 100 * truth <= found.high
    assert known > 550
    assert hits / known >= 0.93


def _label_lines(count: int) -> list[dict[str, object]]:
    return [
        {"id": f"l{place}", "question": f"What is {place} plus 1?", "gold": str(place + 1),
         "answer": str(place + 1 - place % 2),
         "label": "incorrect" if place % 2 else "correct"}
        for place in range(count)
    ]  # fmt: skip


def test_a_labelled_set_is_judged_along_and_corrects_the_rate(tmp_path: Path) -> None:
    run = evaluate(tmp_path / "runs", "oracle", "-t", "xquad/en", "--data", "sample")
    labels = write_lines(tmp_path / "labels.jsonl", _label_lines(40))
    replies = dict.fromkeys(ids(read_one(run)), "VERDICT: CORRECT")
    replies |= {f"l{place}": f"VERDICT: {'INCORRECT' if place % 2 else 'CORRECT'}" for place in range(40)}
    replies |= {"l0": "VERDICT: INCORRECT", "l1": "VERDICT: CORRECT", "l2": "I do not know."}
    judge = Judge(tmp_path, replies)
    assert judge.run(str(run), "--kind", "correctness", "--calibration", str(labels)) == 0
    report = judge.report()
    assert report.calibration is not None
    assert (report.calibration.n, report.calibration.unscored) == (39, 1)
    assert report.calibration.accuracy.value == pytest.approx(100 * 37 / 39)
    assert report.calibration.sensitivity is not None
    assert report.calibration.sensitivity.value == pytest.approx(100 * 18 / 19)
    assert report.corrected is not None
    assert report.corrected.value == 100.0
    assert report.corrected.low is not None
    assert report.corrected.low < 90
    data = json.loads(next((tmp_path / "runs").rglob("judge.json")).read_text(encoding="utf-8"))
    assert data["calibration"]["file"] == "labels.jsonl"


def test_labelled_pairs_are_asked_in_both_orders(tmp_path: Path) -> None:
    prompt = find_prompt(None, JudgeKind.PAIRWISE)
    lines: list[dict[str, object]] = [
        {"id": f"p{place}", "question": "Say hello.", "first": f"Hello {place}", "second": "No.", "label": label}
        for place, label in enumerate(["first"] * 12 + ["tie"] * 3)
    ]
    found = read_labels(write_lines(tmp_path / "pairs.jsonl", lines), prompt)

    def reply(name: str, value: float) -> Reply:
        example = next(each for item in found.items for each in item.shown if each.id == name)
        return Reply(example=example, said="", verdict=JudgeVerdict(state=VerdictState.READ, word="", value=value))

    names = [each.id for item in found.items for each in item.shown]
    assert found.items[0].shown[1].fields["second"] == "Hello 0"
    # Always the first answer: half of every label is right, whatever it is.
    biased = calibrate(found, {name: reply(name, 1.0) for name in names})
    assert (biased.n, biased.accuracy.n, biased.accuracy.value) == (15, 12, 50.0)
    assert correct_rate(_rate(60, 100), biased).reason == CHANCE
    good = calibrate(found, {name: reply(name, 1.0 if name.endswith("#1") else 0.0) for name in names})
    assert good.accuracy.value == 100.0
    assert correct_rate(_rate(60, 100), good).value == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"id": "1", "question": "q", "gold": "g", "answer": "a", "label": "right"}, ":1: the label is 'right'"),
        ({"id": "1", "question": " ", "gold": "g", "answer": "a", "label": "correct"}, ":1: 'question' is blank"),
        ({"id": "1", "question": "q", "answer": "a", "label": "correct"}, "field 'gold' is missing"),
    ],
)
def test_wrong_labels_name_their_line(tmp_path: Path, line: dict[str, object], message: str) -> None:
    with pytest.raises(Exception, match=message.replace(".", r"\.")):
        read_labels(write_lines(tmp_path / "l.jsonl", [line]), find_prompt(None, JudgeKind.CORRECTNESS))


def test_a_metric_of_known_scores_says_nothing_of_answers() -> None:
    assert make_mean("x", "s").signature("en") == "s"
