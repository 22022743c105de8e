"""Which texts may share a forward pass where rotary angles depend on its longest text.

With longrope (Phi-3), a model that was trained on texts of up to 4,096 tokens has two sets of angles. A prompt of 100
tokens beside one of 5,000 would be computed with the angles for long texts: alone it has another answer.

Llama 4 scales the queries of some layers by where they stand in the forward pass, padding included, from token 8,191
on: texts of that length share a batch only with others as long.
"""

from xlingual.decoder.architecture import LengthDependentRope, length_dependent_ropes, text_config

from .loaded_model import LoadedModel
from .packed.support import first_scaled_position

SHORT, LONG = -1, -2


def batch_key(config: object, tokens: int, new: int) -> tuple[int, ...]:
    """Return a key that texts of one batch must share: `tokens` that are read, and up to `new` that are generated.

    Empty for a model whose angles depend on positions alone.
    """
    sides = [_side(rope, tokens, new) for rope in length_dependent_ropes(text_config(config))]
    if (scaled := first_scaled_position(config)) is not None:
        sides.append(SHORT if tokens + new <= scaled else tokens)
    return tuple(sides)


def reset_angles(loaded: LoadedModel) -> None:
    """Let dynamic angles be those of a text of one token: transformers keeps them as they were for the longest so far.

    It resets them by itself only for a text that is shorter than the original length, not for one that just has it.
    """
    import torch  # noqa: PLC0415 - heavy

    if any(rope.kind == "dynamic" for rope in length_dependent_ropes(text_config(loaded.model.config))):
        one = torch.zeros(1, 1, dtype=torch.long, device=loaded.device)
        with torch.inference_mode():
            loaded.model(input_ids=one, attention_mask=torch.ones_like(one), use_cache=False)


def _side(rope: LengthDependentRope, tokens: int, new: int) -> int:
    if rope.original is not None and tokens + new <= rope.original:
        return SHORT
    if rope.original is not None and tokens > rope.original and rope.kind == "longrope":
        return LONG
    # Its angles change while it is generated, or with every token: only texts of its own length do so in step.
    return tokens
