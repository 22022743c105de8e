"""Forward passes of a model without padding: prefill passes and decode steps.

By transformers' modules with our attention function in their place, or by the fused forward where it was verified.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xlingual.decoder.protocols import CausalLMOutput

from ..loaded_model import LoadedModel, takes_logits_to_keep
from ..sampling import draw_tokens
from .attention import attention_step
from .batch_plan import DecodeMetadata, PrefillMetadata, plan_decode, plan_prefill
from .chunked_prefill import PrefillChunk
from .exchange import mask_of
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
        logits = _run_modules(loaded, ids, positions, keep, metadata).logits[0]
    return logits if keep is None or len(logits) == len(keep) else logits[torch.tensor(keep, device=loaded.device)]


def forward_states(
    loaded: LoadedModel, ids: Sequence[int], positions: Sequence[int], metadata: PrefillMetadata
) -> "Iterator[torch.Tensor]":
    """Compute a prefill pass and yield the hidden states of each layer, (tokens, width), valid until the next one.

    As transformers counts them: the embedding first, the last layer after the final norm. To be read in inference mode.
    """
    if loaded.fused is not None:
        depth = len(loaded.fused.layers)
        for index, hidden in enumerate(loaded.fused.residuals(ids, positions, metadata)):
            yield hidden if index < depth else loaded.fused.normed(hidden)
        return
    output = _run_modules(loaded, ids, positions, [0], metadata, with_states=True)
    yield from (each[0] for each in output.hidden_states or ())


def _run_modules(
    loaded: LoadedModel,
    ids: Sequence[int],
    positions: Sequence[int],
    keep: Sequence[int] | None,
    metadata: PrefillMetadata | DecodeMetadata,
    *,
    with_states: bool = False,
) -> CausalLMOutput:
    """Compute a forward pass by transformers' modules; logits are those at `keep`, else all of them.

    RuntimeError where a layer computes attention by itself: its tokens would see those of other texts in the pass.
    """
    import torch  # noqa: PLC0415 - heavy

    decoder = loaded.model
    options: dict[str, Any] = {"output_hidden_states": True} if with_states else {}
    if keep is not None and takes_logits_to_keep(decoder):
        options["logits_to_keep"] = torch.tensor(keep, device=loaded.device)
    places = torch.tensor(positions, device=loaded.device)
    with attention_step(metadata, places) as step:
        output = decoder(
            input_ids=torch.tensor([ids], device=loaded.device),
            position_ids=places[None],
            attention_mask=mask_of(decoder, loaded.device),
            use_cache=False,
            **options,
        )
    if loaded.calls is not None and step.count != len(loaded.calls):
        raise RuntimeError(f"a forward pass called attention {step.count} times, not {len(loaded.calls)}")
    return output
