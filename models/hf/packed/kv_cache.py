"""KV cache: keys and values of the shared prefixes, and of the running sequences.

A prompt of 900 tokens whose first 880 stand in other prompts as well has its keys and values in two places:

    PrefixKV    the 880 tokens, computed once, read by every sequence below the prefix, freed with the last of them
    KVCache     a row for the other 20 tokens and the answer; `SequenceKV` is the view of one sequence's row

PagedAttention reaches the tokens of a sequence through a block table. Here they are contiguous: a row is allocated for
the longest answer from the start. On a CPU that costs nothing, for a row takes memory only where it is written to.

Values lie token by token. Keys lie in blocks of BLOCK_SIZE tokens, transposed: the first component of every key in the
block, then the second component of each. See `batch_plan.DecodeMetadata` for how decoding reads both.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .memory import lazy_zeros

if TYPE_CHECKING:
    import torch

BLOCK_SIZE = 32
"""Tokens of a key block in a row."""


class KVBuffer(Protocol):
    """Keys and values of consecutive tokens; in a layer they are (KV heads, tokens, head size or value size)."""

    def write(self, layer: int, offset: int, key: "torch.Tensor", value: "torch.Tensor") -> None:
        """Write keys and values from the token `offset` on."""
        ...

    def keys(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the keys of the first `tokens`."""
        ...

    def values(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the values of the first `tokens`."""
        ...


@dataclass(frozen=True, slots=True)
class PrefixKV:
    """Keys and values of a shared prefix: written by its prefill, then only read."""

    token_keys: "torch.Tensor"
    """(layers, KV heads, tokens, head size)."""
    token_values: "torch.Tensor"
    """(layers, KV heads, tokens, value size)."""

    def write(self, layer: int, offset: int, key: "torch.Tensor", value: "torch.Tensor") -> None:
        """Write keys and values from the token `offset` on."""
        self.token_keys[layer, :, offset : offset + key.shape[1]] = key
        self.token_values[layer, :, offset : offset + key.shape[1]] = value

    def keys(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the keys of the first `tokens`."""
        return self.token_keys[layer, :, :tokens]

    def values(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the values of the first `tokens`."""
        return self.token_values[layer, :, :tokens]


@dataclass(frozen=True, slots=True)
class SequenceKV:
    """A row of the KV cache: keys and values of one sequence behind its prefixes."""

    key_blocks: "torch.Tensor"
    """Keys, (layers, KV heads, blocks, head size, tokens of a block)."""
    token_values: "torch.Tensor"
    """Values, (layers, KV heads, tokens, value size)."""

    def write(self, layer: int, offset: int, key: "torch.Tensor", value: "torch.Tensor") -> None:
        """Write keys and values from the token `offset` on."""
        last = offset + key.shape[1]
        self.token_values[layer, :, offset:last] = value
        for first in range(offset - offset % BLOCK_SIZE, last, BLOCK_SIZE):
            start, end = max(first, offset), min(first + BLOCK_SIZE, last)
            part = key[:, start - offset : end - offset].transpose(1, 2)
            self.key_blocks[layer, :, first // BLOCK_SIZE, :, start - first : end - first] = part

    def keys(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the keys of the first `tokens`, a copy."""
        return self.key_blocks[layer].transpose(2, 3).flatten(1, 2)[:, :tokens]

    def values(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the values of the first `tokens`."""
        return self.token_values[layer, :, :tokens]


@dataclass(frozen=True, slots=True, kw_only=True)
class KVCacheSpec:
    """What the keys and values of a model look like, and where they are kept."""

    layers: int
    heads: int
    """Query heads."""
    kv_heads: int
    head_size: int
    """Of queries and keys."""
    value_size: int
    """Of values: as `head_size`, but for multi-head latent attention (MLA)."""
    windows: tuple[int, ...] = ()
    """The sliding windows of its layers, each once."""
    dtype: "torch.dtype"
    device: str

    @property
    def group_size(self) -> int:
        """Query heads for each KV head."""
        return self.heads // self.kv_heads

    @property
    def token_bytes(self) -> int:
        """Bytes of a token's keys and values in all layers."""
        return self.layers * self.kv_heads * (self.head_size + self.value_size) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class KVCache:
    """Rows of equal length, one for each running sequence. Never holds NaN, which would come through any mask."""

    spec: KVCacheSpec
    keys: "torch.Tensor"
    """(layers, rows, KV heads, blocks, head size, tokens of a block)."""
    values: "torch.Tensor"
    """(layers, rows, KV heads, tokens, value size)."""

    @property
    def row_blocks(self) -> int:
        """Key blocks of a row."""
        return self.keys.shape[3]

    @property
    def row_tokens(self) -> int:
        """Tokens for which a row has space."""
        return self.values.shape[3]

    def row(self, index: int) -> SequenceKV:
        """Return the view of a row."""
        return SequenceKV(self.keys[:, index], self.values[:, index])

    def copy_row(self, source: int, target: int, tokens: int) -> None:
        """Copy the first `tokens` of the row `source` over those of the row `target`."""
        blocks = -(-tokens // BLOCK_SIZE)
        self.keys[:, target, :, :blocks] = self.keys[:, source, :, :blocks]
        self.values[:, target, :, :tokens] = self.values[:, source, :, :tokens]

    def clear_row(self, index: int) -> None:
        """Fill a row with zeros."""
        self.keys[:, index] = 0.0
        self.values[:, index] = 0.0


def round_up_to_blocks(tokens: int) -> int:
    """Return the tokens of the fewest whole blocks that hold so many."""
    return -(-tokens // BLOCK_SIZE) * BLOCK_SIZE


def new_kv_cache(spec: KVCacheSpec, rows: int, tokens: int) -> KVCache:
    """Return a cache of `rows` rows for at least `tokens` tokens each, all zero."""
    blocks = round_up_to_blocks(tokens) // BLOCK_SIZE
    first = (spec.layers, rows, spec.kv_heads)
    return KVCache(
        spec=spec,
        keys=_zeros(spec, (*first, blocks, spec.head_size, BLOCK_SIZE)),
        values=_zeros(spec, (*first, blocks * BLOCK_SIZE, spec.value_size)),
    )


def _zeros(spec: KVCacheSpec, size: tuple[int, ...]) -> "torch.Tensor":
    """Return zeros on the device; on a CPU they take memory only where something is written to them."""
    import torch  # noqa: PLC0415 - heavy

    if spec.device.startswith("cpu"):
        return lazy_zeros(size, spec.dtype)
    return torch.zeros(size, dtype=spec.dtype, device=spec.device)


def new_prefix_kv(spec: KVCacheSpec, tokens: int) -> PrefixKV:
    """Return uninitialized keys and values for a prefix of so many tokens."""
    import torch  # noqa: PLC0415 - heavy

    first = (spec.layers, spec.kv_heads, tokens)
    return PrefixKV(
        torch.empty(*first, spec.head_size, dtype=spec.dtype, device=spec.device),
        torch.empty(*first, spec.value_size, dtype=spec.dtype, device=spec.device),
    )
