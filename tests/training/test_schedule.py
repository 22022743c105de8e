"""Learning rates are those of transformers' schedulers, and of tables; the rows of a step follow from its number."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import get_cosine_schedule_with_warmup, get_scheduler

from xlingual.training.schedule import StepSchedule, learning_rate
from xlingual.tune.order import steps_of_epoch
from xlingual.tune.recipe_records import Norm, Schedule
from xlingual.tune.schedule_records import LrScheduler

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


RATES = {
    # Ten steps, a peak of 1.0: warm-up 0, 1/2 of the peak in two steps where there is one.
    ("constant", 0.0, None, 0.0): [1.0] * 10,
    ("constant", 0.2, None, 0.0): [0.0, 0.5, *[1.0] * 8],
    ("linear", 0.0, None, 0.0): [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1],
    ("linear", 0.2, None, 0.0): [0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125],
    ("linear", 0.0, None, 0.5): [1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55],
    ("wsd", 0.0, 0.5, 0.0): [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2],
    ("wsd", 0.2, 0.4, 0.0): [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25],
    ("wsd", 0.2, 0.4, 0.2): [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.6, 0.4],
    ("wsd", 0.2, 0.8, 0.0): [0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125],
    ("wsd", 0.0, 1.0, 0.0): [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1],
    ("wsd", 0.0, 0.05, 0.0): [1.0] * 10,  # half a step is one, and its rate is the peak
    ("cosine", 0.6, None, 0.0): [*(step / 6 for step in range(6)), 1.0, 0.8535533906, 0.5, 0.1464466094],
    ("cosine", 0.6, None, 0.2): [*(step / 6 for step in range(6)), 1.0, 0.8828427125, 0.6, 0.3171572875],
}


def _with_scheduler(name: str, warmup: float, ratio: float | None, least: float, rate: float = 1.0) -> Schedule:
    return replace(
        _schedule(warmup), learning_rate=rate, lr_scheduler=LrScheduler(name), decay_ratio=ratio,
        min_learning_rate=least or None,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "warmup", "ratio", "least"), RATES)
def test_rates_by_hand(name: str, warmup: float, ratio: float | None, least: float) -> None:
    schedule = _with_scheduler(name, warmup, ratio, least)
    found = [learning_rate(schedule, step, 10) for step in range(10)]
    assert found == pytest.approx(RATES[name, warmup, ratio, least], abs=1e-10)


@pytest.mark.parametrize(("warmup", "steps"), [(0.0, 7), (0.03, 40), (0.1, 25), (0.5, 9), (0.03, 1)])
@pytest.mark.parametrize(
    ("name", "oracle", "ratio", "least"),
    [
        ("linear", "linear", None, 0.0),
        ("constant", "constant_with_warmup", None, 0.0),
        ("cosine", "cosine", None, 0.0),
        ("cosine", "cosine_with_min_lr", None, 3e-6),
        ("wsd", "warmup_stable_decay", 0.3, 0.0),
        ("wsd", "warmup_stable_decay", 0.3, 3e-6),
    ],
)
def test_schedulers_are_those_of_transformers(
    name: str, oracle: str, ratio: float | None, least: float, warmup: float, steps: int
) -> None:
    schedule = _with_scheduler(name, warmup, ratio, least, rate=2e-5)
    warm = math.ceil(warmup * steps)
    more: dict[str, float | str] = {}
    if oracle == "cosine_with_min_lr":
        more = {"min_lr": least}
    if ratio is not None:
        decay = min(math.ceil(ratio * steps), steps - warm)
        more = {"num_decay_steps": decay, "decay_type": "linear", "min_lr_ratio": least / 2e-5}
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=2e-5)
    reference = get_scheduler(oracle, optimizer, warm, steps, scheduler_specific_kwargs=more)
    for step in range(steps):
        # The warm-up of transformers' warmup_stable_decay begins at the least rate, ours at 0 as all the others.
        if step >= warm or not (ratio and least):
            assert learning_rate(schedule, step, steps) == pytest.approx(reference.get_last_lr()[0], abs=1e-18)
        optimizer.step()
        reference.step()


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
