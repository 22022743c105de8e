"""What `tune plan` says of a step, also where the training is shorter than an epoch."""

from dataclasses import replace

import pytest

from xlingual.cli.tune.plan import tokens_of_a_step
from xlingual.tune.records import MixPlan

from .conftest import DataFolder


@pytest.fixture
def plan(data_folder: DataFolder) -> MixPlan:
    data_folder.instructions("a.jsonl", [("说一个词。", "", "词")])
    table = '[sources.a]\nreader = "alpaca"\npath = "a.jsonl"\nlanguage = "zh"\n'
    return data_folder.plan(data_folder.recipe(table)).plan


@pytest.mark.parametrize(
    ("rows", "tokens", "epochs", "rows_per_step", "tokens_per_step", "expected"),
    [
        (800, 112_300, 1.0, 8, None, 1_123.0),
        (800, 112_300, 0.01, 8, None, 1_123.0),
        (800, 112_300, 3.0, 8, None, 1_123.0),
        (4, 600, 2.0, 8, None, 600.0),
        (800, 112_300, 2.0, None, 4_000, 112_300 * 2.0 / 58),
        (800, 112_300, 0.01, None, 4_000, 4_000.0),
    ],
)
def test_tokens_of_a_step(
    rows: int,
    tokens: int,
    epochs: float,
    rows_per_step: int | None,
    tokens_per_step: int | None,
    expected: float,
    plan: MixPlan,
) -> None:
    schedule = replace(
        plan.recipe.schedule, epochs=epochs, rows_per_step=rows_per_step, tokens_per_step=tokens_per_step
    )
    changed = replace(plan, rows=rows, tokens=tokens, steps=58, recipe=replace(plan.recipe, schedule=schedule))
    assert tokens_of_a_step(changed) == pytest.approx(expected)
