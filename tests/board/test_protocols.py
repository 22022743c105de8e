"""One protocol a table, shared columns, no lone ranks, and what a row would hide."""

import dataclasses
from pathlib import Path

import pytest

from xlingual.board import build_board
from xlingual.board.markdown import board_markdown
from xlingual.board.rows import Board, BoardTable, CellState
from xlingual.identity import Json
from xlingual.records import Estimate, RunRecord
from xlingual.thinking import ThinkingMode

from .factory import EXAMPLES, collect, make_estimate, make_run, make_spec
from .test_inference import save_run


def board_of(*records: RunRecord, **protocol: Json) -> Board:
    return build_board(dataclasses.replace(make_spec(), protocol=protocol), collect(*records))


def table_of(*records: RunRecord, **protocol: Json) -> BoardTable:
    [table] = board_of(*records, **protocol).tables
    return table


def ranked(table: BoardTable) -> set[str]:
    return {row.model for row in table.rows if row.rank is not None}


def row_note(table: BoardTable, model: str) -> str:
    return "; ".join(next(row.notes for row in table.rows if row.model == model))


def shots(run: RunRecord, count: int) -> RunRecord:
    return dataclasses.replace(run, protocol=dataclasses.replace(run.protocol, shots=count, seed=0 if count else None))


def runs_of(model: str, *languages: str, value: float = 50.0, day: int = 1, count: int = 0) -> list[RunRecord]:
    return [shots(make_run(model, f"xquad/{each}", value, day=day), count) for each in languages]


def count_in(run: RunRecord, field: str, count: int) -> RunRecord:
    changed = {"passages_cut": run.counts.passages_cut, "shots_dropped": run.counts.shots_dropped, field: count}
    counts = dataclasses.replace(
        run.counts, passages_cut=changed["passages_cut"], shots_dropped=changed["shots_dropped"]
    )
    return dataclasses.replace(run, counts=counts)


def estimate_in(run: RunRecord, *estimates: Estimate) -> RunRecord:
    names = {each.metric for each in estimates}
    kept = [each for each in run.estimates if each.metric not in names]
    return dataclasses.replace(run, estimates=(*kept, *estimates))


def test_newer_five_shot_runs_in_one_language_do_not_take_its_column() -> None:
    """S7: ar 0-shot and zh 5-shot were averaged, and the clean runs on zh were "not ranked"."""
    clean = [run for model in "ab" for run in runs_of(model, "ar", "zh")]
    five = [run for model in "ab" for run in runs_of(model, "zh", day=9, count=5)]
    board = board_of(*clean, *five)
    [table] = board.tables
    assert [column.protocol.shots for column in table.columns] == [0, 0]
    assert ranked(table) == {"a", "b"}
    assert {(item.task, item.differences[0].field, item.differences[0].run) for item in board.not_ranked} == {
        ("xquad/zh", "shots", "5")
    }


def test_a_language_that_was_asked_in_another_way_alone_is_no_column() -> None:
    records = [run for model in "ab" for run in [*runs_of(model, "ar", "hi"), *runs_of(model, "zh", count=5)]]
    board = board_of(*records)
    assert [column.task for column in board.tables[0].columns] == ["xquad/ar", "xquad/hi"]
    assert {(item.model, item.task) for item in board.not_ranked} == {("a", "xquad/zh"), ("b", "xquad/zh")}
    assert {each.field for item in board.not_ranked for each in item.differences} == {"shots", "seed"}


def test_tasks_of_lm_eval_have_their_own_shots() -> None:
    metric = "lm-eval:acc:mean"
    records = [
        shots(make_run(model, f"lm-eval/{task}", 50.0, metric=metric), count)
        for model in "ab"
        for task, count in (("arc", 25), ("hellaswag", 10))
    ]
    [table] = build_board(make_spec("*/*"), collect(*records)).tables
    assert [column.protocol.shots for column in table.columns] == [25, 10]
    assert ranked(table) == {"a", "b"}


