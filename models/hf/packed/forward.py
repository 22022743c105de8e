"""Forward passes of a model without padding: prefill passes and decode steps.

By transformers' modules with our attention function in their place, or by the fused forward where it was verified.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..loaded_model import LoadedModel
from ..sampling import draw_tokens
from .attention import NAME, register
from .batch_plan import DecodeMetadata, PrefillMetadata, plan_decode, plan_prefill
from .chunked_prefill import PrefillChunk
from .kv_cache import KVCacheSpec
from .prefix_tree import TokenSequence
from .running_batch import RunningBatch, batch_layout

if TYPE_CHECKING:
    import torch

ARGMAX_BLOCK = 64
"""Tokens of the vocabulary whose logits are searched at once."""


@dataclass(frozen=True, slots=True)
class NextToken:
    """What the newest logits of a sequence say."""

    sequence: TokenSequence
    token: int
    """The best one, or the one that was drawn."""
    finite: bool
    """Whether all logits are."""


def cache_spec_of(loaded: LoadedModel) -> KVCacheSpec:
    """Return what the keys and values of a model look like whose configuration `verification` accepts."""
    decoder = loaded.model
    config = decoder.config
    heads = config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    return KVCacheSpec(
        layers=config.num_hidden_layers,
        heads=heads,
        kv_heads=int(kv_heads),
        head_size=int(head_size),
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
    loaded: LoadedModel, spec: KVCacheSpec, chunks: Sequence[PrefillChunk]
) -> "tuple[list[TokenSequence], torch.Tensor]":
    """Compute a prefill pass, and write the keys and values of its chunks.

    Returns the sequences whose prompts end in it, and the logits of their next tokens, (sequences, vocabulary).
    """
    ids, positions = tokens_of(chunks)
    sequences: list[TokenSequence] = []
    ends: list[int] = []
    seen = 0
    for chunk in chunks:
        seen += len(chunk.ids)
        if chunk.sequence is not None:
            sequences.append(chunk.sequence)
            ends.append(seen - 1)
    return sequences, forward(loaded, ids, positions, keep=ends or [0], metadata=plan_prefill(spec, chunks))


def tokens_of(chunks: Sequence[PrefillChunk]) -> tuple[list[int], list[int]]:
    """Return the tokens of a prefill pass, and their positions in their prompts."""
    ids = [token for chunk in chunks for token in chunk.ids]
    return ids, [chunk.position + index for chunk in chunks for index in range(len(chunk.ids))]


def run_decode(
    loaded: LoadedModel, batch: RunningBatch, drafts: Sequence[Sequence[int]] | None = None
) -> "tuple[list[TokenSequence], torch.Tensor]":
    """Compute the newest token of every sequence and the draft behind it; `drafts` stand in the order of the layout.

    Returns the sequence of each token, and the logits of what comes after it, (tokens, vocabulary).
    """
    rows = batch_layout(batch).cache_rows
    sequences = [batch.sequences[row] for row in rows]
    inputs = [
        [sequence.output_ids[-1], *draft]
        for sequence, draft in zip(sequences, drafts or [()] * len(sequences), strict=True)
    ]
    metadata = plan_decode(batch, [len(each) for each in inputs])
    starts = [sequence.prefix_length + batch.lengths[row] for sequence, row in zip(sequences, rows, strict=True)]
    ids = [token for each in inputs for token in each]
    positions = [start + index for start, each in zip(starts, inputs, strict=True) for index in range(len(each))]
    logits = forward(loaded, ids, positions, keep=None, metadata=metadata)
    batch.lengths = [length + 1 for length in batch.lengths]
    return [sequence for sequence, each in zip(sequences, inputs, strict=True) for _ in each], logits


def pick_tokens(sequences: Sequence[TokenSequence], logits: "torch.Tensor") -> list[NextToken]:
    """Return the next token of each row of logits: the best, or for a request with sampling the one that is drawn.

    Rows of one sequence follow each other, one step an answer apart. NaN and infinity both come through the maximum.
    """
    best, tokens = logits.amax(dim=-1), _argmax(logits)
    samplings, steps, rows = [], [], []
    step = 0
    for row, sequence in enumerate(sequences):
        is_next = row > 0 and sequences[row - 1] is sequence
        step = step + 1 if is_next else sequence.prompt.answered + len(sequence.output_ids)
        if (sampling := sequence.prompt.request.sampling) is not None:
            samplings.append(sampling)
            steps.append(step)
            rows.append(row)
    if rows:
        tokens[rows] = draw_tokens(logits[rows], samplings, steps)
    return [NextToken(*each) for each in zip(sequences, tokens.tolist(), best.isfinite().tolist(), strict=False)]


def _argmax(logits: "torch.Tensor") -> "torch.Tensor":
    """Return the best token of each row of (rows, vocabulary), the first one of equals."""
    import torch  # noqa: PLC0415 - heavy

    if logits.is_contiguous():
        return logits.argmax(dim=-1)
    # Down long columns torch's argmax is slow, but not its maximum: of blocks first, then within the best one.
    columns = logits.t()
    size = min(ARGMAX_BLOCK, len(columns))
    count = len(columns) // size
    blocks = columns[: count * size].view(count, size, -1)
    best = torch.cat([blocks.amax(1), columns[count * size :]]).argmax(0)
    inside = blocks[best.clamp(max=count - 1), :, torch.arange(len(logits))].argmax(1)
    return torch.where(best < count, best * size + inside, best - count + count * size)


def forward(
    loaded: LoadedModel,
    ids: Sequence[int],
    positions: Sequence[int],
    *,
    keep: Sequence[int] | None,
    metadata: PrefillMetadata | DecodeMetadata,
) -> "torch.Tensor":
    """Compute a forward pass; returns the logits after the tokens at `keep` (None: all), (tokens, vocabulary)."""
    import torch  # noqa: PLC0415 - heavy

    with torch.inference_mode():
        if loaded.fused is not None:
            return loaded.fused.logits(ids, positions, keep, metadata)
        decoder = loaded.model
        output = decoder(
            input_ids=torch.tensor([ids], device=loaded.device),
            position_ids=torch.tensor([positions], device=loaded.device),
            # A mask of four dimensions is taken as it is: the model makes none of its own.
            attention_mask=torch.zeros(1, 1, 1, 1, dtype=decoder.dtype, device=loaded.device),
            use_cache=False,
            logits_to_keep=0 if keep is None else torch.tensor(keep, device=loaded.device),
            attention_metadata=metadata,
        )
    return output.logits[0]


def forward_states(
    loaded: LoadedModel, ids: Sequence[int], positions: Sequence[int], metadata: PrefillMetadata
) -> "Iterator[torch.Tensor]":
    """Compute a prefill pass and yield the hidden states of each layer, (tokens, width), valid until the next one.

    As transformers counts them: the embedding first, the last layer after the final norm. To be read in inference mode.
    """
    import torch  # noqa: PLC0415 - heavy

    if loaded.fused is not None:
        depth = len(loaded.fused.layers)
        for index, hidden in enumerate(loaded.fused.residuals(ids, positions, metadata)):
            yield hidden if index < depth else loaded.fused.normed(hidden)
        return
    decoder = loaded.model
    output = decoder(
        input_ids=torch.tensor([ids], device=loaded.device),
        position_ids=torch.tensor([positions], device=loaded.device),
        attention_mask=torch.zeros(1, 1, 1, 1, dtype=decoder.dtype, device=loaded.device),
        use_cache=False,
        logits_to_keep=torch.tensor([0], device=loaded.device),
        attention_metadata=metadata,
        output_hidden_states=True,
    )
    yield from (each[0] for each in output.hidden_states or ())
