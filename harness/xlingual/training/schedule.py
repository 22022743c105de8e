"""The step schedule: rows, epoch and learning rate of a step, all of them functions of its number."""

import math
from dataclasses import dataclass, field

from ..tune.order import steps_of_epoch
from ..tune.records import EncodedRows, IntArray, Schedule


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
    """Return the learning rate of step `number` of `steps`: a linear warm-up from 0, then a cosine decay to 0.

    That of transformers' `cosine`, which the paper's recipe names: the first step of a warm-up has a rate of 0.
    """
    warmup = math.ceil(schedule.warmup * steps)
    if number < warmup:
        return schedule.learning_rate * number / max(warmup, 1)
    progress = (number - warmup) / max(steps - warmup, 1)
    return schedule.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))
