"""How many tokens a model reads: its configuration's word, not its tokenizer's.

config 4096, tokenizer 512      4096: many tokenizers kept the limit of another model
config 4096, tokenizer 10**30   4096
config silent, tokenizer 2048   2048, the only one who says
"""

from dataclasses import dataclass

from xlingual.errors import UsageError

FIELDS = ("max_position_embeddings", "max_seq_len")


@dataclass(frozen=True, slots=True)
class ContextWindow:
    """The window in force."""

    tokens: int | None
    """Of prompt and answer together; None where nobody knows."""
    note: str | None
    """What else was said of it, for a reader."""


def context_window(config: object, tokenizer_limit: int, wanted: int | None) -> ContextWindow:
    """Return the window of a model; `wanted` tokens lower it, or set it where the configuration does not say.

    Raises UsageError for more than the configuration allows.
    """
    stated = [getattr(config, name, None) for name in FIELDS]
    own = min((each for each in stated if isinstance(each, int) and each > 0), default=None)
    # A tokenizer without a limit says 1e30; 0 or 1 is a mistake in a file.
    limit = tokenizer_limit if 16 <= tokenizer_limit < 10**9 and not _is_unbounded(config) else None
    if wanted is not None:
        if wanted < 1 or (own is not None and wanted > own):
            most = f"from 1 to {own}" if own is not None else "at least 1"
            hint = "leave it out" if own is None else f"the configuration's window is {own}"
            raise UsageError(f"must be {most}, got {wanted}", where="--max-model-len", hint=hint)
        known = own if own is not None else limit
        return ContextWindow(wanted, None if wanted == known else f"{wanted} as asked, {known or 'unknown'} by itself")
    if own is None:
        return ContextWindow(limit, None)
    if limit is not None and limit < own:
        return ContextWindow(own, f"{own} by the configuration; the tokenizer's {limit} is not followed")
    return ContextWindow(own, None)


def _is_unbounded(config: object) -> bool:
    """Return whether positions are relative, as in T5: it reads texts of any length, whatever its tokenizer says."""
    return isinstance(getattr(config, "relative_attention_num_buckets", None), int)
