"""Numbers by hand: averages, ranks, gains; and every way out of a ranking."""

import dataclasses

import pytest

from xlingual.board import build_board
from xlingual.board.markdown import board_markdown
from xlingual.board.rows import Board, BoardTable, CellState, ProtocolDifference
from xlingual.board.spec import RATES, BoardOrigin
from xlingual.records import Origin, Protocol, RunRecord
from xlingual.sampling import Sampling
from xlingual.thinking import ThinkingMode

from .factory import EXAMPLES, collect, fail_examples, limit_run, make_estimate, make_run, make_spec

SCORES = {
    "alpaca": {"ar": 20.0, "hi": 10.0, "zh": 40.0},
    "x-llama": {"ar": 30.0, "hi": 15.0, "zh": 44.0},
    "m-llama": {"ar": 25.0, "hi": 20.0, "zh": 30.0},
}


def three_models() -> list[RunRecord]:
    return [make_run(model, f"xquad/{code}", value) for model, row in SCORES.items() for code, value in row.items()]


def board_of(*records: RunRecord, baseline: str | None = None, include_limited: bool = False) -> Board:
    return build_board(make_spec(), collect(*records), baseline=baseline, include_limited=include_limited)


def only_table(board: Board) -> BoardTable:
    (table,) = board.tables
    return table


def replace_run(records: list[RunRecord], model: str, task: str, run: RunRecord | None) -> list[RunRecord]:
    kept = [each for each in records if (each.model.name, each.protocol.task) != (model, task)]
    return kept + ([run] if run is not None else [])


def test_averages_ranks_and_gains_are_those_of_a_hand_calculation() -> None:
    table = only_table(board_of(*three_models(), baseline="alpaca"))
    assert [column.variant for column in table.columns] == ["ar", "hi", "zh"]
    rows = {row.model: row for row in table.rows}
    assert [row.model for row in table.rows] == ["x-llama", "m-llama", "alpaca"]
    assert [row.rank for row in table.rows] == [1, 2, 3]
    assert rows["x-llama"].average == pytest.approx((30 + 15 + 44) / 3)
    assert rows["m-llama"].average == pytest.approx(25.0)
    assert rows["alpaca"].average == pytest.approx(70 / 3)
    x_gain, m_gain = rows["x-llama"].gain, rows["m-llama"].gain
    assert x_gain is not None
    assert m_gain is not None
    assert x_gain.value == pytest.approx((50 + 50 + 10) / 3)
    assert m_gain.value == pytest.approx((25 + 100 - 25) / 3)
    assert rows["alpaca"].gain is None


def test_averages_that_differ_by_rounding_only_share_a_rank() -> None:
    low, middle, high = 0.1, 0.2, 0.3
    values = {"b": (low, middle, high), "a": (middle, middle, middle), "c": (0.0, 0.0, 0.0)}
    records = [
        make_run(model, f"xquad/{code}", value)
        for model, row in values.items()
        for code, value in zip(("ar", "hi", "zh"), row, strict=True)
    ]
    assert [(row.model, row.rank) for row in only_table(board_of(*records)).rows] == [("a", 1), ("b", 1), ("c", 3)]


@pytest.mark.parametrize("metric", ["empty", "lm-eval:word_perplexity:weighted_perplexity:lower"])
def test_a_metric_of_failures_ranks_the_lowest_first(metric: str) -> None:
    spec = make_spec(xquad=(metric,))
    many = dataclasses.replace(make_run("many", "xquad/ar", 1), estimates=(make_estimate(metric, 9.0),))
    few = dataclasses.replace(make_run("few", "xquad/ar", 1), estimates=(make_estimate(metric, 3.0),))
    table = only_table(build_board(spec, collect(many, few)))
    assert not table.higher_is_better
    assert [(row.model, row.rank) for row in table.rows] == [("few", 1), ("many", 2)]


