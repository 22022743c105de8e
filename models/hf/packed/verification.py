"""Which models the packed engine may run: by their configuration, then by logits that must match the reference.

The reference is a plain forward pass of the model's own modules over two short texts, before anything is changed in
the model. The engine computes the same texts as it computes everything: below a shared prefix, in chunked prefill
passes and a decode step. The fused forward is tried first, then the model's own modules with our attention function.
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from xlingual.decoder.architecture import length_dependent_ropes, structure_problems
from xlingual.records import Failure, Form, Request

from ..limits import attempt
from ..loaded_model import LoadedModel
from ..tokens.rendering import Rendered
from .chunked_prefill import prefill_chunks, split_into_passes
from .forward import cache_spec_of, packed_attention, run_decode, run_prefill
from .fused_llama import FusedLlama, fuse_llama
from .prefix_tree import MIN_SHARED_TOKENS, build_prefix_tree
from .running_batch import new_batch
from .weight_changes import WeightChanges

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-3
"""How far logits may differ from the reference, relative to its largest logit, in float32."""
TOLERANCE_HALF = 0.05
"""The same in half precision."""


def verify(loaded: LoadedModel, longest: int) -> LoadedModel | None:
    """Return `loaded` with the fastest forward pass that computes what the model does, or None if there is none.

    Asked for texts of up to `longest` tokens. A forward pass that is rejected leaves the model as it was.
    """
    if not _is_plain(loaded.model.config, longest):
        return None
    if loaded.verified:
        return loaded
    # By the model's own modules as they were loaded: once they are fused, they would only agree with themselves.
    reference = attempt(partial(_reference_logits, loaded))
    if isinstance(reference, Failure):
        return None
    if (fused := _verified_fusion(loaded, reference)) is not None:
        return replace(loaded, fused=fused, verified=True)
    if attempt(partial(_matches_reference, loaded, reference)) is True:
        return replace(loaded, verified=True)
    return None


def _verified_fusion(loaded: LoadedModel, reference: "list[torch.Tensor]") -> FusedLlama | None:
    """Return the fused forward where it matches the reference; otherwise the model is as it was."""
    import torch  # noqa: PLC0415 - heavy

    # The modules of a fused model are views of others, which no adapter can be merged into any more.
    if loaded.shared or not loaded.device.startswith("cpu") or loaded.model.dtype != torch.float32:
        return None
    changes = WeightChanges()
    try:
        fused = attempt(partial(_fuse_and_compare, loaded, reference, changes))
        if isinstance(fused, FusedLlama):
            changes.keep()
            return fused
    finally:
        changes.undo()
    return None


def _fuse_and_compare(
    loaded: LoadedModel, reference: "list[torch.Tensor]", changes: WeightChanges
) -> FusedLlama | None:
    fused = fuse_llama(loaded.model, changes)
    if fused is not None and _matches_reference(replace(loaded, fused=fused), reference):
        return fused
    return None


def _is_plain(config: object, longest: int) -> bool:
    """Return whether every layer sees all that comes before, as far as a configuration tells."""
    limit = longest_text(config)
    return limit is None or longest <= limit


def longest_text(config: object) -> int | None:
    """Return how many tokens a text may have for the engine, as far as a configuration tells; None: any number.

    With a sliding window, as many as all layers see whole; 0 where there is something that the engine does not compute.
    """
    if any(structure_problems(config)) or getattr(config, "attn_logit_softcapping", None) is not None:
        return 0
    if any(length_dependent_ropes(config)):
        return 0
    window = getattr(config, "sliding_window", None)
    return window if isinstance(window, int) and getattr(config, "use_sliding_window", True) else None


def _texts(loaded: LoadedModel) -> list[tuple[int, ...]]:
    """Return two texts that share a prefix."""
    vocabulary = loaded.model.config.vocab_size
    shared = tuple((11 + 7 * index) % vocabulary for index in range(MIN_SHARED_TOKENS + 4))
    endings = [tuple((first + 5 * index) % vocabulary for index in range(first + 2)) for first in (2, 3)]
    return [shared + ending for ending in endings]


def _matches_reference(loaded: LoadedModel, reference: "list[torch.Tensor]") -> bool:
    """Return whether the engine gives the texts the logits of the reference."""
    import torch  # noqa: PLC0415 - heavy

    tolerance = TOLERANCE if loaded.model.dtype == torch.float32 else TOLERANCE_HALF
    for found, expected in zip(_packed_logits(loaded), reference, strict=True):
        if not (found - expected).abs().max() <= tolerance * expected.abs().max():
            return False
    return True


def _reference_logits(loaded: LoadedModel) -> "list[torch.Tensor]":
    """Return the logits after the last two tokens of each text, by the model's own modules."""
    import torch  # noqa: PLC0415 - heavy

    texts = _texts(loaded)
    width = max(len(text) for text in texts)
    # Padding comes last, where no token of a text sees it.
    ids = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts], device=loaded.device)
    ends = torch.tensor([len(text) for text in texts], device=loaded.device)
    mask = (torch.arange(width, device=loaded.device)[None] < ends[:, None]).long()
    with torch.inference_mode():
        output = loaded.model(input_ids=ids, attention_mask=mask, use_cache=False)
    return [logits[len(text) - 2 : len(text)].float() for logits, text in zip(output.logits, texts, strict=True)]


def _packed_logits(loaded: LoadedModel) -> "list[torch.Tensor]":
    """Return the same logits by the engine: the first of each text from prefill, the second from a decode step."""
    import torch  # noqa: PLC0415 - heavy

    texts = _texts(loaded)
    request = Request(key="", form=Form.TEXT, messages=(), stop=(), max_new_tokens=2)
    sequences = build_prefix_tree([Rendered(request=request, ids=text[:-1]) for text in texts])
    last = {text[:-1]: text[-1] for text in texts}
    spec = cache_spec_of(loaded)
    batch = new_batch(spec, len(sequences), max(sequence.max_suffix_length for sequence in sequences))
    logits: dict[tuple[int, ...], list[torch.Tensor]] = {text[:-1]: [] for text in texts}
    with packed_attention(loaded):
        for chunks in split_into_passes(prefill_chunks(batch, sequences), MIN_SHARED_TOKENS):
            ended, found = run_prefill(loaded, spec, chunks)
            for sequence, each in zip(ended, found, strict=False):
                logits[sequence.prompt.ids].append(each)
        for sequence in sequences:
            sequence.output_ids.append(last[sequence.prompt.ids])
        for sequence, each in zip(*run_decode(loaded, batch), strict=True):
            logits[sequence.prompt.ids].append(each)
    return [torch.stack(logits[text[:-1]]).float() for text in texts]
