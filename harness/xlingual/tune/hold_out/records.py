"""The records of held-out rows, in recipes, plans and records of trainings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ...serial import LATER


class HoldOutUnit(StrEnum):
    """The unit of what is held out of a source."""

    ROWS = "rows"
    PERCENT = "percent"
    """Of the rows that could be trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOut:
    """How much of a source is held out, at most: groups of rows are held out whole."""

    unit: HoldOutUnit
    value: float

    def rows_of(self, available: int) -> int:
        """Return the rows to hold out of `available`: a share is rounded down, but holds a row at least."""
        return int(self.value) if self.unit is HoldOutUnit.ROWS else max(1, int(available * self.value / 100))


class ExportedWeights(StrEnum):
    """Which checkpoint becomes the exported model."""

    BEST = "best"
    """The one with the lowest loss on held-out rows, the first of equals."""
    LAST = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutReport:
    """The held-out rows of a source in a plan."""

    rows: int
    tokens: int
    supervised: int
    twins: int
    """Rows that say the same as held-out rows, or nearly: not trained on and not evaluated either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedCheckpoint:
    """The loss of a checkpoint on the held-out rows, nats per supervised token."""

    step: int
    loss: float
    """The mean over all supervised tokens of the held-out rows of all sources."""
    by_source: Mapping[str, float]
    by_language: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedCheckpoint:
    """Which step of a training its exported model is of, and why."""

    chosen: ExportedWeights
    checkpoint: EvaluatedCheckpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutProgress:
    """The evaluations of a training so far; a part of its checkpoints."""

    best: EvaluatedCheckpoint | None = field(default=None, metadata=LATER)
    """None before the first one."""
    latest: EvaluatedCheckpoint | None = field(default=None, metadata=LATER)

    def after(self, found: EvaluatedCheckpoint) -> "HeldOutProgress":
        """Return the progress after another evaluation; of equal losses the first stays the best."""
        is_better = self.best is None or found.loss < self.best.loss
        return HeldOutProgress(best=found if is_better else self.best, latest=found)

    def exported(self, chosen: ExportedWeights) -> EvaluatedCheckpoint | None:
        """Return the checkpoint that is exported; None before the first evaluation."""
        return self.best if chosen is ExportedWeights.BEST else self.latest
