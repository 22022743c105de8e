"""XLM-RoBERTa as an encoder (Conneau et al. 2020), in inference: hidden states layer by layer, as they are needed.

Layers above the last one that is wanted are never computed, and no more than one state is held at a time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .model_record import EncoderShape

Weights = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class _Linear:
    weight: Tensor
    bias: Tensor

    def __call__(self, states: Tensor) -> Tensor:
        return functional.linear(states, self.weight, self.bias)


@dataclass(frozen=True, slots=True, eq=False)
class _Norm:
    weight: Tensor
    bias: Tensor
    epsilon: float

    def __call__(self, states: Tensor) -> Tensor:
        return functional.layer_norm(states, self.weight.shape, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """One layer: attention, then the feed-forward block, each normalised after its residual."""

    heads: int
    attention_in: _Linear
    """Queries, keys and values in one product."""
    attention_out: _Linear
    attention_norm: _Norm
    widen: _Linear
    narrow: _Linear
    norm: _Norm

    def __call__(self, states: Tensor, visible: Tensor | None) -> Tensor:
        batch, length, width = states.shape
        parts = self.attention_in(states).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        joined = attended.transpose(1, 2).reshape(batch, length, width)
        states = self.attention_norm(self.attention_out(joined) + states)
        return self.norm(self.narrow(functional.gelu(self.widen(states))) + states)


class CometEncoder:
    """The encoder with its weights."""

    def __init__(self, weights: Weights, shape: EncoderShape) -> None:
        """`weights` by the names of transformers' XLMRobertaModel, with the prefix "encoder."."""
        self._shape = shape
        embeddings = "encoder.embeddings"
        self._words = weights[f"{embeddings}.word_embeddings.weight"]
        self._positions = weights[f"{embeddings}.position_embeddings.weight"]
        self._segment = weights[f"{embeddings}.token_type_embeddings.weight"][0]
        self._norm = _norm(weights, f"{embeddings}.LayerNorm", shape)
        self._layers = [_layer(weights, f"encoder.encoder.layer.{place}", shape) for place in range(shape.layers)]

    def states(self, ids: Tensor, mask: Tensor) -> Iterator[Tensor]:
        """Yield the embeddings and the output of each layer, shape (texts, tokens, width).

        `mask`, shape (texts, tokens), is True for tokens and False for what fills the batch up. A padding token inside
        of a text is a token, without a position of its own.
        """
        counted = ids != self._shape.padding
        places = counted.cumsum(dim=1) * counted + self._shape.padding
        words = functional.embedding(ids, self._words) + self._segment
        states = self._norm(words + functional.embedding(places, self._positions))
        visible = None if bool(mask.all()) else mask[:, None, None, :]
        yield states
        for layer in self._layers:
            states = layer(states, visible)
            yield states


def _layer(weights: Weights, name: str, shape: EncoderShape) -> _Layer:
    attention = f"{name}.attention.self"
    inputs = [f"{attention}.{part}" for part in ("query", "key", "value")]
    return _Layer(
        heads=shape.heads,
        attention_in=_Linear(
            torch.cat([weights[f"{part}.weight"] for part in inputs]),
            torch.cat([weights[f"{part}.bias"] for part in inputs]),
        ),
        attention_out=_linear(weights, f"{name}.attention.output.dense"),
        attention_norm=_norm(weights, f"{name}.attention.output.LayerNorm", shape),
        widen=_linear(weights, f"{name}.intermediate.dense"),
        narrow=_linear(weights, f"{name}.output.dense"),
        norm=_norm(weights, f"{name}.output.LayerNorm", shape),
    )


def _linear(weights: Weights, name: str) -> _Linear:
    return _Linear(weights[f"{name}.weight"], weights[f"{name}.bias"])


def _norm(weights: Weights, name: str, shape: EncoderShape) -> _Norm:
    return _Norm(weights[f"{name}.weight"], weights[f"{name}.bias"], shape.norm_epsilon)


def encoder_weights(shape: EncoderShape) -> dict[str, tuple[int, ...]]:
    """Return the names that a CometEncoder reads, and their shapes."""
    width, inner = shape.width, shape.inner
    names: dict[str, tuple[int, ...]] = {
        "encoder.embeddings.word_embeddings.weight": (shape.vocabulary, width),
        "encoder.embeddings.position_embeddings.weight": (shape.positions, width),
        "encoder.embeddings.token_type_embeddings.weight": (1, width),
        "encoder.embeddings.LayerNorm.weight": (width,),
        "encoder.embeddings.LayerNorm.bias": (width,),
    }
    for place in range(shape.layers):
        for part, rows, columns in (
            *((f"attention.self.{part}", width, width) for part in ("query", "key", "value")),
            ("attention.output.dense", width, width),
            ("intermediate.dense", inner, width),
            ("output.dense", width, inner),
        ):
            names[f"encoder.encoder.layer.{place}.{part}.weight"] = (rows, columns)
            names[f"encoder.encoder.layer.{place}.{part}.bias"] = (rows,)
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            names[f"encoder.encoder.layer.{place}.{part}.weight"] = (width,)
            names[f"encoder.encoder.layer.{place}.{part}.bias"] = (width,)
    return names
