"""Which models the packed engine may run: by their configuration, then by logits that must match the reference.

The reference is a plain forward pass of the model's own modules over two short texts, each by itself, before anything
is changed in the model. The engine computes the same texts as it computes everything: below a shared prefix, in chunked
prefill passes and a decode step. The fused forward is tried first, then the model's own modules with our attention
function. The fused forward must also give what the modules do at far positions: of a position it knows the angles only.

A sliding window of 4,096 tokens hides nothing of a short text, and a longer one would take minutes. So windows are
`TRIAL_WINDOW` tokens during the trial, in the modules and in the engine. A model that does not match then has its
windows elsewhere than where attention is told of them: it is tried with those that it has, and takes no longer texts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from xlingual.decoder.architecture import text_config
from xlingual.records import Failure, Form, Request

from ..limits import attempt
from ..loaded_model import LoadedModel, vocabulary_of
from ..rounding import tolerance
from ..tokens.rendering import Rendered
from .attention import AttentionCall
from .batch_plan import plan_prefill
from .chunked_prefill import PrefillChunk, prefill_chunks, split_into_passes
from .exchange import cache_spec_of, calls_problem, observe_attention, packed_attention
from .forward import forward, run_decode, run_prefill
from .fused_llama import FusedLlama, fuse_llama
from .kv_cache import new_prefix_kv
from .prefix_tree import MIN_SHARED_TOKENS, build_prefix_tree
from .running_batch import new_batch
from .support import WINDOW_FIELDS, layers_of, longest_packed_text, packed_problem, sliding_windows
from .weight_changes import WeightChanges

if TYPE_CHECKING:
    import torch

    from ..loaded_model import CausalLM

TRIAL_WINDOW = 7
"""Tokens that layers with a sliding window see in the trial: fewer than the prefix of the trial texts has."""
MAX_REASON = 160
"""Characters of an error in a reason."""
FAR_TOKENS = 36
"""Of the text with gaps."""
FAR_RATIO = 1.5
"""Of its neighbouring positions: the last one is beyond a million."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The logits of the trial texts by the model's own modules, as they were loaded."""

    logits: "list[torch.Tensor]"
    far: "torch.Tensor | Failure"
    """Of the text with gaps between its positions."""


def verify(loaded: LoadedModel, longest: int) -> LoadedModel | None:
    """Return `loaded` with the fastest forward pass that computes what the model does, or None if there is none.

    Asked for texts of up to `longest` tokens. A forward pass that is rejected leaves the model as it was.
    """
    limit = longest_packed_text(loaded.model.config)
    if limit is not None and longest > limit:
        return None
    tried = try_packed(loaded)
    return tried if tried.verified and takes_length(tried, longest) else None


def takes_length(loaded: LoadedModel, tokens: int) -> bool:
    """Return whether a verified model takes texts of so many tokens."""
    return loaded.longest is None or tokens <= loaded.longest


def try_packed(loaded: LoadedModel) -> LoadedModel:
    """Return `loaded` either verified, with the texts that it takes, or with the reason why it is not; tried once."""
    if loaded.verified or loaded.refusal is not None:
        return loaded
    if loaded.placement is not None:
        return replace(loaded, refusal="its layers are on several devices")
    config = loaded.model.config
    if (problem := packed_problem(config)) is not None:
        return replace(loaded, refusal=problem)
    calls = attempt(partial(observe_attention, loaded.model, loaded.device))
    if isinstance(calls, Failure):
        return replace(loaded, refusal=_words(calls))
    if (problem := calls_problem(calls, layers_of(config))) is not None:
        return replace(loaded, refusal=problem)
    loaded = replace(loaded, calls=calls, longest=longest_packed_text(config))
    windows = {**sliding_windows(config), **{str(each): each for each in _windows(calls)}}
    if windows:
        with trial_windows(loaded.model):
            found = attempt(partial(_try_forwards, loaded))
        if isinstance(found, LoadedModel) and found.verified:
            return replace(
                found, calls=calls, fused=found.fused and replace(found.fused, windows=_windows_by_layer(calls))
            )
        loaded = replace(loaded, longest=min(loaded.longest or min(windows.values()), *windows.values()))
    found = attempt(partial(_try_forwards, loaded))
    return replace(loaded, refusal=_words(found)) if isinstance(found, Failure) else found


def _words(failure: Failure) -> str:
    """Return an error as a reason, one short line."""
    return " ".join(f"the trial failed: {failure.kind}: {failure.message}".split())[:MAX_REASON]


def _windows_by_layer(calls: tuple[AttentionCall, ...]) -> tuple[int | None, ...]:
    return tuple(each.kind.window for each in calls)


def _windows(calls: tuple[AttentionCall, ...]) -> set[int]:
    return {each for each in _windows_by_layer(calls) if each is not None}


