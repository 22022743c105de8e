"""A gain is a difference in points; it is relative only where the baseline is clearly above zero."""

import dataclasses

import pytest

from xlingual.board import board_markdown, build_board
from xlingual.cli.board_terminal import show_board

from .factory import collect, make_estimate, make_run, make_spec


@pytest.mark.parametrize(
    ("base", "tuned", "near_zero"),
    [(0.1, 1.0, True), (4.9, 9.8, True), (5.1, 10.2, False), (0.0, 1.0, True), (40.0, 44.0, False)],
)
def test_no_relative_gain_is_shown_over_a_baseline_near_zero(
    base: float, tuned: float, near_zero: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page was headed by +915.2% over a chrF++ of 0.1. Intervals here have no width, and cast no doubt."""
    records = [
        dataclasses.replace(
            run, estimates=tuple(dataclasses.replace(each, low=value, high=value) for each in run.estimates)
        )
        for model, value in (("alpaca", base), ("x-llama", tuned))
        for run in (make_run(model, f"xquad/{code}", value) for code in ("ar", "hi"))
    ]
    board = build_board(make_spec(), collect(*records), baseline="alpaca")
    gain = board.tables[0].rows[0].gain
    assert gain is not None
    assert gain.points == pytest.approx(tuned - base)
    assert (gain.clear_value is None, gain.clear_means is None) == (near_zero, near_zero)
    page = board_markdown(board, command="x")
    assert f"| {tuned - base:+.1f} | " in page
    assert ("%" in page.partition("| 1 | x-llama")[2].partition("\n")[0]) is not near_zero
    assert ("the average of the baseline is near zero" in page) is near_zero
    capsys.readouterr()
    show_board(board)
    shown = capsys.readouterr().out
    assert f"{tuned - base:+.1f}" in shown
    assert (".0%" in shown) is not near_zero
    metric = "lm-eval:loss:mean:lower"
    other = [dataclasses.replace(run, estimates=(make_estimate(metric, run.estimates[0].value),)) for run in records]
    unbounded = build_board(make_spec(xquad=(metric,)), collect(*other), baseline="alpaca").tables[0].rows
    gains = [row.gain for row in unbounded if row.gain is not None]
    assert all(each.points is not None for each in gains)
