"""Types of the causal language models of transformers, as far as they are used here; the library has none."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class DecoderConfig(Protocol):
    """A configuration; other fields are read with getattr, for no two architectures have the same."""

    @property
    def num_hidden_layers(self) -> int:
        """The number of layers."""
        ...

    @property
    def num_attention_heads(self) -> int:
        """The number of query heads."""
        ...

    @property
    def hidden_size(self) -> int:
        """The width of the model."""
        ...

    @property
    def vocab_size(self) -> int:
        """The number of embeddings."""
        ...

    @property
    def _attn_implementation(self) -> str: ...


class AttentionModule(Protocol):
    """The attention module of a layer."""

    @property
    def layer_idx(self) -> int:
        """Index of the layer, from 0."""
        ...


class CausalLMOutput(Protocol):
    """The output of a forward pass with the head."""

    @property
    def logits(self) -> "torch.Tensor":
        """(batch, tokens, vocabulary)."""
        ...

    @property
    def hidden_states(self) -> "tuple[torch.Tensor, ...] | None":
        """Of the embedding and of every layer, each (batch, tokens, width), the last one after the final norm.

        None where they were not asked for.
        """
        ...


class DecoderModel(Protocol):
    """Any decoder: its configuration, and the choice of its attention function."""

    @property
    def config(self) -> DecoderConfig:
        """Its configuration."""
        ...

    @property
    def dtype(self) -> "torch.dtype":
        """Of its weights."""
        ...

    def set_attn_implementation(self, name: str) -> None:
        """Choose the attention function by its name in transformers' table."""
        ...