@contextmanager
def trial_windows(model: "CausalLM", window: int = TRIAL_WINDOW) -> Iterator[None]:
    """Let layers with a sliding window see only `window` tokens."""
    holders: list[object] = [text_config(model.config), *getattr(model, "modules", lambda: ())()]
    changed = [(holder, name, getattr(holder, name, None)) for holder in holders for name in WINDOW_FIELDS]
    changed = [each for each in changed if isinstance(each[2], int) and each[2] > window]
    try:
        for holder, name, _ in changed:
            setattr(holder, name, window)
        yield
    finally:
        for holder, name, value in changed:
            setattr(holder, name, value)


def _try_forwards(loaded: LoadedModel) -> LoadedModel:
    """Return `loaded` verified with one of its forward passes, or with the reason why with none."""
    # With the windows of the trial.
    loaded = replace(loaded, calls=observe_attention(loaded.model, loaded.device))
    # By the model's own modules as they were loaded: once they are fused, they would only agree with themselves.
    trial = Trial([_reference_logits(loaded, text) for text in _texts(loaded)], attempt(partial(_far_logits, loaded)))
    if (fused := _verified_fusion(loaded, trial)) is not None:
        return replace(loaded, fused=fused, verified=True)
    if _matches_reference(loaded, trial.logits):
        return replace(loaded, verified=True)
    return replace(loaded, refusal="its scores are not those of the model's own forward pass")


def _verified_fusion(loaded: LoadedModel, trial: Trial) -> FusedLlama | None:
    """Return the fused forward where it matches the reference; otherwise the model is as it was."""
    import torch  # noqa: PLC0415 - heavy

    # The modules of a fused model are views of others, which no adapter can be merged into any more.
    if loaded.shared or not loaded.device.startswith("cpu") or loaded.model.dtype != torch.float32:
        return None
    if isinstance(trial.far, Failure):
        return None
    if any(each.kind.softcap is not None or each.kind.sinks is not None for each in loaded.calls or ()):
        return None
    changes = WeightChanges()
    try:
        fused = attempt(partial(_fuse_and_compare, loaded, trial, changes))
        if isinstance(fused, FusedLlama):
            changes.keep()
            return fused
    finally:
        changes.undo()
    return None


def _fuse_and_compare(loaded: LoadedModel, trial: Trial, changes: WeightChanges) -> FusedLlama | None:
    fused = fuse_llama(loaded.model, _windows_by_layer(loaded.calls or ()), changes)
    if fused is None or isinstance(trial.far, Failure):
        return None
    candidate = replace(loaded, fused=fused)
    if _matches_reference(candidate, trial.logits) and are_close(loaded, [_far_packed_logits(candidate)], [trial.far]):
        return fused
    return None


def _texts(loaded: LoadedModel) -> list[tuple[int, ...]]:
    """Return two texts that share a prefix."""
    vocabulary = vocabulary_of(loaded.model)
    shared = tuple((11 + 7 * index) % vocabulary for index in range(MIN_SHARED_TOKENS + 4))
    # One is so long that the trial's window hides some of it from its own last token.
    endings = [
        tuple((2 * length + 5 * index) % vocabulary for index in range(length)) for length in (4, TRIAL_WINDOW + 3)
    ]
    return [shared + ending for ending in endings]


def _matches_reference(loaded: LoadedModel, reference: "list[torch.Tensor]") -> bool:
    """Return whether the engine gives the texts the logits of the reference."""
    return are_close(loaded, _packed_logits(loaded), reference)


def are_close(loaded: LoadedModel, logits: "list[torch.Tensor]", reference: "list[torch.Tensor]") -> bool:
    """Return whether all logits are those of the reference but for rounding in the dtype of the model."""
    allowed = tolerance(loaded.model)
    for found, expected in zip(logits, reference, strict=True):
        if not (found - expected).abs().max() <= allowed * expected.abs().max():
            return False
    return True


def _reference_logits(loaded: LoadedModel, text: tuple[int, ...]) -> "torch.Tensor":
    """Return the logits after the last two tokens of a text, by the model's own modules."""
    import torch  # noqa: PLC0415 - heavy

    ids = torch.tensor([text], device=loaded.device)
    with torch.inference_mode():
        output = loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    return output.logits[0, -2:].float()


def _far_text(loaded: LoadedModel) -> tuple[list[int], list[int]]:
    """Return the tokens and positions of a text with gaps, which comes far although it is short.

    What a model does with a position by itself, as Ministral 3 scales its queries, shows at none of the first ones.
    """
    positions = sorted({int(FAR_RATIO**index) for index in range(FAR_TOKENS)})
    return [(13 + 7 * index) % vocabulary_of(loaded.model) for index in range(len(positions))], positions


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
    with packed_attention(loaded.model):
        for chunks in split_into_passes(prefill_chunks(batch, sequences), MIN_SHARED_TOKENS):
            ended, found = run_prefill(loaded, spec, chunks)
            for sequence, each in zip(ended, found, strict=False):
                logits[sequence.prompt.ids].append(each)
        for sequence in sequences:
            sequence.output_ids.append(last[sequence.prompt.ids])
        for sequence, each in zip(*run_decode(loaded, batch), strict=True):
            logits[sequence.prompt.ids].append(each)
    return [torch.stack(logits[text[:-1]]).float() for text in texts]
