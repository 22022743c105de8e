"""A forward pass of our own for Llama-shaped models on a CPU: activations stand in columns, one for each token.

A product of weights with columns keeps a CPU busier than transformers' product of rows with transposed weights (at 16
to 128 tokens by a third and more), joint projections make fewer and larger products, and buffers that stay spare the
page faults of large temporaries. Which models it computes rightly is not judged by their names: see `support`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeGuard, cast

from .attention import PackPlan, StepPlan, attend_pack, attend_step

if TYPE_CHECKING:
    import torch
    from torch import nn

EIGHT = 8
"""Columns are filled up to a multiple of this, for kernels are slow at other numbers."""
FEWEST = 16
"""A product with fewer columns takes no less time."""
LAYER_PARTS = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
ATTENTION_PARTS = {"q_proj", "k_proj", "v_proj", "o_proj"}
MLP_PARTS = {"gate_proj", "up_proj", "down_proj", "act_fn"}


class Rotary(Protocol):
    """What is used of a rotary embedding."""

    def __call__(self, like: "torch.Tensor", positions: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        """Return cosines and sines, (1, tokens, head size)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """The weights of a layer; joint ones lie behind each other, and the model's own are views of them."""

    before_attention: "torch.Tensor"
    joint: "torch.Tensor"
    """Queries, keys and values."""
    joint_bias: "torch.Tensor | None"
    out: "torch.Tensor"
    before_mlp: "torch.Tensor"
    gate_up: "torch.Tensor"
    down: "torch.Tensor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """A model, ready to be computed in columns."""

    embed: "Callable[[torch.Tensor], torch.Tensor]"
    rotary: Rotary
    layers: tuple[Layer, ...]
    norm: "torch.Tensor"
    head: "torch.Tensor"
    act: "Callable[[torch.Tensor], torch.Tensor]"
    epsilon: float
    scale: float
    heads: int
    key_heads: int
    buffers: "dict[str, torch.Tensor]" = field(default_factory=dict, repr=False)
    """Memory that passes use one after the other; each is as large as the largest pass."""

    def scores(
        self, ids: Sequence[int], positions: Sequence[int], keep: Sequence[int] | None, plan: PackPlan | StepPlan
    ) -> "torch.Tensor":
        """Return the scores after the tokens at `keep` (None: all), (tokens, vocabulary); a view of columns."""
        import torch  # noqa: PLC0415 - heavy

        count = len(ids)
        width = max(FEWEST, -(-count // EIGHT) * EIGHT)
        spare = [ids[0]] * (width - count)
        hidden = self.embed(torch.tensor([*ids, *spare])).t().contiguous()
        waves = self.rotary(hidden, torch.tensor([[*positions]]))
        # Both halves of a head turn by the same angles.
        cosine, sine = (each[0, :, : each.shape[-1] // 2].t().contiguous() for each in waves)
        for index, layer in enumerate(self.layers):
            self._attend(index, layer, hidden, (cosine, sine), plan)
            self._transform(layer, hidden)
        kept = hidden[:, :count] if keep is None else hidden.index_select(1, torch.tensor(keep))
        return torch.mm(self.head, self._normed(kept, self.norm)).t()

    def _attend(
        self,
        index: int,
        layer: Layer,
        hidden: "torch.Tensor",
        waves: "tuple[torch.Tensor, torch.Tensor]",
        plan: PackPlan | StepPlan,
    ) -> None:
        import torch  # noqa: PLC0415 - heavy
        from torch.nn.functional import pad  # noqa: PLC0415 - heavy

        cosine, sine = waves
        count, width = cosine.shape[1], hidden.shape[1]
        joint = torch.mm(
            layer.joint, self._normed(hidden, layer.before_attention), out=self._buffer("joint", layer.joint, width)
        )
        if layer.joint_bias is not None:
            joint += layer.joint_bias[:, None]
        heads, key_heads = self.heads, self.key_heads
        size = len(joint) // (heads + 2 * key_heads)
        halves = joint[: (heads + key_heads) * size, :count].view(heads + key_heads, 2, size // 2, count)
        turned = halves * cosine
        turned[:, 0].addcmul_(halves[:, 1], sine, value=-1)
        turned[:, 1].addcmul_(halves[:, 0], sine)
        turned = turned.flatten(1, 2).transpose(1, 2)
        value = joint[(heads + key_heads) * size :, :count].view(key_heads, size, count).transpose(1, 2)
        query, key = turned[:heads] * self.scale, turned[heads:]
        if isinstance(plan, PackPlan):
            seen = attend_pack(plan, index, query, key, value)
        else:
            seen = attend_step(plan, index, query, key, value)
        rows = seen.reshape(count, -1)
        hidden.addmm_(layer.out, pad(rows, (0, 0, 0, width - count)).t())

    def _transform(self, layer: Layer, hidden: "torch.Tensor") -> None:
        import torch  # noqa: PLC0415 - heavy

        width = hidden.shape[1]
        both = torch.mm(
            layer.gate_up, self._normed(hidden, layer.before_mlp), out=self._buffer("gate_up", layer.gate_up, width)
        )
        half = len(both) // 2
        hidden.addmm_(layer.down, self.act(both[:half]).mul_(both[half:]))

    def _normed(self, hidden: "torch.Tensor", weight: "torch.Tensor") -> "torch.Tensor":
        """Return `hidden` with every column brought to length one, times `weight`."""
        shrink = hidden.square().mean(0).add_(self.epsilon).rsqrt_()
        return (hidden * shrink).mul_(weight[:, None])

    def _buffer(self, name: str, weight: "torch.Tensor", width: int) -> "torch.Tensor":
        """Return memory for the product of `weight` with `width` columns."""
        size = len(weight) * width
        found = self.buffers.get(name)
        if found is None or len(found) < size:
            found = self.buffers[name] = weight.new_empty(size)
        return found[:size].view(len(weight), width)


def in_columns(model: object) -> Columns | None:
    """Return a model that is built like Llama in columns, or None; its joint weights replace its single ones."""
    from torch import nn  # noqa: PLC0415 - heavy

    if not isinstance(model, nn.Module):
        return None
    whole = dict(model.named_children())
    if set(whole) != {"model", "lm_head"}:
        return None
    body, head = whole["model"], whole["lm_head"]
    parts = dict(body.named_children())
    if (
        set(parts) != {"embed_tokens", "layers", "norm", "rotary_emb"}
        or not _is_linear(head)
        or getattr(head, "bias", None) is not None
    ):
        return None
    blocks = list(parts["layers"].children())
    if not blocks or not all(_is_llama(block) for block in blocks):
        return None
    attention, mlp = (getattr(blocks[0], name) for name in ("self_attn", "mlp"))
    size = int(attention.head_dim)
    return Columns(
        embed=parts["embed_tokens"],
        rotary=cast(Rotary, parts["rotary_emb"]),
        layers=tuple(_join(block) for block in blocks),
        norm=cast("torch.Tensor", parts["norm"].weight),
        head=head.weight,
        act=mlp.act_fn,
        epsilon=float(getattr(parts["norm"], "variance_epsilon")),  # noqa: B009 - no attribute of nn.Module
        scale=float(attention.scaling),
        heads=attention.q_proj.out_features // size,
        key_heads=attention.k_proj.out_features // size,
    )


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


def _join(block: "nn.Module") -> Layer:
    import torch  # noqa: PLC0415 - heavy

    parts: Mapping[str, nn.Module] = dict(block.named_children())
    attention: Mapping[str, nn.Linear] = dict(parts["self_attn"].named_children())  # type: ignore[arg-type]  # seen in _is_llama
    mlp: Mapping[str, nn.Linear] = dict(parts["mlp"].named_children())  # type: ignore[arg-type]  # the same
    single = [attention[name] for name in ("q_proj", "k_proj", "v_proj")]
    biases = [each.bias.detach() for each in single if each.bias is not None]
    return Layer(
        before_attention=cast("torch.Tensor", parts["input_layernorm"].weight).detach(),
        joint=_join_weights(single),
        joint_bias=torch.cat(biases) if biases else None,
        out=attention["o_proj"].weight.detach(),
        before_mlp=cast("torch.Tensor", parts["post_attention_layernorm"].weight).detach(),
        gate_up=_join_weights([mlp["gate_proj"], mlp["up_proj"]]),
        down=mlp["down_proj"].weight.detach(),
    )


def _join_weights(modules: "Sequence[nn.Linear]") -> "torch.Tensor":
    """Return the weights of `modules` behind each other; each module keeps its own as a view of them."""
    import torch  # noqa: PLC0415 - heavy
    from torch import nn  # noqa: PLC0415 - heavy

    joint = torch.cat([each.weight.detach() for each in modules])
    first = 0
    for each in modules:
        last = first + each.out_features
        each.weight = nn.Parameter(joint[first:last], requires_grad=False)
        first = last
    return joint