def test_a_missing_language_leaves_the_row_without_average_and_its_gain_over_the_common_columns() -> None:
    table = only_table(board_of(*replace_run(three_models(), "x-llama", "xquad/hi", None), baseline="alpaca"))
    row = table.rows[-1]
    assert (row.model, row.average, row.rank) == ("x-llama", None, None)
    assert row.cells[1].state is CellState.MISSING
    assert row.gain is not None
    assert row.gain.value == pytest.approx((50 + 10) / 2)
    assert row.gain.columns == ("xquad/ar", "xquad/zh")


def test_a_baseline_of_zero_gives_no_gain_and_says_where() -> None:
    records = replace_run(three_models(), "alpaca", "xquad/hi", make_run("alpaca", "xquad/hi", 0.0))
    board = board_of(*records, baseline="alpaca")
    table = only_table(board)
    gain = table.rows[0].gain
    assert gain is not None
    assert gain.value is None
    assert gain.reason == "the baseline scores 0 in xquad/hi"
    mine = sum(cell.value or 0.0 for cell in table.rows[0].cells)
    base = sum(cell.value or 0.0 for row in table.rows if row.model == "alpaca" for cell in row.cells)
    assert gain.of_means == pytest.approx(100 * (mine / base - 1)), "the ratio of means needs no column above 0"
    page = board_markdown(board, command="x")
    assert "- No mean of ratios of x-llama: the baseline scores 0 in xquad/hi." in page
    nothing = [make_run(model, "xquad/hi", value) for model, value in (("alpaca", 0.0), ("x-llama", 5.0))]
    gain = only_table(board_of(*nothing, baseline="alpaca")).rows[0].gain
    assert gain is not None
    assert (gain.value, gain.of_means) == (None, None)


@pytest.mark.parametrize(
    ("word", "note"),
    [
        ("nobody", "No gains: the baseline nobody has no run here."),
        ("twin", "No gains: 2 models are called twin."),
        ("hf:alpaca", None),
    ],
)
def test_a_baseline_that_is_not_one_model_is_said(word: str, note: str | None) -> None:
    twin = make_run("twin", "xquad/ar", 1.0)
    other = dataclasses.replace(twin, model=dataclasses.replace(twin.model, fingerprint="f" * 64))
    board = board_of(*three_models(), twin, other, baseline=word)
    assert board.notes == ((note,) if note else ())
    assert {row.model for row in only_table(board).rows} >= {
        f"twin ({'f' * 8})",
        f"twin ({twin.model.fingerprint[:8]})",
    }


def test_names_that_look_alike_are_told_apart() -> None:
    names = ("alpaca", "Alpaca ", "\uff41lpaca", "other")
    labels = {row.model for row in only_table(board_of(*(make_run(name, "xquad/ar", 1.0) for name in names))).rows}
    assert "other" in labels
    assert sum("(" in label for label in labels) == 3


def test_one_failed_example_takes_a_row_out_of_the_ranking() -> None:
    broken = fail_examples(make_run("x-llama", "xquad/ar", 99.0), 273)
    table = only_table(board_of(*replace_run(three_models(), "x-llama", "xquad/ar", broken), baseline="alpaca"))
    row = table.rows[-1]
    assert (row.model, row.average, row.rank) == ("x-llama", None, None)
    assert (row.cells[0].state, row.cells[0].n, row.cells[0].expected) == (CellState.INCOMPLETE, 917, EXAMPLES)
    assert row.gain is not None
    assert row.gain.columns == ("xquad/hi", "xquad/zh")
    assert [each.rank for each in table.rows] == [1, 2, None]


def test_a_failure_that_was_scored_as_an_answer_is_incomplete_all_the_same() -> None:
    run = make_run("a", "xquad/ar", 50.0)
    run = dataclasses.replace(run, counts=dataclasses.replace(run.counts, answered=EXAMPLES - 3, failed=1, missing=2))
    cell = only_table(board_of(run)).rows[0].cells[0]
    assert (cell.state, cell.n) == (CellState.INCOMPLETE, EXAMPLES - 3)


