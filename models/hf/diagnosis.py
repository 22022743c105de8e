"""Which engine answers for a model, and why: for the record of a run, and for `xlingual doctor --model`.

Mistral        packed
Phi-3, 128k    packed; static batches for texts over 4096 tokens
BLOOM          static batches: its layers compute attention by themselves, where nothing can take its place
RWKV           static batches: (the same); one prompt at a time: its scores depend on the other rows of a batch

A configuration tells only part of it. A model of no weights, on the device "meta", tells what its layers call attention
with; the rest shows when the weights are loaded and both engines had their trials.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from xlingual.decoder.loading import auto_class
from xlingual.plugin import ModelOptions
from xlingual.records import Failure

from .checkpoint.description import Description, default_engine
from .limits import attempt
from .loaded_model import LoadedModel
from .packed.alibi import biased_layers
from .packed.exchange import calls_problem, observe_attention
from .packed.support import layers_of
from .static.verification import batch_problem

if TYPE_CHECKING:
    from .packed.attention import AttentionCall


BIASED = "linear biases (ALiBi), a component more of each key"


def engine_words(
    description: Description, options: ModelOptions, loaded: LoadedModel | None, batch: str | None = None
) -> str:
    """Return which engine answers and why, as far as is known; `batch` says why batches hold one prompt."""
    alone = f"; one prompt at a time: {batch}" if batch else ""
    if (chosen := _chosen(description, options)) is not None:
        return chosen + alone
    if (words := _paged_words(description, options, loaded)) is not None:
        return words
    known = loaded is not None and (loaded.verified or loaded.refusal is not None)
    problem = loaded.refusal if loaded is not None and known else description.packed_problem
    if problem is not None:
        return f"static batches: {problem}{alone}"
    longest = loaded.longest if loaded is not None and known else description.longest_packed
    return "packed" if longest is None else f"packed; static batches for texts over {longest} tokens{alone}"


def _chosen(description: Description, options: ModelOptions) -> str | None:
    """Return the engine that the user, the kind of model or its configuration leave no choice about."""
    if description.encoder_decoder is not None:
        return "static batches: it is an encoder-decoder"
    if options.deterministic:
        return "static batches of one prompt: --deterministic"
    if options.engine == "static":
        return "static batches: --engine static"
    if description.constraints:
        return f"static batches: its generation_config bars tokens: {', '.join(description.constraints)}"
    return None


def _paged_words(description: Description, options: ModelOptions, loaded: LoadedModel | None) -> str | None:
    """Return which kernel the paged engine uses, and why it answers; None where another one does."""
    if not _is_paged(description, options):
        return None
    if description.packed_problem is not None or (loaded is not None and loaded.paged_refusal is not None):
        return None
    kernel = "" if loaded is None or loaded.paged is None else f", {loaded.paged.choice.said}"
    reason = ": --engine paged" if options.engine == "paged" else ""
    longest = description.longest_packed
    return f"paged{reason}{kernel}" + ("" if longest is None else f"; static batches for texts over {longest} tokens")


def _is_paged(description: Description, options: ModelOptions) -> bool:
    return (options.engine or default_engine(description.device)) == "paged"


def attention_words(calls: "Sequence[AttentionCall]", layers: int) -> Iterator[str]:
    """Yield what the layers of a model call attention with, in words; DiffLlama calls it twice in each."""
    times = max(1, len(calls) // max(1, layers))
    shapes = Counter((each.heads, each.kv_heads, each.head_size, each.value_size) for each in calls)
    for (heads, kv_heads, size, value_size), count in shapes.items():
        some = f"{heads} heads" if heads == kv_heads else f"{heads} heads over {kv_heads}"
        values = "" if value_size == size else f", of values {value_size}"
        yield f"{count // times} layers, {some} of size {size}{values}"
    for window, count in Counter(each.kind.window for each in calls).items():
        if window is not None:
            yield f"a sliding window of {window} tokens in {count // times} layers"
    for softcap in {each.kind.softcap for each in calls} - {None}:
        yield f"scores capped at {softcap:g}"
    if any(each.kind.sinks is not None for each in calls):
        yield "attention sinks"


def diagnose(
    description: Description, options: ModelOptions, loaded: LoadedModel | None
) -> tuple[dict[str, str], str | None]:
    """Return what is known of how a model computes, by its names, and why it is not computed the fast way, or None.

    `loaded` had its trial, or is None: then all is by the configuration.
    """
    calls: Sequence[AttentionCall] | Failure | None = None
    batch, biased = None, False
    if loaded is not None:
        calls = loaded.calls
        if loaded.paged is not None:
            calls = attempt(partial(observe_attention, loaded.model, loaded.device))
        biased = loaded.verified and bool(biased_layers(loaded.model))
        batch = batch_problem(loaded) if description.encoder_decoder is None else None
    elif description.encoder_decoder is None and description.packed_problem is None:
        seen = attempt(partial(_observe_on_meta, description))
        calls, biased = (seen, False) if isinstance(seen, Failure) else seen
        if biased and _is_paged(description, options):
            options = replace(options, engine="packed")  # which answers where the paged engine does not
        if not isinstance(calls, Failure):
            one_shape = not _is_paged(description, options)
            problem = calls_problem(calls, layers_of(description.config), one_shape=one_shape)
            description = replace(description, packed_problem=problem)
    found = {"engine": engine_words(description, options, loaded, batch)}
    if isinstance(calls, Failure):
        found["attention"] = f"not known before the weights are loaded: {calls.kind}"
    elif calls:
        found["attention"] = "; ".join(attention_words(calls, layers_of(description.config)))
        if biased:
            found["attention"] += f"; {BIASED}"
    if loaded is None:
        found["checked"] = "by the configuration; --weights loads the model and compares its scores"
    else:
        if loaded.verified or loaded.paged is not None:
            found["forward pass"] = "fused" if loaded.fused is not None else "by transformers' modules"
        found["checked"] = "by the scores of the loaded model"
        found["batches"] = batch or "rows of a batch have the scores that each has alone"
    return found, None if found["engine"].startswith(("packed", "paged")) else found["engine"]


def _observe_on_meta(description: Description) -> "tuple[tuple[AttentionCall, ...], bool]":
    """Return what the layers call attention with, and whether one component of their keys is a bias."""
    import torch  # noqa: PLC0415 - heavy

    with torch.device("meta"):
        model = auto_class(description.config).from_config(description.config, trust_remote_code=description.trusted)
    model = model.to(getattr(torch, description.spec.dtype or "float32")).eval()
    return observe_attention(model, "meta"), bool(biased_layers(model))


def recorded(details: Mapping[str, str] | None, words: str) -> dict[str, str]:
    """Return the details of a model with the engine that answers."""
    return {**(details or {}), "engine": words}
