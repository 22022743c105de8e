"""Which texts may share a forward pass where rotary angles depend on its longest text.

With longrope (Phi-3), a model that was trained on texts of up to 4,096 tokens has two sets of angles. A prompt of 100
tokens beside one of 5,000 would be computed with the angles for long texts: alone it has another answer.
"""

from xlingual.decoder.architecture import LengthDependentRope, length_dependent_ropes, text_config

SHORT, LONG = -1, -2


def batch_key(config: object, tokens: int, new: int) -> tuple[int, ...]:
    """Return a key that texts of one batch must share: `tokens` that are read, and up to `new` that are generated.

    Empty for a model whose angles depend on positions alone.
    """
    return tuple(_side(rope, tokens, new) for rope in length_dependent_ropes(text_config(config)))


def longest_short_text(config: object) -> int | None:
    """Return the most tokens of texts whose angles are the same in any company; None: of any length."""
    originals = [rope.original or 0 for rope in length_dependent_ropes(text_config(config))]
    return min(originals, default=None)


def _side(rope: LengthDependentRope, tokens: int, new: int) -> int:
    if rope.original is not None and tokens + new <= rope.original:
        return SHORT
    if rope.original is not None and tokens > rope.original and rope.kind == "longrope":
        return LONG
    # Its angles change while it is generated, or with every token: only texts of its own length do so in step.
    return tokens
