"""MFU: the floating-point operations of useful tokens against a GPU's peak; recomputed activations do not count."""

from dataclasses import dataclass

import torch
from torch import nn

from ..gpus import peak_of_card
from ..tune.recipe_records import Tuning
from .loss import ModelWithLoss
from .structure import decoder_config, decoder_of, head_of


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFlops:
    """What the floating-point operations (FLOPs) of a training step follow from."""

    body: int
    """Weights of the linear layers below the head."""
    head: int
    """Weights of the head, which supervised tokens alone go through."""
    attention: int
    """Layers x width of all their query heads."""
    matmuls: int
    """Matrix products with a weight for each token: 3 in full tuning; 2 where most weights are frozen."""

    def count(self, tokens: int, supervised: int, squared_lengths: int) -> float:
        """Return the FLOPs for `tokens` tokens, of documents whose squared lengths add up to `squared_lengths`."""
        linear = 2.0 * self.matmuls * (self.body * tokens + self.head * supervised)
        return linear + 6.0 * self.attention * squared_lengths


def step_flops(model: ModelWithLoss, kind: Tuning) -> StepFlops:
    """Return the sizes of a model that is not sharded yet."""
    config, head = decoder_config(model.lm), head_of(model.lm)
    head_size = 0 if head is None else sum(each.numel() for each in head.parameters())
    linear = sum(
        each.weight.numel()
        for name, each in decoder_of(model.lm).named_modules()
        if isinstance(each, nn.Linear) and each is not head and "lora_" not in name
    )
    heads = int(getattr(config, "num_attention_heads", 0))
    width = int(getattr(config, "head_dim", None) or getattr(config, "hidden_size", 0) // max(heads, 1))
    layers = int(getattr(config, "num_hidden_layers", 0))
    matmuls = 3 if kind is Tuning.FULL else 2
    return StepFlops(body=linear, head=head_size, attention=layers * heads * width, matmuls=matmuls)


def peak_of(device: torch.device) -> float | None:
    """Return the bfloat16 peak of a GPU, None where it is not known."""
    return peak_of_card(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
