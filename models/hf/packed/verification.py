"""Which models the packed engine may run: by their configuration, then by logits that must match the reference.

The reference is a plain forward pass of the model's own modules over two short texts, before anything is changed in
the model. The engine computes the same texts as it computes everything: below a shared prefix, in chunked prefill
passes and a decode step. The fused forward is tried first, then the model's own modules with our attention function.
The fused forward must also give what the modules do at far positions: of a position it knows the angles only.
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from xlingual.decoder.architecture import length_dependent_ropes, structure_problems
from xlingual.records import Failure, Form, Request

from ..limits import attempt
from ..loaded_model import LoadedModel
from ..tokens.rendering import Rendered
from .batch_plan import plan_prefill
from .chunked_prefill import PrefillChunk, prefill_chunks, split_into_passes
from .forward import cache_spec_of, forward, packed_attention, run_decode, run_prefill
from .fused_llama import FusedLlama, fuse_llama
from .kv_cache import new_prefix_kv
from .prefix_tree import MIN_SHARED_TOKENS, build_prefix_tree
from .running_batch import new_batch
from .weight_changes import WeightChanges

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-3
"""How far logits may differ from the reference, relative to its largest logit, in float32."""
TOLERANCE_HALF = 0.05
"""The same in half precision."""

WINDOWS = ("sliding_window", "sliding_window_size", "keep_window_size", "attention_chunk_size", "index_topk")
"""Fields of configurations: up to so many tokens, every layer sees all that comes before. The trial texts are shorter,
so a window under another name is not noticed."""
FAR_TOKENS = 36
"""Of the text with gaps."""
FAR_RATIO = 1.5
"""Of its neighbouring positions: the last one is beyond a million."""


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
    far = _far_logits(loaded)
    fused = fuse_llama(loaded.model, changes)
    if fused is None:
        return None
    candidate = replace(loaded, fused=fused)
    if _matches_reference(candidate, reference) and _close(loaded, [_far_packed_logits(candidate)], [far]):
        return fused
    return None


def _is_plain(config: object, longest: int) -> bool:
    """Return whether every layer sees all that comes before, as far as a configuration tells."""
    limit = longest_text(config)
    return limit is None or longest <= limit


def longest_text(config: object) -> int | None:
    """Return the most tokens of a text that the engine takes, as far as a configuration tells; None: any number.

    Up to the length of a sliding window, every layer sees all that comes before. 0: there is something in the model
    that the engine does not compute.
    """
    if any(structure_problems(config)) or getattr(config, "attn_logit_softcapping", None) is not None:
        return 0
    if any(length_dependent_ropes(config)):
        return 0
    names = [name for name in WINDOWS if name != "sliding_window" or getattr(config, "use_sliding_window", True)]
    windows = [getattr(config, name, None) for name in names]
    return min((each for each in windows if isinstance(each, int)), default=None)


def _texts(loaded: LoadedModel) -> list[tuple[int, ...]]:
    """Return two texts that share a prefix."""
    vocabulary = loaded.model.config.vocab_size
    shared = tuple((11 + 7 * index) % vocabulary for index in range(MIN_SHARED_TOKENS + 4))
    endings = [tuple((first + 5 * index) % vocabulary for index in range(first + 2)) for first in (2, 3)]
    return [shared + ending for ending in endings]


def _matches_reference(loaded: LoadedModel, reference: "list[torch.Tensor]") -> bool:
    """Return whether the engine gives the texts the logits of the reference."""
    return _close(loaded, _packed_logits(loaded), reference)


def _close(loaded: LoadedModel, logits: "list[torch.Tensor]", reference: "list[torch.Tensor]") -> bool:
    import torch  # noqa: PLC0415 - heavy

    tolerance = TOLERANCE if loaded.model.dtype == torch.float32 else TOLERANCE_HALF
    for found, expected in zip(logits, reference, strict=True):
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


def _far_text(loaded: LoadedModel) -> tuple[list[int], list[int]]:
    """Return the tokens and positions of a text with gaps, which comes far although it is short.

    What a model does with a position by itself, as Ministral 3 scales its queries, shows at none of the first ones.
    """
    positions = sorted({int(FAR_RATIO**index) for index in range(FAR_TOKENS)})
    return [(13 + 7 * index) % loaded.model.config.vocab_size for index in range(len(positions))], positions


def _far_logits(loaded: LoadedModel) -> "torch.Tensor":
    """Return the logits of the text with gaps, by the model's own modules."""
    import torch  # noqa: PLC0415 - heavy

    ids, positions = (torch.tensor([each], device=loaded.device) for each in _far_text(loaded))
    with torch.inference_mode():
        # Without a mask, transformers takes a gap between positions for the end of a text.
        output = loaded.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), position_ids=positions, use_cache=False
        )
    return output.logits[0].float()


def _far_packed_logits(loaded: LoadedModel) -> "torch.Tensor":
    """Return the same logits by the engine, from one prefill pass."""
    ids, positions = _far_text(loaded)
    spec = cache_spec_of(loaded)
    chunk = PrefillChunk(ids, 0, (), new_prefix_kv(spec, len(ids)), 0, None)
    return forward(loaded, ids, positions, keep=None, metadata=plan_prefill(spec, [chunk])).float()


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
