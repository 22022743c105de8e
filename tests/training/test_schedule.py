"""Learning rates are those of transformers' cosine; the rows of a step follow from its number."""

import math

import numpy as np
import pytest
import torch
from transformers import get_cosine_schedule_with_warmup

from xlingual.training.schedule import StepSchedule, learning_rate
from xlingual.tune.order import steps_of_epoch
from xlingual.tune.records import Norm, Schedule

from .conftest import make_rows


def _schedule(warmup: float = 0.0, tokens: int | None = None) -> Schedule:
    return Schedule(
        epochs=3.0, rows_per_step=None if tokens else 10, tokens_per_step=tokens, learning_rate=2e-5, warmup=warmup,
        weight_decay=0.0, clip=1.0, norm=Norm.TOKEN,
    )  # fmt: skip


@pytest.mark.parametrize(("warmup", "steps"), [(0.0, 7), (0.03, 40), (0.1, 25), (0.5, 9), (0.03, 1)])
def test_rates_are_those_of_transformers(warmup: float, steps: int) -> None:
    schedule = _schedule(warmup)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=schedule.learning_rate)
    oracle = get_cosine_schedule_with_warmup(optimizer, math.ceil(warmup * steps), steps)
    for step in range(steps):
        assert learning_rate(schedule, step, steps) == pytest.approx(oracle.get_last_lr()[0], abs=1e-18)
        optimizer.step()
        oracle.step()


@pytest.mark.parametrize("tokens", [None, 300])
def test_a_step_is_the_same_after_any_resume(tokens: int | None) -> None:
    rows, schedule = make_rows(), _schedule(tokens=tokens)
    expected = [
        (epoch, step.tolist()) for epoch in range(3) for step in steps_of_epoch(rows, schedule, seed=9, epoch=epoch)
    ]
    for first in (0, 1, len(expected) // 2, len(expected) - 1):
        step_schedule = StepSchedule(rows=rows, schedule=schedule, seed=9)
        for number in range(first, len(expected)):
            step = step_schedule.step(number)
            assert (step.epoch, step.rows.tolist()) == expected[number]
    assert step_schedule.step(0).rows.tolist() == expected[0][1]  # and back to the start


def test_every_epoch_draws_every_row() -> None:
    """Pitfall 10: a resumed epoch is the rest of the same permutation."""
    rows = make_rows()
    step_schedule = StepSchedule(rows=rows, schedule=_schedule(), seed=4)
    per_epoch = -(-int(rows.draws.sum()) // 10)
    for epoch in range(3):
        drawn = np.concatenate([step_schedule.step(epoch * per_epoch + step).rows for step in range(per_epoch)])
        assert np.bincount(drawn, minlength=len(rows)).tolist() == rows.draws.tolist()
