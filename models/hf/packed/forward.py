"""Models whose attention may be replaced by ours: which they are, and their forward passes over packs and steps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..loaded_model import LoadedModel
from .attention import NAME, register
from .batch_plan import DecodeMetadata, PrefillChunk, PrefillMetadata, plan_decode, plan_prefill
from .kv_cache import KVCacheShape
from .prefix_tree import TokenSequence
from .running_batch import RunningBatch, batch_layout

if TYPE_CHECKING:
    import torch

BLOCK = 64
"""Tokens of the vocabulary whose scores are searched at once."""


@dataclass(frozen=True, slots=True)
class NextToken:
    """What the newest scores of a row say."""

    sequence: TokenSequence
    token: int
    """The best one."""
    finite: bool


def cache_shape_of(loaded: LoadedModel) -> KVCacheShape:
    """Return the shape of the keys and values of a model that `is_plain`."""
    decoder = loaded.model
    config = decoder.config
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    return KVCacheShape(
        layers=config.num_hidden_layers,
        heads=heads,
        key_heads=int(key_heads),
        head_size=int(size),
        dtype=decoder.dtype,
        device=loaded.device,
    )


@contextmanager
def packed_attention(loaded: LoadedModel) -> Iterator[None]:
    """Let the model's layers call our attention, and its own again afterwards."""
    decoder = loaded.model
    own = decoder.config._attn_implementation
    register()
    decoder.set_attn_implementation(NAME)
    try:
        yield
    finally:
        decoder.set_attn_implementation(own)


def run_prefill(
    loaded: LoadedModel, shape: KVCacheShape, pack: Sequence[PrefillChunk]
) -> "tuple[list[TokenSequence], torch.Tensor]":
    """Compute a pack and fill the stores of its pieces.

    Returns the rows that end in it and the scores of their next tokens, (rows, vocabulary).
    """
    ids = [token for chunk in pack for token in chunk.ids]
    positions = [chunk.position + place for chunk in pack for place in range(len(chunk.ids))]
    sequences: list[TokenSequence] = []
    ends: list[int] = []
    seen = 0
    for chunk in pack:
        seen += len(chunk.ids)
        if chunk.sequence is not None:
            sequences.append(chunk.sequence)
            ends.append(seen - 1)
    return sequences, forward(loaded, ids, positions, keep=ends or [0], plan=plan_prefill(shape, pack))


def run_decode(
    loaded: LoadedModel, batch: RunningBatch, drafts: Sequence[Sequence[int]] | None = None
) -> "tuple[list[TokenSequence], torch.Tensor]":
    """Compute the newest token of every row and the draft behind it; `drafts` stand in the order of the layout.

    Returns the row of each token and the scores of what comes after it, (tokens, vocabulary).
    """
    sequences = [batch.sequences[slot] for slot in batch_layout(batch).order]
    asked = [
        [sequence.new[-1], *draft] for sequence, draft in zip(sequences, drafts or [()] * len(sequences), strict=True)
    ]
    plan = plan_decode(batch, [len(each) for each in asked])
    starts = [
        sequence.start + batch.lengths[slot]
        for sequence, slot in zip(sequences, batch_layout(batch).order, strict=True)
    ]
    ids = [token for each in asked for token in each]
    positions = [start + place for start, each in zip(starts, asked, strict=True) for place in range(len(each))]
    scores = forward(loaded, ids, positions, keep=None, plan=plan)
    batch.lengths = [length + 1 for length in batch.lengths]
    return [sequence for sequence, each in zip(sequences, asked, strict=True) for _ in each], scores


def pick_tokens(sequences: Sequence[TokenSequence], scores: "torch.Tensor") -> list[NextToken]:
    """Return the best token of each row; NaN and infinity both come through the maximum."""
    best = scores.amax(dim=-1)
    tokens, finite = _argmax(scores).tolist(), best.isfinite().tolist()
    return [NextToken(*each) for each in zip(sequences, tokens, finite, strict=False)]


def _argmax(scores: "torch.Tensor") -> "torch.Tensor":
    """Return the best token of each row of (rows, vocabulary), the first one of equals."""
    import torch  # noqa: PLC0415 - heavy

    if scores.is_contiguous():
        return scores.argmax(dim=-1)
    # Down long columns the library's search is slow, but not its maximum: of blocks first, then within the best one.
    columns = scores.t()
    size = min(BLOCK, len(columns))
    count = len(columns) // size
    blocks = columns[: count * size].view(count, size, -1)
    best = torch.cat([blocks.amax(1), columns[count * size :]]).argmax(0)
    inside = blocks[best.clamp(max=count - 1), :, torch.arange(len(scores))].argmax(1)
    return torch.where(best < count, best * size + inside, best - count + count * size)


def forward(
    loaded: LoadedModel,
    ids: Sequence[int],
    positions: Sequence[int],
    *,
    keep: Sequence[int] | None,
    plan: PrefillMetadata | DecodeMetadata,
) -> "torch.Tensor":
    """Compute a forward pass; returns the scores after the tokens at `keep` (None: all), (tokens, vocabulary)."""
    import torch  # noqa: PLC0415 - heavy

    with torch.inference_mode():
        if loaded.fused is not None:
            return loaded.fused.scores(ids, positions, keep, plan)
        decoder = loaded.model
        output = decoder(
            input_ids=torch.tensor([ids], device=loaded.device),
            position_ids=torch.tensor([positions], device=loaded.device),
            # A mask of four dimensions is taken as it is: the model makes none of its own.
            attention_mask=torch.zeros(1, 1, 1, 1, dtype=decoder.dtype, device=loaded.device),
            use_cache=False,
            logits_to_keep=0 if keep is None else torch.tensor(keep, device=loaded.device),
            plan=plan,
        )
    return output.logits[0]
