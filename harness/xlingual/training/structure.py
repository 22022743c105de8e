"""The parts of a causal language model of transformers, whatever an architecture calls them.

Llama    model                  its layers in model.layers         head lm_head
BLOOM    transformer            transformer.h                      lm_head
Gemma 3  model.language_model   model.language_model.layers        lm_head, over the images' parts too
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn

from ..decoder.architecture import text_config
from ..decoder.protocols import DecoderConfig


def decoder_of(lm: nn.Module) -> nn.Module:
    """Return the part that computes the last hidden states: the language model, without its head."""
    return cast(nn.Module, lm.get_decoder())  # type: ignore[operator]  # of transformers


def head_of(lm: nn.Module) -> nn.Module | None:
    """Return the head, None where the model names none."""
    return cast("nn.Module | None", lm.get_output_embeddings())  # type: ignore[operator]  # of transformers


def layers_of(lm: nn.Module) -> list[nn.Module]:
    """Return the layers, from the first on: the list of modules of the decoder that holds most weights; else none."""
    lists = [each for each in decoder_of(lm).modules() if isinstance(each, nn.ModuleList) and len(each)]
    if not lists:
        return []
    sizes = [sum(each.numel() for each in layers.parameters()) for layers in lists]
    return list(lists[sizes.index(max(sizes))])


def decoder_config(lm: nn.Module) -> DecoderConfig:
    """Return the configuration of the language model, which in a multimodal model is a part of the whole."""
    return cast(DecoderConfig, text_config(lm.config))


def is_tied(lm: nn.Module) -> bool:
    """Return whether the head shares the weights of the embeddings."""
    head = head_of(lm)
    embeddings = cast(nn.Module, lm.get_input_embeddings())  # type: ignore[operator]  # of transformers
    return head is not None and getattr(head, "weight", None) is embeddings.weight


def untie(lm: nn.Module) -> None:
    """Give a head that shares the weights of the embeddings a copy of its own, and note it in the configuration."""
    head = cast(nn.Module, head_of(lm))
    head.weight = nn.Parameter(cast(torch.Tensor, head.weight).detach().clone(), requires_grad=False)
    for config in (lm.config, text_config(lm.config)):
        setattr(config, "tie_word_embeddings", False)  # noqa: B010 - of transformers


def freeze_other_parts(lm: nn.Module) -> None:
    """Freeze what a multimodal model has besides the language model, its embeddings and its head."""
    if text_config(lm.config) is lm.config:
        return
    head = head_of(lm)
    trained = {id(each) for part in (decoder_of(lm), head) if part is not None for each in part.parameters()}
    for each in lm.parameters():
        each.requires_grad_(id(each) in trained and each.is_floating_point())


def unfreeze_embeddings(lm: nn.Module) -> None:
    """Let the embeddings and the head be trained, beside an adapter that has frozen them."""
    for part in (cast(nn.Module, lm.get_input_embeddings()), head_of(lm)):  # type: ignore[operator]  # of transformers
        for parameter in () if part is None else part.parameters():
            parameter.requires_grad_(parameter.is_floating_point())


def trained_above(lm: nn.Module) -> list[nn.Parameter]:
    """Return the trained parameters that logits are computed with: the head's, tied or not, and those around it."""
    below = {id(each) for each in decoder_of(lm).parameters()}
    head = head_of(lm)
    found = {id(each): each for each in lm.parameters() if id(each) not in below}
    found |= {id(each): each for each in (() if head is None else head.parameters())}
    return [each for each in found.values() if each.requires_grad]


def logits_of(lm: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """Return the logits, (tokens, vocabulary), that the model itself gives last hidden states, (tokens, width).

    Its own forward pass runs, with these states in the place of the decoder: so scaled logits (Cohere, Granite) and
    capped ones (Gemma) need no code of their own here.
    """
    ids = torch.zeros(1, len(hidden), dtype=torch.long, device=hidden.device)
    with _returning(lm, _LastStates(hidden[None])):
        return cast(torch.Tensor, lm(input_ids=ids, use_cache=False).logits[0])


class _LastStates:
    """The output of a decoder of which only the last hidden states are known."""

    def __init__(self, hidden: torch.Tensor) -> None:
        """`hidden` is (1, tokens, width)."""
        self.last_hidden_state = hidden

    def __getitem__(self, index: int) -> torch.Tensor:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        """Return None: there is no KV cache, and there are no attention weights."""
        if name.startswith("__"):
            raise AttributeError(name)


@contextmanager
def _returning(lm: nn.Module, output: _LastStates) -> Iterator[None]:
    """Let the decoder of `lm`, and what stands around it in a multimodal model, return `output`."""
    body = cast(nn.Module, lm.base_model)
    replaced = {id(each): each for each in (body, decoder_of(lm)) if each is not lm}
    own = {key: vars(each).get("forward") for key, each in replaced.items()}
    for each in replaced.values():
        each.forward = lambda *_, **__: output
    try:
        yield
    finally:
        for key, each in replaced.items():
            del each.forward
            if (forward := own[key]) is not None:
                each.forward = forward
