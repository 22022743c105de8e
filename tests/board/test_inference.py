"""What a board says for sure: tie groups, intervals of averages and gains, from the samples beside the results."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from xlingual.board import board_markdown, build_board
from xlingual.board.collection import CollectedRun, collect_runs
from xlingual.board.rows import BoardRow, BoardTable
from xlingual.estimate import estimate
from xlingual.metrics import find_metric
from xlingual.records import Statistics

from .factory import EXAMPLES, collect, make_run, make_spec, write_run

METRIC = "containment"
ARTICLES = 34


def save_run(
    root: Path, model: str, language: str, scores: Sequence[float], *, family: str = "xquad", stem: str = "q"
) -> CollectedRun:
    """Write a whole run of EXAMPLES questions on ARTICLES articles, with the scores given one after the other."""
    folder, metric = root / model / family / language, METRIC
    rows: list[Statistics | None] = [(float(score), 1.0) for score in scores]
    groups = [f"a{index * ARTICLES // len(scores)}" for index in range(len(scores))]
    clusters = [f"{group}.{index // 5}" for index, group in enumerate(groups)]
    found = estimate(find_metric(metric), language, rows, clusters, groups=groups)
    record = make_run(model, f"{family}/{language}", found.value, metric=metric)
    protocol = dataclasses.replace(record.protocol, n=len(scores))
    counts = dataclasses.replace(record.counts, answered=len(scores))
    record = dataclasses.replace(record, estimates=(found,), protocol=protocol, counts=counts)
    write_run(folder, record)
    lines = [
        {"id": f"{stem}{index}", "group": group, "cluster": cluster, "statistics": {metric: row}}
        for index, (group, cluster, row) in enumerate(zip(groups, clusters, rows, strict=True))
    ]
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    [run] = collect(record).runs
    return dataclasses.replace(
        run, path=folder / "results.json", where=f"runs/{model}/{family}/{language}/results.json"
    )


def table_of(runs: Sequence[CollectedRun], baseline: str | None = None) -> BoardTable:
    board = build_board(make_spec(), dataclasses.replace(collect(), runs=tuple(runs)), baseline=baseline)
    [table] = board.tables
    return table


def row_of(table: BoardTable, model: str) -> BoardRow:
    return next(row for row in table.rows if row.model == model)


def draw(seed: int, *, rates: Mapping[str, float], languages: str = "ar,hi,zh") -> list[list[list[float]]]:
    """Return scores of each model in each language; half of what makes an item hard is so in all languages."""
    generator = np.random.default_rng(seed)
    hard = generator.random(EXAMPLES)

    def scores(rate: float) -> list[float]:
        chance = np.where(generator.random(EXAMPLES) < 0.5, hard, generator.random(EXAMPLES))
        return [float(each < rate) for each in chance]

    return [[scores(rate) for _ in languages.split(",")] for rate in rates.values()]


def save_all(root: Path, seed: int, **rates: float) -> list[CollectedRun]:
    return [
        save_run(root, model, language, scores)
        for model, row in zip(rates, draw(seed, rates=rates), strict=True)
        for language, scores in zip(("ar", "hi", "zh"), row, strict=True)
    ]


def test_one_right_answer_more_is_no_rank(tmp_path: Path) -> None:
    """S12: 56.5 against 54.8, p 0.49, had ranks 1 and 2."""
    first, second = [1.0] * 35 + [0.0] * 27, [0.0] * 3 + [1.0] * 34 + [0.0] * 25
    table = table_of([save_run(tmp_path, "a", "ar", first), save_run(tmp_path, "b", "ar", second)])
    assert [(row.model, row.rank, row.rank_low, row.rank_high) for row in table.rows] == [
        ("a", 1, 1, 2),
        ("b", 1, 1, 2),
    ]
    assert round(row_of(table, "a").average or 0, 1) == 56.5
    assert table.tests is not None
    assert table.tests.detectable is not None
    assert 4 < table.tests.detectable < 20
    same = table_of([save_run(tmp_path, name, "zh", first) for name in ("c", "d")])
    assert same.tests is not None
    assert same.tests.detectable is not None
    assert same.tests.detectable > 4, "that two models never differed in 62 questions is no proof of any precision"


def test_ranks_are_those_that_the_differences_allow(tmp_path: Path) -> None:
    table = table_of(save_all(tmp_path, 3, best=0.62, next=0.61, poor=0.30))
    limits = {row.model: (row.rank, row.rank_low, row.rank_high) for row in table.rows}
    assert limits == {"best": (1, 1, 2), "next": (1, 1, 2), "poor": (3, 3, 3)}
    page = board_markdown(
        build_board(
            make_spec(), dataclasses.replace(collect(), runs=tuple(save_all(tmp_path, 3, best=0.62, next=0.61)))
        ),
        command="x",
    )
    assert page.count("| 1–2 |") == 2
    assert "This table can tell two models apart from" in page
    assert "the languages are parallel, and those of averages draw their items together" in page


def test_the_average_of_parallel_languages_is_less_sure_than_of_independent_ones(tmp_path: Path) -> None:
    """S14: six parallel languages had no interval; independent draws would cover 72%."""
    [one] = [row_of(table_of(save_all(tmp_path, 5, a=0.5)), "a")]
    scores = draw(5, rates={"a": 0.5})[0]
    apart = [
        save_run(tmp_path / "apart", "a", language, scores[place], stem=language)
        for place, language in enumerate(("ar", "hi", "zh"))
    ]
    other = row_of(table_of(apart), "a")
    assert one.average == pytest.approx(other.average)
    assert one.average_low is not None
    assert one.average_high is not None
    assert other.average_low is not None
    assert other.average_high is not None
    assert one.average_low < (one.average or 0) < one.average_high
    assert one.average_high - one.average_low > 1.15 * (other.average_high - other.average_low)


def test_gains_are_there_in_points_and_both_forms_with_intervals_and_a_warning(tmp_path: Path) -> None:
    """S10: ar 58.1 -> 45.2, zh 1.6 -> 6.5 was "+138.9%"; the average falls."""
    right = {"base": {"ar": 36, "zh": 1}, "tuned": {"ar": 28, "zh": 4}}
    runs = [
        save_run(tmp_path, model, language, [1.0] * count + [0.0] * (62 - count))
        for model, row in right.items()
        for language, count in row.items()
    ]
    board = build_board(make_spec(), dataclasses.replace(collect(), runs=tuple(runs)), baseline="base")
    gain = row_of(board.tables[0], "tuned").gain
    assert gain is not None
    assert gain.value == pytest.approx(138.9, abs=0.05)
    assert gain.of_means == pytest.approx(-13.5, abs=0.05)
    assert gain.weak == gain.undefined == ("xquad/zh",)
    assert gain.low is None, "the baseline of zh may be zero"
    assert gain.means_low is not None
    assert gain.means_high is not None
    assert gain.means_low < -13.5 < gain.means_high < 60
    page = board_markdown(board, command="x")
    assert "+138.9%" not in page, "a ratio to one right answer of 62 is no headline"
    assert re.search(r"\| -4\.0 \[[-+0-9.]+, [-+0-9.]+\] \| – \| -13\.5% \[", page)
    assert "- Warning: the baseline is near zero in xquad/zh: no mean of ratios is shown" in page
    assert gain.points == pytest.approx(-4.03, abs=0.01)
    assert gain.points_low is not None
    assert gain.points_high is not None
    assert -20 < gain.points_low < -4.03 < gain.points_high < 10


def test_gains_over_a_sound_baseline_have_intervals(tmp_path: Path) -> None:
    table = table_of(save_all(tmp_path, 7, base=0.4, tuned=0.5), baseline="base")
    gain = row_of(table, "tuned").gain
    assert gain is not None
    for value, low, high in ((gain.value, gain.low, gain.high), (gain.of_means, gain.means_low, gain.means_high)):
        assert value is not None
        assert low is not None
        assert high is not None
        assert 10 < low < value < high < 45
    assert gain.weak == ()


@pytest.mark.parametrize("change", ["gone", "edited", "broken"])
def test_samples_that_do_not_stand_behind_the_scores_give_no_certainty(tmp_path: Path, change: str) -> None:
    runs = save_all(tmp_path, 9, a=0.6, b=0.5)
    path = tmp_path / "a" / "xquad" / "ar" / "samples.jsonl"
    text = path.read_text(encoding="utf-8")
    if change == "gone":
        path.unlink()
    else:
        path.write_text(
            text.replace("[0.0, 1.0]", "[1.0, 1.0]") if change == "edited" else text[:-20], encoding="utf-8"
        )
    table = table_of(runs)
    if change == "gone":
        assert table.tests is not None
        assert table.tests.note is not None
        assert table.tests.note.startswith("runs/a/xquad/ar/results.json: its samples ")
        assert str(tmp_path) not in table.tests.note
        assert [row.rank for row in table.rows] == [1, 2]
        assert row_of(table, "a").notes == ("samples and run.json missing (ar)", "run.json missing (hi, zh)")
        assert all(row.rank_low is None and row.average_low is None for row in table.rows)
    else:
        assert [row.rank for row in table.rows] == [None, None], "one is edited, and the other alone"
        assert (row_of(table, "a").unranked or "").startswith("xquad/ar: edited: its samples ")


def test_files_are_found_with_their_samples(tmp_path: Path) -> None:
    save_all(tmp_path, 11, a=0.6, b=0.4)
    collection = collect_runs([tmp_path])
    table = table_of(collection.runs)
    assert [(row.model, row.rank_low, row.rank_high) for row in table.rows] == [("a", 1, 1), ("b", 2, 2)]


def test_a_score_without_an_interval_says_why(tmp_path: Path) -> None:
    run = save_run(tmp_path, "a", "ar", [1.0, 0.0, 1.0])
    board = build_board(make_spec(), dataclasses.replace(collect(), runs=(run,)))
    cell = board.tables[0].rows[0].cells[0]
    assert (cell.low, cell.clusters, cell.interval) == (None, 3, "none: too few clusters (3, at least 5 needed)")
    assert "- No interval, a, ar: too few clusters (3, at least 5 needed)" in board_markdown(board, command="x")


def test_the_headline_over_two_benchmarks_is_one_command(tmp_path: Path) -> None:
    models = {"base": (0.4, 0.3), "tuned": (0.5, 0.45)}
    runs = []
    for place, family in enumerate(("xquad", "mlqa")):
        rates = {model: values[place] for model, values in models.items()}
        for model, drawn in zip(models, draw(20 + place, rates=rates), strict=True):
            runs += [
                save_run(tmp_path, model, language, scores, family=family, stem=family)
                for language, scores in zip(("ar", "hi", "zh"), drawn, strict=True)
            ]
    spec = make_spec("xquad/*", "mlqa/*")
    board = build_board(spec, dataclasses.replace(collect(), runs=tuple(runs)), baseline="base")
    [table] = board.headlines
    assert (table.family, len(table.columns)) == ("xquad and mlqa", 6)
    row = row_of(table, "tuned")
    cells = [cell.value or 0 for each in board.tables for cell in row_of(each, "tuned").cells]
    theirs = [cell.value or 0 for each in board.tables for cell in row_of(each, "base").cells]
    assert row.average == pytest.approx(np.mean(cells))
    assert row.gain is not None
    assert row.gain.value == pytest.approx(np.mean([100 * (a - b) / b for a, b in zip(cells, theirs, strict=True)]))
    assert row.gain.of_means == pytest.approx(100 * (np.sum(cells) / np.sum(theirs) - 1))
    assert row.gain.low is not None
    assert row.gain.low > 0
    assert table.tests is not None
    assert table.tests.clusters == 2 * ARTICLES
    page = board_markdown(board, command="x")
    assert "## xquad and mlqa together: containment" in page
    assert build_board(spec, dataclasses.replace(collect(), runs=tuple(runs))).headlines == ()


def test_too_few_clusters_rank_by_average_and_say_so(tmp_path: Path) -> None:
    runs = [save_run(tmp_path, name, "ar", scores) for name, scores in (("a", [1.0] * 5), ("b", [1.0, 0, 0, 0, 0]))]
    board = build_board(make_spec(), dataclasses.replace(collect(), runs=tuple(runs)))
    assert [(row.model, row.rank, row.rank_low) for row in board.tables[0].rows] == [("a", 1, None), ("b", 2, None)]
    page = board_markdown(board, command="x")
    assert "- Ranks by average alone: too few clusters that all models were scored on." in page
    assert "| **100.0** [" in page
