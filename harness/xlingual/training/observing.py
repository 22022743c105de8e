"""Callbacks of a training, and the records they receive: progress on a terminal, plain lines, a tracker, or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..serial import LATER
from ..tune.packing import PackCounts
from ..tune.records import MixPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetup:
    """What is trained, and on what, known before the first step."""

    plan: MixPlan
    start: int
    """Steps done before: not 0 in a resumed training."""
    world_size: int
    device: str
    dtype: str
    last: int | None = None
    """Steps after which it ends; None: those of the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLoss:
    """The mean loss over the part of a step that is of one source or one language."""

    loss: float
    """Nats per supervised token."""
    supervised: int
    """Tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutLoss:
    """The loss on the held-out rows of all sources after a step."""

    loss: float
    """The mean over all their supervised tokens, nats."""
    supervised: int
    """Tokens."""
    by_source: Mapping[str, SourceLoss]
    by_language: Mapping[str, SourceLoss]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One optimizer step; its fields are those of a line of steps.jsonl."""

    step: int
    """From 1."""
    epoch: int
    loss: float
    """As it was minimised: the mean over supervised tokens or over rows, by the recipe's `norm`."""
    gradient_norm: float
    """Before clipping."""
    learning_rate: float
    rows: int
    tokens: int
    supervised: int
    by_source: Mapping[str, SourceLoss]
    by_language: Mapping[str, SourceLoss]
    held_out: HeldOutLoss | None = field(default=None, metadata=LATER)
    """Of the steps with a checkpoint, where rows are held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Speed over the steps of one log line, and what was lost to padding, to waiting and to the data loader."""

    steps: int
    seconds: float
    useful_tokens_per_second: float
    """Tokens of rows, over all ranks; padding does not count."""
    mfu: float | None
    """Model FLOPs utilization of the GPUs, of useful tokens, 0 to 1; None where their peak is not known."""
    packs: PackCounts
    """Of these steps: micro-batches, padding and idle token positions."""
    data_share: float
    """Share of the time in which packs were built and copied to the device: waiting for data."""


class TrainingObserver(Protocol):
    """Callbacks of a training, called on rank 0 only."""

    def begin(self, setup: TrainingSetup) -> None:
        """Called once, before the first step."""
        ...

    def logged(self, reports: Sequence[StepReport], throughput: Throughput) -> None:
        """Called at every log line, with the steps since the last one."""
        ...

    def saved(self, kind: str, folder: Path) -> None:
        """Called when a checkpoint, adapter or model is complete."""
        ...

    def note(self, message: str) -> None:
        """Called with a line for the user."""
        ...

    def end(self) -> None:
        """Called once, after an error or a signal too."""
        ...


class SilentTrainingObserver:
    """Does nothing: for ranks other than 0, and for tests."""

    def begin(self, setup: TrainingSetup) -> None:
        """Do nothing."""

    def logged(self, reports: Sequence[StepReport], throughput: Throughput) -> None:
        """Do nothing."""

    def saved(self, kind: str, folder: Path) -> None:
        """Do nothing."""

    def note(self, message: str) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


class TrainingObservers:
    """Several observers as one."""

    def __init__(self, members: Sequence[TrainingObserver]) -> None:
        """`members` are called in their order."""
        self.members = tuple(members)

    def begin(self, setup: TrainingSetup) -> None:
        """Call each."""
        for each in self.members:
            each.begin(setup)

    def logged(self, reports: Sequence[StepReport], throughput: Throughput) -> None:
        """Call each."""
        for each in self.members:
            each.logged(reports, throughput)

    def saved(self, kind: str, folder: Path) -> None:
        """Call each."""
        for each in self.members:
            each.saved(kind, folder)

    def note(self, message: str) -> None:
        """Call each."""
        for each in self.members:
            each.note(message)

    def end(self) -> None:
        """Call each."""
        for each in self.members:
            each.end()