def test_a_leaderboard_may_name_its_protocol() -> None:
    zero = [run for model in "abc" for run in runs_of(model, "ar", "zh")]
    five = [run for model in "ab" for run in runs_of(model, "ar", "zh", count=5)]
    board = board_of(*zero, *five, shots=5)
    assert {column.protocol.shots for column in board.tables[0].columns} == {5}
    assert ranked(board.tables[0]) == {"a", "b"}
    assert len(board.not_ranked) == 6
    thought = board_of(*zero, thinking="on")
    assert thought.tables[0].columns == ()
    assert {(each.field, each.run, each.ranked) for item in thought.not_ranked for each in item.differences} == {
        ("thinking", "none", "on")
    }
    page = board_markdown(thought, command="x")
    assert "| thinking | none | on |" in page
    assert "No run was asked in the way that this leaderboard is for" in page
    assert "| Rank |" not in page


def test_the_protocol_stands_above_its_table() -> None:
    page = board_markdown(board_of(*runs_of("a", "ar"), *runs_of("b", "ar")), command="x")
    assert page.index("- Protocol: split test, shots 0, template native") < page.index("| Rank | Model |")


def test_two_models_with_unlike_protocols_are_both_shown_and_neither_is_ranked() -> None:
    """S18: the newest alone was rank 1."""
    board = board_of(*runs_of("a", "ar"), *runs_of("b", "ar", day=5, count=5))
    [row] = board.tables[0].rows
    assert (row.model, row.rank, row.unranked) == ("b", None, "no other model can be compared with it")
    assert [(item.model, item.value) for item in board.not_ranked] == [("a", 50.0)]
    page = board_markdown(board, command="x")
    assert "- Not ranked, b: no other model can be compared with it." in page


def test_one_model_alone_keeps_its_place() -> None:
    assert ranked(table_of(*runs_of("a", "ar", "zh"))) == {"a"}


@pytest.mark.parametrize("models", ["ab", "abcd"])
def test_an_extra_language_of_one_model_keeps_no_other_from_its_rank(models: str) -> None:
    """S17: all others were unranked."""
    records = [run for model in models for run in runs_of(model, "ar", "hi", "zh")]
    board = board_of(*records, *runs_of("a", "vi"))
    [table] = board.tables
    assert ranked(table) == set(models)
    assert table.ranked_columns == ("xquad/ar", "xquad/hi", "xquad/zh")
    page = board_markdown(board, command="x")
    assert "- Averages and ranks are over ar, hi, zh, which most models have; beside them: vi." in page


def test_a_lucky_language_does_not_become_the_board() -> None:
    records = [run for model in "ab" for run in runs_of(model, "ar", "hi", "zh")]
    table = table_of(*records, *runs_of("lucky", "zh", value=99.0))
    assert ranked(table) == {"a", "b"}
    assert ranked(table_of(*records[:3], *runs_of("lucky", "zh", value=99.0))) == set()


@pytest.mark.parametrize(("cut", "rank"), [(0, 1), (59, 1), (60, None), (EXAMPLES, None)])
@pytest.mark.parametrize(
    ("field", "words"), [("passages_cut", "passages cut"), ("shots_dropped", "demonstrations dropped")]
)
def test_cut_prompts_are_marked_and_above_the_bar_not_ranked(
    field: str, words: str, cut: int, rank: int | None
) -> None:
    """S8, and the demonstrations likewise."""
    first = count_in(runs_of("a", "ar", value=60.0)[0], field, cut)
    table = table_of(first, *runs_of("b", "ar"), *runs_of("c", "ar", value=40.0))
    row = next(row for row in table.rows if row.model == "a")
    assert row.rank == rank
    assert (words in "; ".join(row.notes)) == (cut > 0)
    assert row.cells[0].state is (CellState.COMPLETE if rank else CellState.MARKED)


