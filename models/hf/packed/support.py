"""Which texts the packed engine takes, as far as a configuration tells.

Llama: all texts. Phi-3 with longrope over 4,096 tokens: texts of up to 4,096, for beyond them the angles depend on the
longest text of a pass. Qwen3-Next: none, for it has layers that are no attention. What the configuration does not tell
is found out by a forward pass (`exchange`) and a trial (`verification`).
"""

from collections.abc import Iterator

from xlingual.decoder.architecture import LAYER_TYPES, length_dependent_ropes, text_config

WINDOW_FIELDS = ("sliding_window", "sliding_window_size")
"""Fields of configurations that hold the window of sliding attention, which attention is called with."""
LIMIT_FIELDS = ("keep_window_size", "attention_chunk_size", "index_topk")
"""Others: up to so many tokens, every layer sees all that comes before; what is hidden beyond is not computed here."""
CHUNKED = "chunked_attention"


def packed_problem(config: object) -> str | None:
    """Return why the packed engine takes no text of a model, in words for a message; None where nothing is known."""
    config = text_config(config)
    known = {*LAYER_TYPES, *((CHUNKED,) if getattr(config, "attention_chunk_size", None) else ())}
    if odd := [each for each in getattr(config, "layer_types", None) or () if each not in known]:
        return f"it has layers of the type {odd[0]}"
    return None


def longest_packed_text(config: object) -> int | None:
    """Return the most tokens of a text that the packed engine takes, as far as a configuration tells; None: any number.

    0 where there is something in the model that the engine does not compute.
    """
    if packed_problem(config) is not None:
        return 0
    return min(_limits(text_config(config)), default=None)


def sliding_windows(config: object) -> dict[str, int]:
    """Return the sliding windows of a configuration by their fields."""
    config = text_config(config)
    found = {name: getattr(config, name, None) for name in WINDOW_FIELDS}
    return {name: each for name, each in found.items() if isinstance(each, int) and each > 0}


def _limits(config: object) -> Iterator[int]:
    for name in LIMIT_FIELDS:
        if isinstance(limit := getattr(config, name, None), int):
            yield limit
    for rope in length_dependent_ropes(config):
        # Dynamic angles that grew with a longer text shrink only for one that is shorter than the original length.
        yield (rope.original or 0) - (rope.kind == "dynamic")
    if (scaled := first_scaled_position(config)) is not None:
        yield scaled


def first_scaled_position(config: object) -> int | None:
    """Return the position from which on Llama 4 scales its queries by where they stand in a forward pass; None: never.

    It counts from the start of the pass, padding included, whatever the position of the text is.
    """
    config = text_config(config)
    floor = getattr(config, "floor_scale", None)
    return int(floor) - 1 if floor and getattr(config, "attn_temperature_tuning", False) else None


def selected_keys(config: object) -> int | None:
    """Return how many earlier tokens a token sees where the model selects these by scores; None where it sees all.

    DeepSeek V3.2 takes the best `index_topk`. Their scores are sums of what is above zero, so many are zero, and which
    of equals are taken depends on where they stand in a padded row. MiniMax M3 takes blocks, counted from the padding
    on. Up to so many tokens all are selected.
    """
    config = text_config(config)
    tokens, blocks = getattr(config, "index_topk", None), getattr(config, "index_topk_blocks", None)
    found = [tokens] if isinstance(tokens, int) else []
    if isinstance(blocks, int):
        found.append(blocks * int(getattr(config, "index_block_size", 1)))
    return min(found, default=None)


def layers_of(config: object) -> int:
    """Return the number of layers of the language model."""
    return int(getattr(text_config(config), "num_hidden_layers", 0))
