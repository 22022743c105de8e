"""What stands in which cell, and what is said beside it."""

import dataclasses

import pytest

from xlingual.records import ModelSpec, Origin, RunRecord
from xlingual.view.samples import score_samples
from xlingual.view.tables import ViewTable, build_tables, language_tag, show_estimate

from ..board.factory import collect, fail_examples, limit_run, make_estimate, make_run


def tables_of(*records: RunRecord) -> tuple[ViewTable, ...]:
    return build_tables(collect(*records).runs)


def notes_of(table: ViewTable) -> dict[tuple[str, ...], tuple[int | None, ...]]:
    return {(row.model, *row.notes): row.runs for row in table.rows}


def test_rows_are_models_and_columns_tasks() -> None:
    runs = [make_run(model, f"xquad/{code}", 1.0) for model in ("b", "a") for code in ("zh", "ar")]
    (table,) = tables_of(*runs, make_run("a", "xquad/hi", 2.0))
    assert [column.variant for column in table.columns] == ["ar", "hi", "zh"]
    assert [column.lang for column in table.columns] == ["ar", "hi", "zh-Hans"]
    assert notes_of(table) == {("a",): (3, 4, 2), ("b",): (1, None, 0)}
    assert table.metrics[0].name == "containment"
    assert "shots: 0" in table.columns[0].protocol or "template: native" in table.columns[0].protocol


def test_what_is_unlike_has_a_row_of_its_own_with_the_difference_in_words() -> None:
    alike = [make_run(model, f"xquad/{code}", 1.0) for model in ("a", "b") for code in ("ar", "zh")]
    shots = [
        dataclasses.replace(run, protocol=dataclasses.replace(run.protocol, shots=5, prompts="f" * 64))
        for run in (make_run("a", "xquad/ar", 9.0), make_run("a", "xquad/zh", 9.0))
    ]
    part = limit_run(make_run("b", "xquad/ar", 9.0), 40)
    (table,) = tables_of(*alike, *shots, part)
    assert notes_of(table) == {
        ("a",): (0, 1),
        ("b",): (2, 3),
        ("b", "limited to examples 1-40"): (6, None),
        ("a", "other prompts", "shots: 5, not 0"): (4, 5),
    }


def test_runs_that_are_all_limited_alike_compare_with_each_other() -> None:
    """Each was "not comparable", and striped for it."""
    runs = [limit_run(make_run(model, "xquad/ar", 9.0), 40) for model in ("a", "b")]
    (table,) = tables_of(*runs)
    assert [row.notes for row in table.rows] == [(), ()]
    assert show_estimate(runs[0], "containment", runs[1])[4] == "limited"  # type: ignore[index]
    (table,) = tables_of(*runs, limit_run(make_run("c", "xquad/ar", 9.0), 7))
    assert sorted(row.notes for row in table.rows) == [(), (), ("limited to examples 1-7",)]


def test_two_runs_of_one_cell_are_both_shown() -> None:
    first = make_run("a", "xquad/ar", 1.0)
    others = [
        dataclasses.replace(first, protocol=dataclasses.replace(first.protocol, prompts=digit * 64)) for digit in "ef"
    ]
    (table,) = tables_of(first, make_run("b", "xquad/ar", 1.0), *others)
    assert sorted(run for row in table.rows for run in row.runs if run is not None) == [0, 1, 2, 3]
    assert len({(row.model, row.notes) for row in table.rows}) == 4


def test_controls_stand_apart_and_sample_data_have_a_table_of_their_own() -> None:
    oracle = make_run("a-oracle", "xquad/ar", 100.0)
    oracle = dataclasses.replace(oracle, model=dataclasses.replace(oracle.model, backend="oracle"))
    sample = dataclasses.replace(make_run("a", "xquad/ar", 3.0), origin=Origin.SAMPLE)
    real, small = tables_of(make_run("b", "xquad/ar", 1.0), oracle, sample)
    assert real.rows[0].remark is None
    assert [(row.model, row.control) for row in real.rows] == [("b", None), ("a-oracle", "ceiling")]
    assert (real.sample, small.sample) == (False, True)


def test_a_cell_says_what_it_is() -> None:
    whole = make_run("a", "xquad/ar", 50.0)
    assert show_estimate(whole, "containment", whole) == [50.0, 48.0, 52.0, 1190, "complete", None]
    failed = show_estimate(fail_examples(whole, 90), "containment", whole)
    assert failed == [50.0, 48.0, 52.0, 1100, "incomplete", None]
    none = show_estimate(make_run("a", "xquad/ar", None), "containment", whole)
    assert none == [None, None, None, 0, "not computed", "no tokenizer model"]
    other = dataclasses.replace(
        whole, estimates=(dataclasses.replace(make_estimate("containment", 5.0), signature="v:2"),)
    )
    shown = show_estimate(other, "containment", whole)
    assert isinstance(shown, list)
    assert shown[5] == "other metric signature"


def test_samples_have_scores_of_their_own() -> None:
    assert score_samples("containment", [[1.0, 1.0], None, [0.25, 1.0], [0.0, 0.0]]) == (1000, None, 250, None)
    assert score_samples("of-a-plugin", [[0.5, 1.0]]) == (500,)
    assert score_samples("of-a-plugin", [[0.5, 1.0, 2.0]]) == (None,)
    assert score_samples("containment", [[1.0, 1.0], [1.0]]) == (None, None)
    assert score_samples("containment", [["x", 1.0], "?"]) == (None, None)
    assert score_samples("containment", []) == ()


def test_languages_have_tags_that_browsers_know() -> None:
    assert [language_tag(code) for code in ("zh", "zho_trad", "ar", '??"')] == ["zh-Hans", "zh-Hant", "ar", ""]


def test_labels_hold_no_path_of_the_machine() -> None:
    run = make_run("x", "xquad/ar", 1.0)
    model: ModelSpec = dataclasses.replace(run.model, name="/home/Anna/models/tuned")
    (table,) = tables_of(dataclasses.replace(run, model=model))
    assert table.rows[0].model == "~/models/tuned"


@pytest.mark.parametrize(
    ("backend", "remark"),
    [
        ("scripted", "answers from a file"),
        ("openai", "weights not known: a server's word"),
    ],
)
def test_what_a_backend_cannot_know_stands_below_the_name(backend: str, remark: str) -> None:
    run = make_run("a", "xquad/ar", 3.0)
    run = dataclasses.replace(run, model=dataclasses.replace(run.model, backend=backend, revision=None))
    (table,) = tables_of(run)
    assert (table.rows[0].remark, table.rows[0].notes) == (remark, ())
