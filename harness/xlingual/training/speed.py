"""How much of a GPU's peak a training uses: only what the useful tokens need is counted, nothing computed twice."""

from dataclasses import dataclass

import torch
from torch import nn

from ..gpus import peak_of_card
from ..tune.records import Tuning
from .loss import Supervised


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a training step has to compute, by its method."""

    body: int
    """Weights of the linear layers below the head."""
    head: int
    attention: int
    """Layers x width of all their query heads."""
    passes: int
    """Multiplications of a weight for a token: 3 in full tuning; 2 where most weights are frozen."""

    def operations(self, tokens: int, supervised: int, squares: int) -> float:
        """Return the floating-point operations for `tokens`, of documents whose squared lengths add to `squares`."""
        linear = 2.0 * self.passes * (self.body * tokens + self.head * supervised)
        return linear + 6.0 * self.attention * squares


def costs_of(model: Supervised, kind: Tuning) -> Costs:
    """Count the weights of a model that is not sharded yet."""
    config = model.language_model.config
    head = model.language_model.get_output_embeddings()
    head_size = sum(each.numel() for each in head.parameters())
    linear = sum(
        each.weight.numel()
        for name, each in model.named_modules()
        if isinstance(each, nn.Linear) and each is not head and "lora_" not in name
    )
    heads = int(getattr(config, "num_attention_heads", 0))
    width = int(getattr(config, "head_dim", None) or getattr(config, "hidden_size", 0) // max(heads, 1))
    layers = int(getattr(config, "num_hidden_layers", 0))
    passes = 3 if kind is Tuning.FULL else 2
    return Costs(body=linear, head=head_size, attention=layers * heads * width, passes=passes)


def peak_of(device: torch.device) -> float | None:
    """Return the bfloat16 peak of a GPU, None where it is not known."""
    return peak_of_card(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
