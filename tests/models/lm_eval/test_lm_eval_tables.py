"""The tables that lm-eval prints have headings: an old pytablewriter puts letters in their place."""

import importlib

import pytest

pytest.importorskip("lm_eval", reason="needs the extra `lm-eval`")

HEADINGS = ["Version", "Filter", "n-shot", "Metric", "", "Value", "", "Stderr"]


@pytest.mark.parametrize(("column", "first"), [("results", "Tasks"), ("groups", "Groups")])
def test_the_headings_are_words(column: str, first: str) -> None:
    found = {
        column: {"capitals": {"alias": "capitals", "acc,none": 0.5, "acc_stderr,none": 0.1}},
        "versions": {"capitals": 1.0},
        "n-shot": {"capitals": 0},
        "higher_is_better": {"capitals": {"acc": True}},
        "group_subtasks": {},
    }
    table: str = importlib.import_module("lm_eval.utils").make_table(found, column)
    head, _rule, row = table.strip().splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == [first, *HEADINGS]
    assert "capitals" in row
