"""Losses by source and language, summed on the device and read once a log line: every read waits for the GPU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from .batches import Batch
from .observing import SourceLoss, StepReport
from .parallel import World


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInfo:
    """The part of a step's report that the host knows without a read from the device."""

    step: int
    """From 1."""
    epoch: int
    learning_rate: float
    rows: int
    tokens: int
    counts: tuple[int, ...]
    """Supervised tokens by source."""


@dataclass(slots=True, kw_only=True)
class LossMeter:
    """Accumulates the losses of the steps since the last log line, and of the epoch."""

    names: Sequence[str]
    """Of the sources, in the order of the recipe."""
    languages: Sequence[str]
    """Of the sources' answers, in the same order."""
    world: World
    epoch: int = 0
    epoch_loss: list[float] = field(default_factory=list)
    """Sum over the epoch so far by source, nats."""
    epoch_tokens: list[int] = field(default_factory=list)
    """Supervised tokens of the epoch so far by source."""
    _losses: list[torch.Tensor] = field(default_factory=list)
    """Of each step, (sources + 2,): the weighted loss, the summed loss of each source, that of dummy labels."""
    _norms: list[torch.Tensor] = field(default_factory=list)
    _steps: list[StepInfo] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start at zero, unless the sums of an epoch are given."""
        self.epoch_loss = self.epoch_loss or [0.0] * len(self.names)
        self.epoch_tokens = self.epoch_tokens or [0] * len(self.names)

    def begin_step(self) -> None:
        """Start the sums of a step."""
        self._losses.append(torch.zeros(len(self.names) + 2, dtype=torch.float64, device=self.world.device))

    def add(self, batch: Batch, losses: torch.Tensor) -> None:
        """Add the losses of a micro-batch, (supervised,)."""
        losses = losses.detach().double()
        sums = self._losses[-1]
        sums[0] += (losses * batch.loss_weights).sum()
        sums[1:].index_add_(0, batch.source_ids, losses)

    def end_step(self, step: StepInfo, norm: torch.Tensor) -> None:
        """Finish the sums of a step; `norm` is that of its gradient, before clipping."""
        self._steps.append(step)
        self._norms.append(norm.detach().double())

    def read(self) -> list[StepReport]:
        """Return the steps since the last call, summed over all ranks; a collective."""
        if not self._steps:
            return []
        sums = self.world.all_reduce_sum(torch.stack(self._losses)).tolist()
        norms = torch.stack(self._norms).tolist()
        reports = [self._report(*each) for each in zip(self._steps, sums, norms, strict=True)]
        self._losses, self._norms, self._steps = [], [], []
        return reports

    def epoch_means(self) -> dict[str, float]:
        """Return the mean loss of the epoch by source, nats per token; of sources that had supervised tokens."""
        parts = zip(self.names, self.epoch_loss, self.epoch_tokens, strict=True)
        return {name: loss / tokens for name, loss, tokens in parts if tokens}

    def _report(self, step: StepInfo, sums: Sequence[float], norm: float) -> StepReport:
        if step.epoch != self.epoch:
            self.epoch = step.epoch
            self.epoch_loss, self.epoch_tokens = [0.0] * len(self.names), [0] * len(self.names)
        by_source = sums[1:-1]
        self.epoch_loss = [total + new for total, new in zip(self.epoch_loss, by_source, strict=True)]
        self.epoch_tokens = [total + new for total, new in zip(self.epoch_tokens, step.counts, strict=True)]
        return StepReport(
            step=step.step,
            epoch=step.epoch,
            loss=sums[0],
            gradient_norm=norm,
            learning_rate=step.learning_rate,
            rows=step.rows,
            tokens=step.tokens,
            supervised=sum(step.counts),
            by_source=losses_by_name(self.names, by_source, step.counts),
            by_language=losses_by_name(self.languages, by_source, step.counts),
        )


def losses_by_name(names: Sequence[str], sums: Sequence[float], counts: Sequence[int]) -> Mapping[str, SourceLoss]:
    """Return the mean losses of sources by name, or by what several of them are called; of those with tokens."""
    losses: dict[str, float] = {}
    tokens: dict[str, int] = {}
    for name, loss, count in zip(names, sums, counts, strict=True):
        losses[name] = losses.get(name, 0.0) + loss
        tokens[name] = tokens.get(name, 0) + count
    return {
        name: SourceLoss(loss=losses[name] / tokens[name], supervised=tokens[name]) for name in losses if tokens[name]
    }
