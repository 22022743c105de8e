"""Texts to forward passes, packed or padded, and back to pooled states in their order."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from xlingual.errors import EnvironmentFault, ModelError
from xlingual.plugin import LogitLens, TextStates
from xlingual.records import Failure

from ..limits import OUT_OF_MEMORY, attempt
from ..loaded_model import LoadedModel, takes_logits_to_keep
from ..packed.batch_plan import plan_prefill
from ..packed.chunked_prefill import PrefillChunk
from ..packed.exchange import cache_spec_of, packed_attention
from ..packed.forward import forward_states, tokens_of
from ..packed.kv_cache import new_prefix_kv
from .logit_lens import FinalProjection, decoder_config
from .pooling import LayerPooling, PassTokens, split_texts

if TYPE_CHECKING:
    import torch

MAX_PASS_TOKENS = 1024
"""Most tokens of a pass on a CPU, where large temporaries are slow; padding counts."""
MAX_PASS_TOKENS_GPU = 8192


@dataclass(frozen=True, slots=True)
class Plan:
    """How texts are computed."""

    packed: bool
    """By the packed engine, without padding; else by transformers' own forward pass."""
    one_by_one: bool
    """Every text in a pass of its own."""
    lens: LogitLens | None
    projection: FinalProjection | None


def pooled_states(loaded: LoadedModel, texts: Sequence[tuple[int, ...]], plan: Plan) -> Iterator[TextStates]:
    """Yield the pooled states of each text, in order.

    Where memory does not hold a pass, passes are halved for good. Raises EnvironmentFault where it does not hold one
    text, and ModelError for what else the model raises.
    """
    most = MAX_PASS_TOKENS if loaded.device.startswith("cpu") else MAX_PASS_TOKENS_GPU
    waiting = split_texts(texts, 1 if plan.one_by_one else most)[::-1]
    while waiting:
        batch = waiting.pop()
        found = attempt(partial(_run_pass, loaded, batch, plan))
        if not isinstance(found, Failure):
            yield from found
        elif found.kind != OUT_OF_MEMORY:
            raise ModelError(f"the model cannot show its hidden states: {found.kind}: {found.message}")
        elif len(batch) == 1:
            what = f"the memory does not hold the states of a text of {len(batch[0])} tokens"
            raise EnvironmentFault(what, hint="choose a smaller dtype or another device")
        else:
            most = max(1, sum(map(len, batch)) // 2)
            rest = [*batch, *(ids for each in reversed(waiting) for ids in each)]
            waiting = split_texts(rest, most)[::-1]


def _run_pass(loaded: LoadedModel, texts: Sequence[tuple[int, ...]], plan: Plan) -> list[TextStates]:
    import torch  # noqa: PLC0415 - heavy

    tokens = PassTokens(tuple(texts), plan.lens)
    pooling = LayerPooling(tokens, plan.projection, loaded.device)
    depth = decoder_config(loaded.model).num_hidden_layers
    with torch.inference_mode(), packed_attention(loaded.model) if plan.packed else nullcontext():
        states = _packed_states(loaded, texts) if plan.packed else _padded_states(loaded, texts)
        count = 0
        for hidden in states:
            pooling.add(hidden, is_last=count == depth)
            count += 1
    if count != depth + 1:
        raise ModelError(f"the model shows the states of {count - 1} layers, its configuration has {depth}")
    return pooling.finish()


def _packed_states(loaded: LoadedModel, texts: Sequence[tuple[int, ...]]) -> "Iterator[torch.Tensor]":
    """Return the states of each layer from one prefill pass, every text a sequence that shares nothing."""
    spec = cache_spec_of(loaded)
    chunks = [PrefillChunk(ids, 0, (), new_prefix_kv(spec, len(ids)), 0, None) for ids in texts]
    ids, positions = tokens_of(chunks)
    return forward_states(loaded, ids, positions, plan_prefill(spec, chunks))


def _padded_states(loaded: LoadedModel, texts: Sequence[tuple[int, ...]]) -> "Iterator[torch.Tensor]":
    """Yield the states of each layer from a padded batch, the padding left out again."""
    import torch  # noqa: PLC0415 - heavy

    width = max(map(len, texts))
    # Padding comes last, where no token of a text sees it.
    ids = torch.tensor([[*each, *[loaded.pad_id] * (width - len(each))] for each in texts], device=loaded.device)
    lengths = torch.tensor([len(each) for each in texts], device=loaded.device)
    mask = torch.arange(width, device=loaded.device)[None] < lengths[:, None]
    kept: dict[str, Any] = {"logits_to_keep": 1} if takes_logits_to_keep(loaded.model) else {}
    output = loaded.model(input_ids=ids, attention_mask=mask.long(), use_cache=False, output_hidden_states=True, **kept)
    # The states of a sharded model are where its layers are.
    yield from (each.to(loaded.device)[mask] for each in output.hidden_states or ())
