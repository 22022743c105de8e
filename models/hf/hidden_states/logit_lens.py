"""The logit lens (nostalgebraist 2020): the states of a middle layer through the final norm and the head.

Which module is the final norm is found by its name and proved by a trial: what comes out of it must be the last hidden
states, and their logits must have the same best token as the model's own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from xlingual.decoder.architecture import text_config
from xlingual.decoder.protocols import DecoderConfig

from ..loaded_model import CausalLM, LoadedModel

if TYPE_CHECKING:
    import torch
    from torch import nn

NORM_NAMES = ("norm", "final_layernorm", "final_layer_norm", "ln_f", "norm_f", "final_norm")
"""What the final norm is called in transformers' decoders."""
MAX_LOGITS = 8_000_000
"""Logits computed at once."""
_TRIAL = (5, 11, 2, 7)


@dataclass(frozen=True, slots=True)
class FinalProjection:
    """The end of a model: what turns the states of its last layer into logits."""

    norm: "Callable[[torch.Tensor], torch.Tensor]"
    head: "Callable[[torch.Tensor], torch.Tensor]"
    vocabulary: int

    def top(self, hidden: "torch.Tensor", count: int, *, is_normed: bool) -> "torch.Tensor":
        """Return the `count` best tokens after states, (tokens, width), the best one first, as (tokens, count).

        What a model does to its logits afterwards (a cap, a scale) keeps their order.
        """
        import torch  # noqa: PLC0415 - heavy

        count = min(count, self.vocabulary)
        at_once = max(1, MAX_LOGITS // self.vocabulary)
        parts = [hidden.new_empty(0, count, dtype=torch.long).cpu()]
        for first in range(0, len(hidden), at_once):
            some = hidden[first : first + at_once]
            logits = self.head(some if is_normed else self.norm(some))
            parts.append(logits.float().topk(count, dim=-1).indices.cpu())
        return torch.cat(parts)


def decoder_config(model: CausalLM) -> DecoderConfig:
    """Return the configuration of a model's decoder, which in a multimodal one is a part of the whole."""
    return cast(DecoderConfig, text_config(model.config))


def lens_positions(tokens: int, count: int) -> list[int]:
    """Return up to `count` places among the tokens of a text, evenly spaced, its last token last; never the first.

    The same share of a text and of its translation stands before the places of one number. A text of one token has
    that one.
    """
    places = [max(1, round(tokens * number / count)) - 1 for number in range(1, count + 1)]
    return [max(each, min(1, tokens - 1)) for each in places]


def final_projection(loaded: LoadedModel) -> FinalProjection | None:
    """Return the end of the model, or None where no final norm is found that computes what the model does."""
    if (fused := loaded.fused) is not None:
        return FinalProjection(fused.normed, fused.head, decoder_config(loaded.model).vocab_size)
    model = cast("nn.Module", loaded.model)
    head = cast("Callable[[], nn.Module | None]", getattr(model, "get_output_embeddings", lambda: None))()
    if head is None:
        return None
    for norm in _candidates(model):
        found = FinalProjection(norm, head, decoder_config(loaded.model).vocab_size)
        if _is_proved(loaded, norm, found):
            return found
    return None


def _candidates(model: "nn.Module") -> "list[nn.Module]":
    """Return the modules that are called like a final norm, those nearest to the root first."""
    named = [(name, module) for name, module in model.named_modules() if name.rpartition(".")[2] in NORM_NAMES]
    outside = [(name, module) for name, module in named if not any(part.isdigit() for part in name.split("."))]
    return [module for _, module in sorted(outside, key=lambda each: each[0].count("."))]


def _is_proved(loaded: LoadedModel, norm: "nn.Module", projection: FinalProjection) -> bool:
    import torch  # noqa: PLC0415 - heavy

    seen: list[torch.Tensor] = []
    hook = norm.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    try:
        ids = torch.tensor([_trial_ids(loaded)], device=loaded.device)
        with torch.inference_mode():
            output = loaded.model(
                input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, output_hidden_states=True
            )
    finally:
        hook.remove()
    if len(seen) != 1 or not output.hidden_states or seen[0].shape != output.hidden_states[-1].shape:
        return False
    if not torch.equal(seen[0], output.hidden_states[-1]):
        return False
    with torch.inference_mode():
        best = projection.top(output.hidden_states[-1][0], 1, is_normed=True)[:, 0]
    return bool((best == output.logits[0].argmax(-1).cpu()).all())


def _trial_ids(loaded: LoadedModel) -> Sequence[int]:
    return [each % decoder_config(loaded.model).vocab_size for each in _TRIAL]
