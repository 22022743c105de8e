"""What is used of a causal language model of transformers; the library has no types that say it."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class DecoderConfig(Protocol):
    """What is used of a configuration; more is looked for by name, for no two architectures have the same fields."""

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
    """What is used of the attention module of a layer."""

    @property
    def layer_idx(self) -> int:
        """Its place in the model, from 0."""
        ...


class CausalLMOutput(Protocol):
    """What is used of a forward pass with the head."""

    @property
    def logits(self) -> "torch.Tensor":
        """(batch, tokens, vocabulary)."""
        ...


class DecoderModel(Protocol):
    """What is used of any decoder: its configuration, and the choice of its attention function."""

    @property
    def config(self) -> DecoderConfig:
        """Its configuration."""
        ...

    @property
    def dtype(self) -> "torch.dtype":
        """Of its weights."""
        ...

    def set_attn_implementation(self, name: str) -> None:
        """Choose the function that computes attention."""
        ...