@pytest.mark.parametrize(("n", "unscored"), [(EXAMPLES - 1, 1), (EXAMPLES, 1), (EXAMPLES - 1, 0)])
def test_an_example_that_the_metric_did_not_judge_is_incomplete(n: int, unscored: int) -> None:
    estimate = make_estimate("containment", 50.0, n=n, unscored=unscored)
    cell = (
        only_table(board_of(dataclasses.replace(make_run("a", "xquad/ar", 1), estimates=(estimate,)))).rows[0].cells[0]
    )
    assert (cell.state, cell.n) == (CellState.INCOMPLETE, EXAMPLES - 1)


def test_a_metric_without_a_value_is_not_computed_and_not_a_zero() -> None:
    spec = make_spec("flores101/*", flores101=("chrf++", "spbleu"))
    run = make_run("a", "flores101/en-zh", 30.0, metric="chrf++")
    run = dataclasses.replace(run, estimates=(*run.estimates, make_estimate("spbleu", None, n=0)))
    plain, tokenized = build_board(spec, collect(run)).tables
    assert (plain.rows[0].rank, tokenized.rows[0].rank) == (1, None)
    cell = tokenized.rows[0].cells[0]
    assert (cell.state, cell.value, cell.reason) == (CellState.NOT_COMPUTED, None, "no tokenizer model")


CHANGES: dict[str, object] = {
    "task_version": "2",
    "split": "dev",
    "data": "d" * 64,
    "n": 7,
    "prompts": "e" * 64,
    "template": "raw",
    "shots": 5,
    "seed": 1,
    "max_new_tokens": 512,
    "stop": ("\n",),
    "on_overflow": "fail",
    "system": "Be brief.",
    "prompt_language": "en",
    "variant": "question-first",
    "shots_as_text": True,
    "sampling": Sampling(temperature=0.6),
    "sampling_source": "model",
    "sample_seed": 7,
    "repeats": 4,
    "thinking": ThinkingMode.OFF,
    "max_thinking_tokens": 64,
    "extract": "last_number",
}


def test_the_changes_below_are_all_of_a_protocol() -> None:
    assert {*CHANGES, "task", "limit"} == {field.name for field in dataclasses.fields(Protocol)}


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_that_differs_in_one_field_is_not_ranked_and_the_field_is_named(name: str) -> None:
    records = three_models()
    run = make_run("x-llama", "xquad/ar", 99.0, day=9)
    # The contract has no function to change one field by name; mypy cannot follow one either.
    changed = dataclasses.replace(run.protocol, **{name: CHANGES[name]})  # type: ignore[arg-type]  # by name
    board = board_of(*replace_run(records, "x-llama", "xquad/ar", dataclasses.replace(run, protocol=changed)))
    (item,) = board.not_ranked
    assert (item.model, item.task, item.value) == ("x-llama", "xquad/ar", 99.0)
    (difference,) = item.differences
    assert difference.field == name
    assert difference.run != difference.ranked
    row = only_table(board).rows[-1]
    assert (row.model, row.rank, row.cells[0].state) == ("x-llama", None, CellState.MISSING)


def test_another_signature_of_the_metric_is_not_ranked() -> None:
    run = make_run("x-llama", "xquad/ar", 99.0)
    other = dataclasses.replace(run.estimates[0], signature="score:containment|v:2")
    run = dataclasses.replace(run, estimates=(other,))
    (item,) = board_of(*replace_run(three_models(), "x-llama", "xquad/ar", run)).not_ranked
    assert item.differences == (
        ProtocolDifference(field="metric signature", run="score:containment|v:2", ranked="score:containment|v:1"),
    )


