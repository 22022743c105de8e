"""KV cache: where the keys and values of shared prefixes and of running sequences lie."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .memory import lazy_zeros

if TYPE_CHECKING:
    import torch

BLOCK = 32
"""Tokens of a slot whose keys lie number by number, the first ones of all of them before the second ones."""


class KVStorage(Protocol):
    """Where keys and values of neighbouring tokens lie; both are (key heads, tokens, head size) in a layer."""

    def write(self, layer: int, offset: int, key: "torch.Tensor", value: "torch.Tensor") -> None:
        """Put keys and values behind the first `offset` tokens."""
        ...

    def keys(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the keys of the first `tokens`."""
        ...

    def values(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the values of the first `tokens`."""
        ...


@dataclass(frozen=True, slots=True)
class PrefixKV:
    """A store in one piece: of a prefix, which many read and none adds to."""

    both: "torch.Tensor"
    """(layers, 2, key heads, tokens, head size)."""

    def write(self, layer: int, offset: int, key: "torch.Tensor", value: "torch.Tensor") -> None:
        """Put keys and values behind the first `offset` tokens."""
        self.both[layer, 0][:, offset : offset + key.shape[1]] = key
        self.both[layer, 1][:, offset : offset + key.shape[1]] = value

    def keys(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the keys of the first `tokens`."""
        return self.both[layer, 0][:, :tokens]

    def values(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the values of the first `tokens`."""
        return self.both[layer, 1][:, :tokens]


@dataclass(frozen=True, slots=True)
class SequenceKV:
    """A store that a row adds to; see `DecodeMetadata` for how it is read token by token."""

    key_blocks: "torch.Tensor"
    """Keys, (layers, key heads, blocks, head size, tokens of a block)."""
    value_rows: "torch.Tensor"
    """Values, (layers, key heads, tokens, head size)."""

    def write(self, layer: int, offset: int, key: "torch.Tensor", value: "torch.Tensor") -> None:
        """Put keys and values behind the first `offset` tokens."""
        last = offset + key.shape[1]
        self.value_rows[layer, :, offset:last] = value
        for first in range(offset - offset % BLOCK, last, BLOCK):
            start, end = max(first, offset), min(first + BLOCK, last)
            part = key[:, start - offset : end - offset].transpose(1, 2)
            self.key_blocks[layer, :, first // BLOCK, :, start - first : end - first] = part

    def keys(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the keys of the first `tokens`, a copy."""
        return self.key_blocks[layer].transpose(2, 3).flatten(1, 2)[:, :tokens]

    def values(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the values of the first `tokens`."""
        return self.value_rows[layer, :, :tokens]


@dataclass(frozen=True, slots=True, kw_only=True)
class KVCacheShape:
    """What keys and values of a model look like."""

    layers: int
    heads: int
    key_heads: int
    head_size: int
    dtype: "torch.dtype"
    device: str

    @property
    def token_bytes(self) -> int:
        """Bytes of a token's keys and values in all layers."""
        return 2 * self.layers * self.key_heads * self.head_size * self.dtype.itemsize


def whole_blocks(tokens: int) -> int:
    """Return how many tokens a slot for so many has."""
    return -(-tokens // BLOCK) * BLOCK


def zeros(shape: KVCacheShape, size: tuple[int, ...]) -> "torch.Tensor":
    """Return zeros on the device; on a CPU they take memory only where something is written to them."""
    import torch  # noqa: PLC0415 - heavy

    if shape.device.startswith("cpu"):
        return lazy_zeros(size, shape.dtype)
    return torch.zeros(size, dtype=shape.dtype, device=shape.device)


def new_prefix_kv(shape: KVCacheShape, tokens: int) -> PrefixKV:
    """Return uninitialized keys and values for a prefix of so many tokens."""
    import torch  # noqa: PLC0415 - heavy

    size = (shape.layers, 2, shape.key_heads, tokens, shape.head_size)
    return PrefixKV(torch.empty(size, dtype=shape.dtype, device=shape.device))