@pytest.mark.parametrize(
    ("metric", "rate", "value", "ranks"),
    [
        ("containment", "passage_copy", 29.0, {"a", "b", "c"}),
        ("containment", "passage_copy", 31.0, {"b", "c"}),
        ("containment", "length_ratio", 7000.0, {"a", "b", "c"}),
        ("squad_f1", "passage_copy", 100.0, {"a", "b", "c"}),
        ("containment", "truncated", 100.0, {"a", "b", "c"}),
        ("comet22", "source_copy", 2.0, {"a", "b", "c"}),
        ("cometkiwi22", "off_target", 6.0, {"a", "b", "c"}),
    ],
)
def test_copies_of_the_passage_keep_a_row_from_its_rank_where_the_metric_gains_by_them(
    metric: str, rate: str, value: float, ranks: set[str]
) -> None:
    """S9."""
    runs = [make_run(model, "xquad/ar", 50.0, metric=metric) for model in "abc"]
    runs[0] = estimate_in(runs[0], make_estimate(rate, value))
    table = table_of(*runs)
    assert ranked(table) == ranks
    assert f"{value:.1f}%" in row_note(table, "a")


def test_template_dtype_and_engine_are_in_the_row_where_rows_differ() -> None:
    """S19: chat and bfloat16 beside raw and float32, unmarked."""
    [one], [other] = runs_of("a", "ar"), runs_of("b", "ar")
    chat = dataclasses.replace(
        one, template="chat", model=dataclasses.replace(one.model, dtype="bfloat16", backend="vllm")
    )
    table = table_of(chat, other)
    assert row_note(table, "a") == "template chat; dtype bfloat16; engine vllm"
    assert row_note(table, "b") == "template alpaca; dtype float32; engine hf"
    assert all(row.notes == () for row in table_of(one, other).rows)


def test_a_server_whose_weights_are_not_known_is_marked() -> None:
    [one], [other] = runs_of("a", "ar"), runs_of("b", "ar")
    served = dataclasses.replace(one, model=dataclasses.replace(one.model, backend="openai", revision=None))
    assert "weights not known: a server's word" in row_note(table_of(served, other), "a")


def test_thinking_is_of_the_protocol() -> None:
    [run] = runs_of("c", "ar")
    thought = dataclasses.replace(run, protocol=dataclasses.replace(run.protocol, thinking=ThinkingMode.ON))
    board = board_of(*runs_of("a", "ar"), *runs_of("b", "ar"), thought)
    assert [each.field for each in board.not_ranked[0].differences] == ["thinking"]


def test_languages_are_called_parallel_only_where_their_items_are(tmp_path: Path) -> None:
    """S21: TQuAD, ARCD and CMRC on one board were "parallel"."""
    scores = [float(index % 3 == 0) for index in range(EXAMPLES)]
    for stems, parallel in ((("q", "q"), True), (("tquad", "arcd"), False)):
        runs = [
            save_run(tmp_path / stems[1], model, language, scores, stem=stem)
            for model in "ab"
            for language, stem in zip(("ar", "tr"), stems, strict=True)
        ]
        board = build_board(make_spec(), dataclasses.replace(collect(), runs=tuple(runs)))
        tests = board.tables[0].tests
        assert tests is not None
        assert tests.parallel is parallel
        page = board_markdown(board, command="x")
        assert ("the languages are parallel" in page) is parallel


def test_tables_of_unlike_protocols_have_no_headline() -> None:
    def board(count: int) -> Board:
        records = [
            shots(make_run(model, f"{family}/ar", 50.0), count if family == "mlqa" else 0)
            for model in ("base", "tuned")
            for family in ("xquad", "mlqa")
        ]
        return build_board(make_spec("xquad/*", "mlqa/*"), collect(*records), baseline="base")

    assert len(board(0).headlines) == 1
    assert board(5).headlines == ()
