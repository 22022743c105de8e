"""Counts over the steps since the last log line, and the throughput that follows from them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..tune.packing import PackCounts
from .observing import Throughput
from .speed import StepFlops


@dataclass(slots=True)
class LogWindow:
    """The steps since the last log line, on all ranks."""

    started: float = field(default_factory=time.perf_counter)
    steps: int = 0
    packs: PackCounts = field(default_factory=PackCounts)
    supervised: int = 0
    """Tokens."""
    squared_lengths: int = 0
    """Sum over rows: what causal attention costs."""
    data_seconds: float = 0.0
    """Spent in building packs and copying them to the device."""

    def add(self, packs: PackCounts, lengths: Sequence[int], supervised: int) -> None:
        """Count a step with rows of `lengths` tokens."""
        self.steps += 1
        self.packs += packs
        self.supervised += supervised
        self.squared_lengths += sum(length * length for length in lengths)

    def throughput(self, flops: StepFlops, peak: float | None) -> Throughput:
        """Return the throughput until now; `peak` in FLOP/s of all ranks together, None where it is not known."""
        seconds = max(time.perf_counter() - self.started, 1e-9)
        used = flops.count(self.packs.tokens, self.supervised, self.squared_lengths) / seconds
        return Throughput(
            steps=self.steps,
            seconds=seconds,
            useful_tokens_per_second=self.packs.tokens / seconds,
            mfu=None if peak is None else used / peak,
            packs=self.packs,
            data_share=self.data_seconds / seconds,
        )
