"""What the steps did, summed on the device and read once a log: any read before would wait for the GPU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from .batches import Batch
from .observing import SourceLoss, StepReport
from .parallel import World


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInfo:
    """What is known of a step without asking the device."""

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
    """The steps since the last log, and the sums of the epoch."""

    names: Sequence[str]
    """Of the sources, in their order."""
    languages: Sequence[str]
    """Of their answers."""
    world: World
    epoch: int = 0
    epoch_loss: list[float] = field(default_factory=list)
    """Sum over the epoch by source, nats."""
    epoch_tokens: list[int] = field(default_factory=list)
    """Supervised ones, by source."""
    _losses: list[torch.Tensor] = field(default_factory=list)
    """Of each step: what was minimised, then the sum of each source and of what belongs to none."""
    _norms: list[torch.Tensor] = field(default_factory=list)
    _entries: list[StepInfo] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with empty sums, where none are given."""
        self.epoch_loss = self.epoch_loss or [0.0] * len(self.names)
        self.epoch_tokens = self.epoch_tokens or [0] * len(self.names)

    def begin_step(self) -> None:
        """Open the sums of a step."""
        self._losses.append(torch.zeros(len(self.names) + 2, dtype=torch.float64, device=self.world.device))

    def add(self, batch: Batch, losses: torch.Tensor) -> None:
        """Add the losses of a pass, (supervised,)."""
        losses = losses.detach().double()
        sums = self._losses[-1]
        sums[0] += (losses * batch.weights).sum()
        sums[1:].index_add_(0, batch.sources, losses)

    def end_step(self, entry: StepInfo, norm: torch.Tensor) -> None:
        """Close the sums of a step."""
        self._entries.append(entry)
        self._norms.append(norm.detach().double())

    def read(self) -> list[StepReport]:
        """Return the steps since the last log, over all ranks, and forget them; every rank must call."""
        if not self._entries:
            return []
        sums = self.world.add_up(torch.stack(self._losses)).tolist()
        norms = torch.stack(self._norms).tolist()
        reports = [self._report(*each) for each in zip(self._entries, sums, norms, strict=True)]
        self._losses, self._norms, self._entries = [], [], []
        return reports

    def epoch_means(self) -> dict[str, float]:
        """Return the mean loss of the epoch by source, of those that had supervised tokens."""
        parts = zip(self.names, self.epoch_loss, self.epoch_tokens, strict=True)
        return {name: loss / tokens for name, loss, tokens in parts if tokens}

    def _report(self, entry: StepInfo, sums: Sequence[float], norm: float) -> StepReport:
        if entry.epoch != self.epoch:
            self.epoch = entry.epoch
            self.epoch_loss, self.epoch_tokens = [0.0] * len(self.names), [0] * len(self.names)
        by_source = sums[1:-1]
        self.epoch_loss = [held + new for held, new in zip(self.epoch_loss, by_source, strict=True)]
        self.epoch_tokens = [held + new for held, new in zip(self.epoch_tokens, entry.counts, strict=True)]
        return StepReport(
            step=entry.step,
            epoch=entry.epoch,
            loss=sums[0],
            gradient_norm=norm,
            learning_rate=entry.learning_rate,
            rows=entry.rows,
            tokens=entry.tokens,
            supervised=sum(entry.counts),
            by_source=_parts(self.names, by_source, entry.counts),
            by_language=_parts(self.languages, by_source, entry.counts),
        )


def _parts(names: Sequence[str], sums: Sequence[float], counts: Sequence[int]) -> Mapping[str, SourceLoss]:
    losses: dict[str, float] = {}
    tokens: dict[str, int] = {}
    for name, loss, count in zip(names, sums, counts, strict=True):
        losses[name] = losses.get(name, 0.0) + loss
        tokens[name] = tokens.get(name, 0) + count
    return {
        name: SourceLoss(loss=losses[name] / tokens[name], supervised=tokens[name]) for name in losses if tokens[name]
    }