def test_the_protocol_that_most_models_share_is_ranked_even_if_another_is_newer() -> None:
    def shots(run: RunRecord, count: int) -> RunRecord:
        return dataclasses.replace(run, protocol=dataclasses.replace(run.protocol, shots=count))

    zero = [make_run("a", "xquad/ar", 10.0), make_run("b", "xquad/ar", 20.0)]
    five = [shots(make_run("b", "xquad/ar", 90.0, day=8), 5), shots(make_run("a", "xquad/ar", 80.0, day=9), 5)]
    assert only_table(board_of(*zero, five[1])).columns[0].protocol.shots == 0
    assert only_table(board_of(*zero, *five)).columns[0].protocol.shots == 5, "a tie goes to the newest run"
    assert len(board_of(*zero, *five).not_ranked) == 2


def test_limited_runs_are_left_out_or_marked_and_never_ranked() -> None:
    records = three_models()
    part = limit_run(make_run("tiny", "xquad/ar", 100.0), 40)
    hidden = board_of(*records, part)
    assert [item.reason for item in hidden.left_out] == ["limited to 1-40"]
    assert len(only_table(hidden).rows) == 3
    shown = board_of(*records, part, include_limited=True)
    row = only_table(shown).rows[-1]
    assert (row.model, row.rank, row.average) == ("tiny", None, None)
    assert (row.cells[0].state, row.cells[0].limit) == (CellState.LIMITED, "1-40")
    assert only_table(shown).columns == only_table(hidden).columns
    assert shown.not_ranked == ()


def test_a_limited_run_with_other_settings_is_not_shown_beside_the_others() -> None:
    part = limit_run(make_run("tiny", "xquad/ar", 100.0), 40)
    part = dataclasses.replace(part, protocol=dataclasses.replace(part.protocol, shots=5))
    (item,) = board_of(*three_models(), part, include_limited=True).not_ranked
    assert [difference.field for difference in item.differences] == ["shots"]


def test_a_whole_run_stands_before_a_newer_limited_one_and_a_long_one_before_a_short_one() -> None:
    whole = make_run("a", "xquad/ar", 50.0)
    parts = [
        limit_run(make_run("a", "xquad/ar", 90.0, day=5), 40),
        limit_run(make_run("a", "xquad/ar", 80.0, day=4), 80),
    ]
    assert only_table(board_of(whole, *parts, include_limited=True)).rows[0].cells[0].value == 50.0
    board = board_of(*parts, include_limited=True)
    assert only_table(board).rows[0].cells[0].value == 80.0
    assert [item.reason for item in board.left_out] == ["another run of the model shows more of the task"]


@pytest.mark.parametrize(
    ("origin", "expected", "reason"),
    [
        (BoardOrigin.REAL, "real", "sample data never enter a board of real scores"),
        (BoardOrigin.SAMPLE, "sample", "real data never enter a board of sample scores"),
    ],
)
def test_sample_and_real_runs_never_share_a_board(origin: BoardOrigin, expected: str, reason: str) -> None:
    real = make_run("real", "xquad/ar", 10.0)
    sample = dataclasses.replace(make_run("sample", "xquad/ar", 99.0), origin=Origin.SAMPLE)
    board = build_board(dataclasses.replace(make_spec(), origin=origin), collect(real, sample))
    assert [row.model for row in only_table(board).rows] == [expected]
    assert [item.reason for item in board.left_out] == [reason]
    assert [model.label for model in board.models] == [expected]


def test_columns_follow_the_languages_of_the_spec_which_also_choose_the_tasks() -> None:
    spec = dataclasses.replace(make_spec(), languages=("zh", "ar"))
    assert [column.variant for column in only_table(build_board(spec, collect(*three_models()))).columns] == [
        "zh",
        "ar",
    ]


def test_families_are_shown_by_the_main_metric_of_their_runs_in_the_order_of_the_patterns() -> None:
    runs = [make_run("a", "xquad/ar", 1.0), make_run("a", "flores101/en-ar", 2.0, metric="chrf++")]
    tables = build_board(make_spec("flores101/*", "xquad/*"), collect(*runs)).tables
    assert [(table.family, table.metric) for table in tables] == [("flores101", "chrf++"), ("xquad", "containment")]


