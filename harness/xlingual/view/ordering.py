"""Which samples come first: those that failed, those on which models differ, the rest.

The page shows samples in this order, and texts enter the page in it until their budget is used up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from ..identity import content_hash
from .samples import TENTHS, RunSamples

_STEP = 10 * TENTHS
"""Scores that differ by less than ten points count as the same."""


class Priority(IntEnum):
    """Of a sample of a run; the page's script has the same numbers."""

    UNSCORED = 0
    """It failed, was not asked, or ended inside the thinking."""
    WRONG = 1
    """It has none of the metric's points."""
    DISAGREEMENT = 2
    """Runs of the task differ on it by ten points or more."""
    REST = 3


@dataclass(frozen=True, slots=True)
class TaskOrder:
    """The order of a task's examples, and what is needed to put the samples of its runs in order."""

    positions: tuple[int, ...]
    """By example: its place, from 0."""
    differs: tuple[bool, ...]
    """By example: whether runs differ on it."""


@dataclass(frozen=True, slots=True)
class MainScores:
    """A run's samples with the metric that its table is sorted by."""

    samples: RunSamples
    metric: str
    higher_is_better: bool

    def value(self, row: int) -> int | None:
        """Return the score of sample `row`, in tenths of a point; None where it has none."""
        scores = self.samples.scores.get(self.metric)
        return None if scores is None else scores[row]


def order_task(names: Sequence[str], runs: Sequence[MainScores]) -> TaskOrder:
    """Put the examples of a task in order; `names` are their ids, all runs are on that task.

    First what no run has a point for, then by how far runs differ, then the worst; chance (a hash of the id) decides
    between equals, so that what fits into the page is no block of one document.
    """
    best: list[int | None] = [None] * len(names)
    worst: list[int | None] = [None] * len(names)
    gone = [True] * len(names)
    lacking = [False] * len(names)
    for run in runs:
        for row, example in enumerate(run.samples.examples):
            value = run.value(row)
            if value is None:
                lacking[example] = True
                continue
            high, low = best[example], worst[example]
            best[example] = value if high is None else max(high, value)
            worst[example] = value if low is None else min(low, value)
            gone[example] = gone[example] and run.higher_is_better and value <= 0
    spread = [
        0 if low is None or high is None else (high - low) // _STEP for high, low in zip(best, worst, strict=True)
    ]

    sign = -1 if runs and not runs[0].higher_is_better else 1

    def place(example: int) -> tuple[int, int, int, str]:
        level = (best[example] or 0) // _STEP * sign
        mixed = spread[example] > 0 or (lacking[example] and best[example] is not None)
        return 0 if gone[example] else 1 if mixed else 2, -spread[example], level, content_hash(names[example])

    order = sorted(range(len(names)), key=place)
    positions = [0] * len(names)
    for position, example in enumerate(order):
        positions[example] = position
    return TaskOrder(positions=tuple(positions), differs=tuple(each > 0 for each in spread))


def rank_samples(run: MainScores, order: TaskOrder) -> tuple[Priority, ...]:
    """Return the priority of every sample of a run."""
    return tuple(_rank(run, row, order.differs[example]) for row, example in enumerate(run.samples.examples))


def _rank(run: MainScores, row: int, differs: bool) -> Priority:
    value = run.value(row)
    if value is None:
        return Priority.UNSCORED
    if run.higher_is_better and value <= 0:
        return Priority.WRONG
    return Priority.DISAGREEMENT if differs else Priority.REST


def sort_samples(run: MainScores, priorities: Sequence[Priority], order: TaskOrder) -> list[int]:
    """Return the rows of a run in the order of the page: by priority, then as the task's examples."""
    examples = run.samples.examples
    return sorted(range(len(examples)), key=lambda row: (priorities[row], order.positions[examples[row]], row))


def example_names(indexes: Mapping[tuple[str, int], int]) -> list[str]:
    """Return the ids of a task's examples by their indexes."""
    names = [""] * len(indexes)
    for (name, _), index in indexes.items():
        names[index] = name
    return names
