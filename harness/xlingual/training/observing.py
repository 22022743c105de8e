"""What a training tells those who watch it: a bar, plain lines, a tracker, or nobody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..tune.records import MixPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetup:
    """A training as it begins."""

    plan: MixPlan
    start: int
    """The first step of this sitting: not 0 where an earlier one is gone on with."""
    world_size: int
    device: str
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLoss:
    """The loss over a part of a step: a source or a language."""

    loss: float
    """Nats per supervised token."""
    supervised: int
    """Tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What one step did."""

    step: int
    """From 1: how many are done."""
    epoch: int
    loss: float
    """As it was minimised: per token or per row."""
    gradient_norm: float
    """Before clipping."""
    learning_rate: float
    rows: int
    tokens: int
    supervised: int
    by_source: Mapping[str, SourceLoss]
    by_language: Mapping[str, SourceLoss]


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """How fast the steps of a log went."""

    steps: int
    seconds: float
    useful_tokens_per_second: float
    """Tokens of rows, over all ranks; nothing else is ever computed but for empty packs."""
    mfu: float | None
    """Share of the GPUs' peak that useful tokens took, 0 to 1; None where the peak is not known."""
    pad_share: float
    """Of the computed tokens, those that stand for empty packs."""
    wait_share: float
    """Of the token places of all ranks, those in which one waits for the fullest pack of the pass."""
    stall_share: float
    """Of the time, that in which packs were built."""


class TrainingObserver(Protocol):
    """Watches a training; told on the first rank only."""

    def begin(self, setting: TrainingSetup) -> None:
        """Told once, before the first step of the sitting."""
        ...

    def logged(self, reports: Sequence[StepReport], pace: Throughput) -> None:
        """Told of every step, some of them at a time."""
        ...

    def saved(self, kind: str, folder: Path) -> None:
        """Told of a finished checkpoint, adapter or model."""
        ...

    def note(self, message: str) -> None:
        """Told of anything worth a line."""
        ...

    def end(self) -> None:
        """Told once, in every ending."""
        ...


class SilentTrainingObserver:
    """Watches nothing: for ranks other than the first, and for tests."""

    def begin(self, setting: TrainingSetup) -> None:
        """Show nothing."""

    def logged(self, reports: Sequence[StepReport], pace: Throughput) -> None:
        """Show nothing."""

    def saved(self, kind: str, folder: Path) -> None:
        """Show nothing."""

    def note(self, message: str) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Show nothing."""


class TrainingObservers:
    """Several observers as one."""

    def __init__(self, members: Sequence[TrainingObserver]) -> None:
        """`members` are told in their order."""
        self.members = tuple(members)

    def begin(self, setting: TrainingSetup) -> None:
        """Tell all."""
        for each in self.members:
            each.begin(setting)

    def logged(self, reports: Sequence[StepReport], pace: Throughput) -> None:
        """Tell all."""
        for each in self.members:
            each.logged(reports, pace)

    def saved(self, kind: str, folder: Path) -> None:
        """Tell all."""
        for each in self.members:
            each.saved(kind, folder)

    def note(self, message: str) -> None:
        """Tell all."""
        for each in self.members:
            each.note(message)

    def end(self) -> None:
        """Tell all."""
        for each in self.members:
            each.end()
