"""The step schedule: rows, epoch and learning rate of a step, all of them functions of its number."""

import math
from dataclasses import dataclass, field

from ..tune.order import steps_of_epoch
from ..tune.recipe_records import Schedule
from ..tune.records import EncodedRows, IntArray
from ..tune.schedule_records import LrScheduler


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One optimizer step: the rows of its global batch."""

    number: int
    """From 0 over the whole training."""
    epoch: int
    rows: IntArray


@dataclass(slots=True, kw_only=True)
class StepSchedule:
    """The steps of a training; an epoch is shuffled and split into steps when its first step is asked for."""

    rows: EncodedRows
    schedule: Schedule
    seed: int
    _first: int = field(default=0, init=False)
    _epoch: int = field(default=0, init=False)
    _steps: list[IntArray] = field(default_factory=list, init=False)

    def step(self, number: int) -> Step:
        """Return step `number`, from 0; quick where steps are asked for in order, from any step on."""
        if number < self._first:
            self._first, self._epoch, self._steps = 0, 0, []
        if not self._steps:
            self._steps = steps_of_epoch(self.rows, self.schedule, self.seed, self._epoch)
        while number >= self._first + len(self._steps):
            self._first += len(self._steps)
            self._epoch += 1
            self._steps = steps_of_epoch(self.rows, self.schedule, self.seed, self._epoch)
        return Step(number=number, epoch=self._epoch, rows=self._steps[number - self._first])


def learning_rate(schedule: Schedule, number: int, steps: int) -> float:
    """Return the learning rate of step `number` of `steps`: a linear warm-up from 0, then that of the scheduler.

    Those of transformers' schedulers (`cosine`, which the paper's recipe names, `linear`, `constant_with_warmup`,
    `warmup_stable_decay`): the first step of a warm-up has a rate of 0, and the least rate would be that of a step
    after the last one.
    """
    warmup = math.ceil(schedule.warmup * steps)
    if number < warmup:
        return schedule.learning_rate * number / max(warmup, 1)
    least = schedule.min_learning_rate or 0.0
    return least + (schedule.learning_rate - least) * _decay(schedule, number, warmup, steps)


def _decay(schedule: Schedule, number: int, warmup: int, steps: int) -> float:
    """Return the part that is left of the way from the least rate to the peak, 1 to 0."""
    start = warmup
    match schedule.lr_scheduler:
        case LrScheduler.CONSTANT:
            return 1.0
        case LrScheduler.WSD:
            start = max(steps - math.ceil((schedule.decay_ratio or 0.0) * steps), warmup)
    progress = max(number - start, 0) / max(steps - start, 1)
    if schedule.lr_scheduler in (None, LrScheduler.COSINE):
        return 0.5 * (1.0 + math.cos(math.pi * progress))
    return 1.0 - progress