def test_tasks_of_one_family_with_unlike_main_metrics_have_a_table_each() -> None:
    accuracy, perplexity = "lm-eval:acc:mean", "lm-eval:word_perplexity:weighted_perplexity:lower"
    runs = [
        make_run(model, f"lm-eval/{task}", value, metric=metric)
        for task, metric, values in (
            ("arc", accuracy, (40.0, 60.0)),
            ("text", perplexity, (309.8, 40.5)),
            ("arc_zh", accuracy, (30.0, 20.0)),
        )
        for model, value in zip("ab", values, strict=True)
    ]
    tables = build_board(make_spec("*/*"), collect(*runs)).tables
    assert [(table.metric, table.higher_is_better, [each.variant for each in table.columns]) for table in tables] == [
        (accuracy, True, ["arc", "arc_zh"]),
        (perplexity, False, ["text"]),
    ]
    assert [[(row.model, row.rank, row.average) for row in table.rows] for table in tables] == [
        [("b", 1, 40.0), ("a", 2, 35.0)],
        [("b", 1, 40.5), ("a", 2, 309.8)],
    ]
    chosen = build_board(make_spec("*/*", **{"lm-eval": (perplexity,)}), collect(*runs)).tables
    assert [(table.metric, len(table.columns)) for table in chosen] == [(perplexity, 3)]


def test_the_rates_of_the_runs_that_are_shown_stand_below() -> None:
    (rates,) = board_of(*three_models()).rates
    assert rates.variants == ("ar", "hi", "zh")
    assert [row.metric for row in rates.rows[: len(RATES)]] == list(RATES)
    assert {cell.value for row in rates.rows for cell in row.cells} == {2.5}
    assert len(rates.rows) == 3 * len(RATES)


@pytest.mark.parametrize(
    ("unfinished", "state", "reason", "rank"),
    [
        (0, CellState.COMPLETE, None, 1),
        (11, CellState.COMPLETE, None, 1),
        (12, CellState.INCOMPLETE, "1.0% unfinished thinking", None),
        (119, CellState.INCOMPLETE, "10.0% unfinished thinking", None),
    ],
)
def test_more_than_one_per_cent_of_unfinished_thinking_marks_a_row(
    unfinished: int, state: CellState, reason: str | None, rank: int | None
) -> None:
    run = make_run("a", "xquad/ar", 1)
    run = dataclasses.replace(
        run,
        estimates=(make_estimate("containment", 50.0, n=EXAMPLES - unfinished, unscored=unfinished),),
        counts=dataclasses.replace(run.counts, unfinished_thinking=unfinished),
    )
    row = only_table(board := board_of(run)).rows[0]
    assert (row.cells[0].state, row.cells[0].reason, row.rank) == (state, reason, rank)
    assert (reason or "incomplete:") in board_markdown(board, command="x") or reason is None


def test_what_is_unscored_for_another_reason_is_not_forgiven() -> None:
    run = make_run("a", "xquad/ar", 1)
    run = dataclasses.replace(
        run,
        estimates=(make_estimate("containment", 50.0, n=EXAMPLES - 3, unscored=3),),
        counts=dataclasses.replace(run.counts, unfinished_thinking=2),
    )
    assert only_table(board_of(run)).rows[0].cells[0].state is CellState.INCOMPLETE


def test_how_questions_were_put_stands_below_the_table() -> None:
    run = make_run("a", "xquad/ar", 1)
    run = dataclasses.replace(
        run,
        protocol=dataclasses.replace(
            run.protocol,
            sampling_source="model",
            sample_seed=3,
            repeats=4,
            thinking=ThinkingMode.ON,
            system="Be brief.",
        ),
        model=dataclasses.replace(
            run.model, sampling=Sampling(temperature=0.6, top_p=0.95), details={"served as": "b"}
        ),
    )
    page = board_markdown(board_of(run), command="x")
    assert "system 'Be brief.', sampling as each model recommends, seed 3, 4 answers to each question" in page
    assert "thinking on" in page
    assert "| Samples by | Details |" in page
    assert "| temperature 0.6, top\\_p 0.95 | served as: b |" in page
