"""Fused forward of Llama-shaped models on a CPU: joint q/k/v and gate/up projections, no module calls between them.

A model is taken if it is built of the same parts as Llama, whatever its name. Whether it computes the same with them
shows when its logits are compared with those of its own modules: see `verification`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeGuard, cast

from .attention import AttentionKind, decode_attention, prefill_attention
from .batch_plan import DecodeMetadata, PrefillMetadata
from .linear import DenseLinear, LinearKernel, PrepackedLinear, WeightLayout, choose_layout, prepack
from .memory import is_mapped
from .weight_changes import WeightChanges

if TYPE_CHECKING:
    import torch
    from torch import nn

LAYER_PARTS = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
ATTENTION_PARTS = {"q_proj", "k_proj", "v_proj", "o_proj"}
MLP_PARTS = {"gate_proj", "up_proj", "down_proj", "act_fn"}


class Rotary(Protocol):
    """What is used of a rotary embedding."""

    def __call__(self, like: "torch.Tensor", positions: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        """Return cosines and sines, (1, tokens, head size); `like` gives dtype and device."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedLayer:
    """The weights of a layer."""

    attention_norm: "torch.Tensor"
    qkv: LinearKernel
    out: LinearKernel
    mlp_norm: "torch.Tensor"
    gate_up: LinearKernel
    down: LinearKernel


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedLlama:
    """The weights of a model, and its forward pass."""

    embed: "Callable[[torch.Tensor], torch.Tensor]"
    rotary: Rotary
    layers: tuple[FusedLayer, ...]
    norm: "torch.Tensor"
    head: LinearKernel
    act: "Callable[[torch.Tensor], torch.Tensor]"
    epsilon: float
    """Of the norms."""
    scale: float
    """Of the queries."""
    heads: int
    """Query heads."""
    kv_heads: int
    windows: tuple[int | None, ...]
    """The sliding window of each layer."""

    def logits(
        self,
        ids: Sequence[int],
        positions: Sequence[int],
        keep: Sequence[int] | None,
        metadata: PrefillMetadata | DecodeMetadata,
    ) -> "torch.Tensor":
        """Return the logits after the tokens at `keep` (None: all), (tokens, vocabulary)."""
        import torch  # noqa: PLC0415 - heavy

        hidden = self.embed(torch.tensor([*ids]))
        rotations = self.rotary(hidden, torch.tensor([[*positions]]))
        # Both halves of a head are rotated by the same angles.
        cosine, sine = (each[0, :, None, : each.shape[-1] // 2] for each in rotations)
        for index, layer in enumerate(self.layers):
            self._attend(index, layer, hidden, (cosine, sine), metadata)
            both = layer.gate_up(self._normed(hidden, layer.mlp_norm))
            half = both.shape[1] // 2
            hidden += layer.down(self.act(both[:, :half]).mul_(both[:, half:]))
        kept = hidden if keep is None else hidden.index_select(0, torch.tensor(keep))
        return self.head(self._normed(kept, self.norm))

    def _attend(
        self,
        index: int,
        layer: FusedLayer,
        hidden: "torch.Tensor",
        rotations: "tuple[torch.Tensor, torch.Tensor]",
        metadata: PrefillMetadata | DecodeMetadata,
    ) -> None:
        cosine, sine = rotations
        qkv = layer.qkv(self._normed(hidden, layer.attention_norm))
        # Queries and keys are rotated together; values are not.
        rotated_heads = self.heads + self.kv_heads
        size = qkv.shape[1] // (rotated_heads + self.kv_heads)
        halves = qkv[:, : rotated_heads * size].view(-1, rotated_heads, 2, size // 2)
        rotated = halves * cosine[:, :, None]
        rotated[:, :, 0].addcmul_(halves[:, :, 1], sine, value=-1)
        rotated[:, :, 1].addcmul_(halves[:, :, 0], sine)
        by_head = rotated.flatten(2).transpose(0, 1)
        query, key = by_head[: self.heads] * self.scale, by_head[self.heads :]
        value = qkv[:, rotated_heads * size :].view(-1, self.kv_heads, size).transpose(0, 1)
        kind = AttentionKind(window=self.windows[index])
        if isinstance(metadata, PrefillMetadata):
            output = prefill_attention(metadata, index, query, key, value, kind)
        else:
            output = decode_attention(metadata, index, query, key, value, kind)
        hidden += layer.out(output.flatten(1))

    def _normed(self, hidden: "torch.Tensor", weight: "torch.Tensor") -> "torch.Tensor":
        """Return the RMS norm of `hidden`."""
        inverse = hidden.square().mean(1, keepdim=True).add_(self.epsilon).rsqrt_()
        return (hidden * inverse).mul_(weight)


def fuse_llama(model: object, windows: tuple[int | None, ...], changes: WeightChanges) -> FusedLlama | None:
    """Return the fused forward of a model that is built like Llama, or None; `windows` are those of its layers.

    Its linear modules become views of fused ones; `changes` notes how that is undone.
    """
    from torch import nn  # noqa: PLC0415 - heavy

    if not isinstance(model, nn.Module):
        return None
    top = dict(model.named_children())
    if set(top) != {"model", "lm_head"}:
        return None
    body, head = top["model"], top["lm_head"]
    parts = dict(body.named_children())
    if set(parts) != {"embed_tokens", "layers", "norm", "rotary_emb"} or not _is_linear(head):
        return None
    blocks = list(parts["layers"].children())
    if len(blocks) != len(windows) or not all(_is_llama(block) for block in blocks):
        return None
    attention, mlp = (getattr(blocks[0], name) for name in ("self_attn", "mlp"))
    size = int(attention.head_dim)
    heads, kv_heads = attention.q_proj.out_features // size, attention.k_proj.out_features // size
    layout = choose_layout(mlp.up_proj.weight.detach())
    if layout.prepacked:
        _copy_from_files(model, changes)
    # The head's weights may be those of the embedding as well, so they stay where they are.
    kind = PrepackedLinear if layout.prepacked else DenseLinear
    return FusedLlama(
        embed=parts["embed_tokens"],
        rotary=cast(Rotary, parts["rotary_emb"]),
        layers=tuple(_fuse_layer(block, layout, changes) for block in blocks),
        norm=cast("torch.Tensor", parts["norm"].weight).detach(),
        head=kind(head.weight.detach(), None if head.bias is None else head.bias.detach()),
        act=mlp.act_fn,
        epsilon=float(getattr(parts["norm"], "variance_epsilon")),  # noqa: B009 - no attribute of nn.Module
        scale=float(attention.scaling),
        heads=heads,
        kv_heads=kv_heads,
        windows=windows,
    )


def _copy_from_files(model: "nn.Module", changes: WeightChanges) -> None:
    """Copy what will not be prepacked: weights are views of a mapped file, which stays open as long as one of them."""
    for name, parameter in model.named_parameters():
        if "_proj." not in name and is_mapped(parameter.data, changes.files):
            changes.replace_weight(parameter, parameter.data.clone(), None)


def _is_linear(module: object) -> "TypeGuard[nn.Linear]":
    """Return whether a module is a linear one and nothing more: an adapter around it would be lost."""
    from torch import nn  # noqa: PLC0415 - heavy

    return type(module) is nn.Linear and not module._forward_hooks and not module._forward_pre_hooks


def _is_llama(block: "nn.Module") -> bool:
    """Return whether a layer has the parts of Llama's, and no other."""
    import torch  # noqa: PLC0415 - heavy

    parts = dict(block.named_children())
    if set(parts) != LAYER_PARTS:
        return False
    attention, mlp = dict(parts["self_attn"].named_children()), dict(parts["mlp"].named_children())
    if set(attention) != ATTENTION_PARTS or set(mlp) != MLP_PARTS:
        return False
    linear = [*attention.values(), *(each for name, each in mlp.items() if name != "act_fn")]
    if not all(_is_linear(each) and each.weight.dtype == torch.float32 for each in linear):
        return False
    biases = {name for name, each in (attention | mlp).items() if getattr(each, "bias", None) is not None}
    norms = (parts["input_layernorm"], parts["post_attention_layernorm"])
    named = all(hasattr(parts["self_attn"], name) for name in ("head_dim", "scaling"))
    return named and biases in (set(), ATTENTION_PARTS - {"o_proj"}) and all(_is_norm(each) for each in norms)


def _is_norm(module: "nn.Module") -> bool:
    return hasattr(module, "variance_epsilon") and {name for name, _ in module.named_parameters()} == {"weight"}


def _fuse_layer(block: "nn.Module", layout: WeightLayout, changes: WeightChanges) -> FusedLayer:
    parts = dict(block.named_children())
    attention, mlp = parts["self_attn"], parts["mlp"]
    return FusedLayer(
        attention_norm=cast("torch.Tensor", parts["input_layernorm"].weight).detach(),
        qkv=fuse_linear(attention, ("q_proj", "k_proj", "v_proj"), layout, changes),
        out=fuse_linear(attention, ("o_proj",), layout, changes),
        mlp_norm=cast("torch.Tensor", parts["post_attention_layernorm"].weight).detach(),
        gate_up=fuse_linear(mlp, ("gate_proj", "up_proj"), layout, changes),
        down=fuse_linear(mlp, ("down_proj",), layout, changes),
    )


def fuse_linear(
    parent: "nn.Module", names: Sequence[str], layout: WeightLayout, changes: WeightChanges
) -> LinearKernel:
    """Return one kernel for the linear modules `names` of `parent`, which go on with their rows of its weight.

    Dense, they stay where they are; prepacked, views of the kernel take their place.
    """
    import torch  # noqa: PLC0415 - heavy

    from .linear_view import FusedLinearView  # noqa: PLC0415 - imports torch

    modules = [getattr(parent, name) for name in names]
    weight = torch.cat([each.weight.detach() for each in modules]) if len(modules) > 1 else modules[0].weight.detach()
    biases = [each.bias.detach() for each in modules if each.bias is not None]
    bias = torch.cat(biases) if biases else None
    kernel: LinearKernel = prepack(weight, bias) if layout.prepacked else DenseLinear(weight, bias)
    first = 0
    for name, module in zip(names, modules, strict=True):
        last = first + module.out_features
        rebuild = partial(_copy_rows, kernel, first, last) if layout.exact else None
        if layout.prepacked:
            changes.replace_weight(module.weight, torch.empty(0, dtype=weight.dtype), rebuild)
            changes.replace_module(parent, name, FusedLinearView(kernel, first, last))
        elif len(modules) > 1:
            changes.replace_weight(module.weight, weight[first:last], rebuild)
        first = last
    return kernel


def _copy_rows(kernel: LinearKernel, first: int, last: int) -> "torch.Tensor":
    return kernel.dense()[first:last].clone()
