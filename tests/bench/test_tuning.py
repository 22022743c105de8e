"""What the bench of tuning says of its other side, and the padding and ratios of its lines."""

import random
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bench import tuning
from transformers import TrainingArguments


def test_trainer_has_the_micro_batches_and_the_optimizer_that_are_its_defaults() -> None:
    defaults = {each.name: each.default for each in fields(TrainingArguments)}
    assert defaults["per_device_train_batch_size"] == tuning.MICRO_BATCH_ROWS
    assert str(getattr(defaults["optim"], "value", defaults["optim"])).startswith("adamw_torch")


@pytest.mark.parametrize("seed", range(5))
def test_a_line_has_the_padding_of_micro_batches_and_the_ratio_of_useful_tokens(seed: int) -> None:
    chance = random.Random(seed)
    lengths = np.array([chance.randint(1, 300) for _ in range(40)])
    rows = np.array(chance.sample(range(40), 16))
    schedule = SimpleNamespace(step=lambda _number: SimpleNamespace(rows=rows))
    training: Any = SimpleNamespace(lengths=lengths, step_schedule=schedule)
    theirs, ours = (tuning.Cost(wall=chance.uniform(1, 9), processor=chance.uniform(1, 9), loss=1.5) for _ in range(2))
    line = tuning.describe(training, 0, theirs, ours)
    computed = sum(8 * lengths[rows[at : at + 8]].max() for at in (0, 8))
    useful = lengths[rows].sum()
    assert f"{100 - 100 * useful / computed:.0f}%" in line
    assert f"{(useful / ours.wall) / (useful / theirs.wall):.2f}x" in line
    assert f"{useful / theirs.wall:.1f}" in line
