"""A pack of rows as tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..tune.records import EncodedRows, IntArray, Norm
from .attention import PackedDocuments, pack_documents


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What a rank computes in one pass: one row of tokens, no padding."""

    ids: torch.Tensor
    """(1, tokens)."""
    positions: torch.Tensor
    """(1, tokens): from 0 in every document."""
    documents: PackedDocuments
    places: torch.Tensor
    """(supervised,): the tokens after which a supervised one comes."""
    targets: torch.Tensor
    """(supervised,): the tokens that come."""
    weights: torch.Tensor
    """(supervised,): what each adds to the loss of the step, over all ranks."""
    sources: torch.Tensor
    """(supervised,): the source of each, or the number of sources for what belongs to none."""


@dataclass(frozen=True, slots=True)
class Weighing:
    """What the supervised tokens of a step weigh; known on every rank without asking the others."""

    norm: Norm
    tokens: int
    """Supervised ones of the whole step."""
    rows: int
    """Those of the whole step that have a supervised token."""
    sources: int
    """How many there are; also the place of what belongs to none."""

    def of_row(self, supervised: int) -> float:
        """Return what each of the `supervised` tokens of a row weighs."""
        return 1.0 / self.tokens if self.norm is Norm.TOKEN else 1.0 / (supervised * self.rows)


def supervised_counts(rows: EncodedRows) -> IntArray:
    """Return how many tokens of each row are learnt; the first of a row has nothing to be predicted from."""
    return np.maximum(rows.lengths - np.maximum(rows.answer_starts, 1), 0)


def weigh(counts: Sequence[int], norm: Norm, sources: int) -> Weighing:
    """Return the weighing of a step whose rows have `counts` supervised tokens."""
    rows = sum(count > 0 for count in counts)
    return Weighing(norm=norm, tokens=max(sum(counts), 1), rows=max(rows, 1), sources=sources)


def build_batch(rows: EncodedRows, chosen: Sequence[int], weighing: Weighing, device: torch.device) -> Batch:
    """Return the pack of `chosen` rows on `device`.

    A pack without a supervised token, or without rows, has one of weight 0, so that each pass is like every other.
    """
    pieces = [rows.tokens[rows.offsets[row] : rows.offsets[row + 1]] for row in chosen]
    if not pieces:
        pieces = [np.zeros(2, dtype=np.int32)]
    tokens = np.concatenate(pieces).astype(np.int64)
    places, weights, sources = [], [], []
    start = 0
    for row, piece in zip(chosen, pieces, strict=False):
        first = max(int(rows.answer_starts[row]), 1)
        count = len(piece) - first
        if count > 0:
            places.append(np.arange(start + first - 1, start + len(piece) - 1))
            weights.append(np.full(count, weighing.of_row(count), dtype=np.float32))
            sources.append(np.full(count, rows.sources[row]))
        start += len(piece)
    if not places:
        places, weights, sources = [np.zeros(1, np.int64)], [np.zeros(1, np.float32)], [np.full(1, weighing.sources)]
    at = np.concatenate(places)
    arrays = {
        "ids": tokens[None],
        "positions": np.concatenate([np.arange(len(piece)) for piece in pieces])[None],
        "places": at,
        "targets": tokens[np.minimum(at + 1, len(tokens) - 1)],
        "weights": np.concatenate(weights),
        "sources": np.concatenate(sources).astype(np.int64),
    }
    return Batch(documents=pack_documents([len(piece) for piece in pieces], device), **_to_device(arrays, device))


def _to_device(
    arrays: Mapping[str, "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"], device: torch.device
) -> dict[str, torch.Tensor]:
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if device.type == "cuda":
        return {name: each.pin_memory().to(device, non_blocking=True) for name, each in tensors.items()}
    return tensors
