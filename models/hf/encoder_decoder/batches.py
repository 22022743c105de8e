"""Rows of an encoder-decoder in batches, halved until what fails is alone; padding comes last, and is masked."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from xlingual.records import Failure

from ..limits import MAX_PADDED_TOKENS, RowLimit, attempt

if TYPE_CHECKING:
    import torch

Row = TypeVar("Row")
Answer = TypeVar("Answer")


def run_batches(
    rows: Sequence[Row], length: Callable[[Row], int], limit: RowLimit, run: Callable[[list[Row]], Answer]
) -> Iterator[tuple[list[Row], Answer | Failure]]:
    """Yield each batch with what `run` says of it, the longest rows first; a Failure only for a batch of one row."""
    waiting = sorted(rows, key=length, reverse=True)
    batches: list[list[Row]] = []
    while waiting or batches:
        again = bool(batches)
        batch = batches.pop() if again else waiting[: max(1, min(limit.rows, MAX_PADDED_TOKENS // length(waiting[0])))]
        if not again:
            del waiting[: len(batch)]
        outcome = attempt(partial(run, batch))
        if isinstance(outcome, Failure) and len(batch) > 1:
            batches += limit.halve(batch, outcome, again=again)
        else:
            yield batch, outcome


def pad(rows: Sequence[Sequence[int]], token: int, device: str) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return the rows as one tensor, (rows, longest), padded at their ends, and the mask of what is no padding."""
    import torch  # noqa: PLC0415 - heavy

    ids = torch.full((len(rows), max(len(row) for row in rows)), token, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    return ids.to(device), mask.to(device)
