"""A model whose weights are in memory, and what generation and scoring must know of it."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast

from xlingual.decoder.architecture import text_config
from xlingual.decoder.protocols import CausalLMOutput, DecoderConfig, DecoderModel
from xlingual.identity import Json
from xlingual.thinking import KNOWN_MARKERS, ThinkingMarkers

from .encoder_decoder.description import EncoderDecoder
from .tokens.rendering import Tokenizer

if TYPE_CHECKING:
    import torch

    from .devices.placement import Placement
    from .packed.attention import AttentionCall
    from .packed.fused_llama import FusedLlama
    from .paged.engine import PagedEngine


class CausalLM(DecoderModel, Protocol):
    """What is used of a transformers causal language model."""

    def __call__(
        self,
        *,
        input_ids: "torch.Tensor",
        attention_mask: "torch.Tensor | None",
        use_cache: bool,
        position_ids: "torch.Tensor | None" = None,
        logits_to_keep: "torch.Tensor | int" = 0,
        output_hidden_states: bool = False,
    ) -> CausalLMOutput:
        """Compute a forward pass; `logits_to_keep` only where the model takes it."""
        ...

    def generate(
        self,
        *,
        input_ids: "torch.Tensor",
        attention_mask: "torch.Tensor",
        generation_config: object,
        logits_processor: object,
        stopping_criteria: object,
    ) -> "torch.Tensor":
        """Continue the rows of `input_ids`, (rows, prompt), to (rows, prompt + new)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model in memory, with what generation and scoring use of its description."""

    model: CausalLM
    tokenizer: Tokenizer
    device: str
    """Where a forward pass begins and ends; of a sharded model, the first one."""
    end_ids: tuple[int, ...]
    """Tokens that end an answer; may be empty."""
    pad_id: int
    """Padding; always masked, so any token will do."""
    context_length: int | None
    markers: tuple[ThinkingMarkers, ...] = KNOWN_MARKERS
    """What its thinking may begin and end with."""
    shared: bool = False
    """Whether other models of this process use the same modules, which must then stay as they are."""
    placement: "Placement | None" = None
    """Which layers are on which device; None where all are on one."""
    fused: "FusedLlama | None" = None
    """The fused forward pass, where it was verified to compute what the model does."""
    paged: "PagedEngine | None" = None
    """The paged engine, where it was verified to compute what the model does."""
    paged_refusal: str | None = None
    """Why the paged engine does not take the model, where that was found out."""
    verified: bool = False
    """Whether the packed engine was verified to compute what the model does."""
    refusal: str | None = None
    """Why the packed engine does not take the model, where that was found out."""
    calls: "tuple[AttentionCall, ...] | None" = None
    """What its layers call attention with; None before the packed engine was asked for."""
    longest: int | None = None
    """Most tokens of a text for which the packed engine was verified; None: any number."""
    encoder_decoder: EncoderDecoder | None = None
    """What an encoder-decoder says an answer after; None for a decoder."""
    constraints: Mapping[str, Json] = field(default_factory=dict)
    """Tokens that the model's own configuration bars, as `GenerationConfig` takes them; only `generate` obeys them."""


def takes_logits_to_keep(model: CausalLM) -> bool:
    """Return whether the model can leave out the logits that nobody asks for."""
    return "logits_to_keep" in inspect.signature(getattr(model, "forward", model)).parameters


def vocabulary_of(model: CausalLM) -> int:
    """Return the number of embeddings of the language model."""
    config = cast(DecoderConfig, text_config(model.config))
    return config.vocab_size
