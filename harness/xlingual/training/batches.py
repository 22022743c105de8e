"""A pack as tensors: input ids, position ids, labels, and the weight of each label in the loss of the step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..tune.packing import EMPTY_PACK_TOKENS
from ..tune.recipe_records import Norm
from ..tune.records import EncodedRows
from .attention import PackedDocuments, pack_documents


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The pack of a rank in one micro-batch: one packed sequence without padding.

    A row with prompt [5, 6] and answer [7, 2] has labels [7, 2], which the logits at tokens 1 and 2 predict.
    """

    input_ids: torch.Tensor
    """(1, tokens)."""
    position_ids: torch.Tensor
    """(1, tokens): from 0 in every document."""
    documents: PackedDocuments
    predictors: torch.Tensor
    """(supervised,): indices of the tokens whose logits predict the labels; what a loss mask selects."""
    labels: torch.Tensor
    """(supervised,): the supervised tokens themselves."""
    loss_weights: torch.Tensor
    """(supervised,): of each label in the loss of the step; they sum to 1 over all micro-batches and ranks."""
    source_ids: torch.Tensor
    """(supervised,): index of each label's source; the number of sources for the dummy label of an empty pack."""


@dataclass(frozen=True, slots=True)
class LossNormalizer:
    """What the loss of a step is divided by: from the plan, so that no rank has to ask another for its counts."""

    norm: Norm
    tokens: int
    """Supervised tokens of the whole step."""
    rows: int
    """Rows of the whole step that have a supervised token."""
    num_sources: int

    def token_weight(self, supervised: int) -> float:
        """Return the weight of each of the `supervised` tokens of a row."""
        return 1.0 / self.tokens if self.norm is Norm.TOKEN else 1.0 / (supervised * self.rows)


def loss_normalizer(counts: Sequence[int], norm: Norm, num_sources: int) -> LossNormalizer:
    """Return the normaliser of a step whose rows have `counts` supervised tokens."""
    rows = sum(count > 0 for count in counts)
    return LossNormalizer(norm=norm, tokens=max(sum(counts), 1), rows=max(rows, 1), num_sources=num_sources)


def build_batch(rows: EncodedRows, chosen: Sequence[int], normalizer: LossNormalizer, device: torch.device) -> Batch:
    """Return the pack of the `chosen` rows on `device`.

    A pack without a supervised token, or without rows, gets a dummy label of weight 0: every rank then runs the same
    forward and backward pass, with the same collectives.
    """
    sequences = [rows.tokens[rows.offsets[row] : rows.offsets[row + 1]] for row in chosen]
    if not sequences:
        sequences = [np.zeros(EMPTY_PACK_TOKENS, dtype=np.int32)]
    tokens = np.concatenate(sequences).astype(np.int64)
    predictors, weights, sources = [], [], []
    start = 0
    for row, sequence in zip(chosen, sequences, strict=False):
        labels = rows.labels(row)
        count = len(labels)
        if count > 0:
            predictors.append(start + labels - 1)
            weights.append(np.full(count, normalizer.token_weight(count), dtype=np.float32))
            sources.append(np.full(count, rows.sources[row]))
        start += len(sequence)
    if not predictors:
        predictors, weights = [np.zeros(1, np.int64)], [np.zeros(1, np.float32)]
        sources = [np.full(1, normalizer.num_sources)]
    predicting = np.concatenate(predictors)
    arrays = {
        "input_ids": tokens[None],
        "position_ids": np.concatenate([np.arange(len(sequence)) for sequence in sequences])[None],
        "predictors": predicting,
        "labels": tokens[np.minimum(predicting + 1, len(tokens) - 1)],
        "loss_weights": np.concatenate(weights),
        "source_ids": np.concatenate(sources).astype(np.int64),
    }
    documents = pack_documents([len(sequence) for sequence in sequences], device)
    return Batch(documents=documents, **_to_device(arrays, device))


def _to_device(
    arrays: Mapping[str, "np.ndarray[tuple[int, ...], np.dtype[np.generic]]"], device: torch.device
) -> dict[str, torch.Tensor]:
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if device.type == "cuda":
        return {name: each.pin_memory().to(device, non_blocking=True) for name, each in tensors.items()}
    return tensors
