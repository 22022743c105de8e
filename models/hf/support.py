"""Which models the engine may run: by their configuration, then by a short text that must come out the same."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from xlingual.records import Form, Request

from .decoders import decoder_of, our_attention, score_pack, score_step, shape_of
from .generation import Engine, attempt
from .lean import lean_of
from .prefixes import SHORTEST, arrange
from .rendering import Rendered
from .slots import new_slots, packs_of, pieces_of

if TYPE_CHECKING:
    import torch

BOUND_TO_TEXT = ("dynamic", "longrope")
"""Rotary embeddings whose angles depend on the longest text of a pass."""
LAYERS = ("full_attention", "sliding_attention")
TOLERANCE = 1e-3
"""Of the largest score, in float32: how far ours may lie from transformers' own."""
TOLERANCE_HALF = 0.05


def prepare(engine: Engine, longest: int) -> Engine | None:
    """Return `engine` with the fastest forward pass that computes what the model does, or None if there is none.

    Asked for texts of up to `longest` tokens.
    """
    if not _is_plain(decoder_of(engine).config, longest):
        return None
    if engine.proven:
        return engine
    for candidate in _candidates(engine):
        if attempt(partial(_agrees, candidate)) is True:
            return replace(candidate, proven=True)
    return None


def is_supported(engine: Engine, longest: int) -> bool:
    """Return whether the engine computes what the model does, for texts of up to `longest` tokens."""
    return prepare(engine, longest) is not None


def _candidates(engine: Engine) -> Iterator[Engine]:
    import torch  # noqa: PLC0415 - heavy

    # In lean form a model's modules are parts of others, which no adapter can be merged into any more.
    may_change = not engine.shared and engine.device.startswith("cpu") and decoder_of(engine).dtype == torch.float32
    if engine.lean is not None:
        yield engine
    elif may_change and (lean := lean_of(engine.model)) is not None:
        yield replace(engine, lean=lean)
    yield replace(engine, lean=None)


def _is_plain(config: object, longest: int) -> bool:
    """Return whether every layer sees all that comes before, as far as a configuration tells."""
    if getattr(config, "is_encoder_decoder", False) or getattr(config, "attn_logit_softcapping", None) is not None:
        return False
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    if text is not config or any(each not in LAYERS for each in getattr(config, "layer_types", None) or ()):
        return False
    window = getattr(config, "sliding_window", None)
    is_windowed = isinstance(window, int) and getattr(config, "use_sliding_window", True)
    if is_windowed and isinstance(window, int) and longest > window:
        return False
    return not any(each in BOUND_TO_TEXT for each in _rope_types(getattr(config, "rope_parameters", None)))


def _rope_types(parameters: object) -> Iterator[object]:
    if isinstance(parameters, Mapping):
        yield parameters.get("rope_type")
        for each in parameters.values():
            yield from _rope_types(each)


def _agrees(engine: Engine) -> bool:
    """Return whether two texts below a shared prefix get the scores of plain forward passes, packed and stepwise."""
    import torch  # noqa: PLC0415 - heavy

    vocabulary = decoder_of(engine).config.vocab_size
    shared = tuple((11 + 7 * place) % vocabulary for place in range(SHORTEST + 4))
    endings = [tuple((first + 5 * place) % vocabulary for place in range(first + 2)) for first in (2, 3)]
    texts = [shared + ending for ending in endings]
    expected = _plain_scores(engine, texts)
    found = _our_scores(engine, texts)
    tolerance = TOLERANCE if decoder_of(engine).dtype == torch.float32 else TOLERANCE_HALF
    for ours, theirs in zip(found, expected, strict=True):
        if not (ours - theirs).abs().max() <= tolerance * theirs.abs().max():
            return False
    return True


def _plain_scores(engine: Engine, texts: list[tuple[int, ...]]) -> "list[torch.Tensor]":
    """Return the scores after the last two tokens of each text, by the model's own attention."""
    import torch  # noqa: PLC0415 - heavy

    width = max(len(text) for text in texts)
    # What is filled up comes last, where no token of a text sees it.
    ids = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts], device=engine.device)
    ends = torch.tensor([len(text) for text in texts], device=engine.device)
    mask = (torch.arange(width, device=engine.device)[None] < ends[:, None]).long()
    with torch.inference_mode():
        output = decoder_of(engine)(input_ids=ids, attention_mask=mask, use_cache=False)
    return [scores[len(text) - 2 : len(text)].float() for scores, text in zip(output.logits, texts, strict=True)]


def _our_scores(engine: Engine, texts: list[tuple[int, ...]]) -> "list[torch.Tensor]":
    """Return the same scores as `_plain_scores`: the first of a pack, the second of a step."""
    import torch  # noqa: PLC0415 - heavy

    request = Request(key="", form=Form.TEXT, messages=(), stop=(), max_new_tokens=2)
    rows = arrange([Rendered(request=request, ids=text[:-1]) for text in texts])
    last = {text[:-1]: text[-1] for text in texts}
    shape = shape_of(engine)
    slots = new_slots(shape, len(rows), max(row.longest for row in rows))
    scores: dict[tuple[int, ...], list[torch.Tensor]] = {text[:-1]: [] for text in texts}
    with our_attention(engine):
        for pack in packs_of(pieces_of(slots, rows), SHORTEST):
            ended, found = score_pack(engine, shape, pack)
            for row, each in zip(ended, found, strict=False):
                scores[row.prompt.ids].append(each)
        for row in rows:
            row.new.append(last[row.prompt.ids])
        for row, each in zip(*score_step(engine, slots), strict=True):
            scores[row.prompt.ids].append(each)
    return [torch.stack(scores[text[:-1]]).float() for text in texts]
