"""Which end of a metric is the better one."""

import dataclasses

import pytest

from xlingual.board import build_board

from .factory import collect, make_run, make_spec
from .test_ranking import only_table


@pytest.mark.parametrize(("said", "first"), [(None, "a"), (True, "a"), (False, "b")])
def test_a_metric_is_ranked_as_its_record_says(said: bool | None, first: str) -> None:
    runs = [make_run("a", "mine/en", 60.0, metric="wer"), make_run("b", "mine/en", 40.0, metric="wer")]
    told = [
        dataclasses.replace(
            run, estimates=tuple(dataclasses.replace(each, higher_is_better=said) for each in run.estimates)
        )
        for run in runs
    ]
    assert only_table(build_board(make_spec("mine/*"), collect(*told))).rows[0].model == first


def test_one_record_does_not_turn_a_table_upside_down() -> None:
    """The first file in the folder decided for all."""
    said = {"0-cheat": True, "b": False, "c": False}
    runs = [make_run(name, "mine/en", 60.0 if up else 40.0, metric="wer") for name, up in said.items()]
    told = [
        dataclasses.replace(
            run, estimates=(dataclasses.replace(run.estimates[0], higher_is_better=up), *run.estimates[1:])
        )
        for run, up in zip(runs, said.values(), strict=True)
    ]
    table = only_table(build_board(make_spec("mine/*"), collect(*told)))
    assert (table.higher_is_better, table.rows[-1].model) == (False, "0-cheat")
