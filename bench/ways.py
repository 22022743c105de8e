"""The ways of answering that are compared. Each gets the requests and a loaded model, and returns texts by key."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from xlingual.plugin import ModelOptions
from xlingual.records import Request

from .continuous_batching import answer_continuously

CONTINUOUS_ROWS = 32
"""Of continuous batching, where its name says no number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model in memory, and its description."""

    description: Any
    engine: Any


def part(name: str) -> ModuleType:
    """Return a module of the backend `hf`, which is none of the public names."""
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


def answer_ours(loaded: Loaded, requests: Sequence[Request], rows: int) -> dict[str, str | None]:
    """The engine, as `xlingual eval` calls it."""
    model = importlib.import_module("xlingual.plugins.models.hf").HfModel(
        description=loaded.description, options=ModelOptions(batch_size=rows or None)
    )
    model.loaded = loaded.engine
    return {each.key: each.text for each in model.answer(requests)}


def verify_model(loaded: Loaded, requests: Sequence[Request]) -> Loaded:
    """Do what the engine does once for a model: fuse and prepack its weights, and verify that it computes the same."""
    description = loaded.description
    prompts = part("tokens.rendering").render(description.tokenizer, requests, description.vocabulary)
    longest = max(len(prompt.ids) + request.max_new_tokens for prompt, request in zip(prompts, requests, strict=True))
    return Loaded(
        description=description, engine=part("packed.verification").verify(loaded.engine, longest) or loaded.engine
    )


def answer_plain(loaded: Loaded, requests: Sequence[Request], rows: int) -> dict[str, str | None]:
    """`generate` of transformers: batches sorted by length, and each row ends by itself."""
    description = loaded.description
    prompts = part("tokens.rendering").render(description.tokenizer, requests, description.vocabulary)
    limit = part("limits").RowLimit(rows=rows)
    return {each.key: each.text for each in part("static.generation").generate(loaded.engine, prompts, limit)}


def answer_hflm(loaded: Loaded, requests: Sequence[Request], rows: int) -> dict[str, str | None]:
    """lm-eval's HFLM with its own sorting and stopping, on the same tokens."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    description = loaded.description
    prompts = part("tokens.rendering").render(description.tokenizer, requests, description.vocabulary)
    peer = HFLM(pretrained=loaded.engine.model, tokenizer=description.tokenizer, batch_size=rows)
    texts = [description.tokenizer.decode(each.ids) for each in prompts]
    for prompt, text in zip(prompts, texts, strict=True):
        if list(prompt.ids) != peer.tok_encode(text, add_special_tokens=False):
            raise SystemExit("HFLM would read other tokens")
    wanted = [{"until": list(each.stop), "max_gen_toks": each.max_new_tokens, "do_sample": False} for each in requests]
    instances = [
        Instance(request_type="generate_until", doc={}, arguments=(text, words), idx=place)
        for place, (text, words) in enumerate(zip(texts, wanted, strict=True))
    ]
    answers = peer.generate_until(instances, disable_tqdm=True)
    return {request.key: answer for request, answer in zip(requests, answers, strict=True)}


def answer_cb(loaded: Loaded, requests: Sequence[Request], rows: int) -> dict[str, str | None]:
    """Continuous batching of transformers, with our handling of stops."""
    description = loaded.description
    prompts = part("tokens.rendering").render(description.tokenizer, requests, description.vocabulary)
    stops, respond = part("tokens.stops").is_stopped, part("responses").respond
    return {**answer_continuously(stops, respond, loaded.engine, prompts, rows or CONTINUOUS_ROWS)}


WAYS: dict[str, Callable[[Loaded, Sequence[Request], int], dict[str, str | None]]] = {
    "xlingual": answer_ours,
    "hflm": answer_hflm,
    "generate": answer_plain,
    "continuous": answer_cb,
}
"""By name; a colon and a number of rows follow."""
