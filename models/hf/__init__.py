"""Models in the transformers layout: a folder, a GGUF file, or `org/name[@revision]` on the Hugging Face hub."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from xlingual.errors import UsageError
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Failure, ModelSpec, Request, Response
from xlingual.registry import did_you_mean, register_model

from .determinism import deterministic
from .engine import generate_packed
from .generation import Engine, RowLimit, failed, generate, release_memory, take_no_note
from .loading import ENGINES, Description, describe, load
from .paged import generate_paged
from .parallel import ParallelModel, devices_of
from .rendering import Rendered, render
from .support import prepare

BATCH_SIZE = 32
"""Rows of a static batch when the user does not say."""
PACKED_ROWS = 128
"""Most rows that the packed engine answers together when the user does not say; it takes no more than memory holds."""


@dataclass(slots=True, kw_only=True)
class HfModel:
    """A transformers model; its weights come into memory with the first answer and go with `close`."""

    description: Description
    options: ModelOptions
    engine: Engine | None = field(default=None, init=False)
    limits: dict[str, RowLimit] = field(default_factory=dict, init=False)
    """Of each way of generating that was used."""
    note: Callable[[str], None] = field(default=take_no_note, init=False)

    @property
    def spec(self) -> ModelSpec:
        """Which model."""
        return self.description.spec

    def tell(self, note: Callable[[str], None]) -> None:
        """Take the function that is told when memory is short."""
        self.note = note
        for limit in self.limits.values():
            limit.note = note

    def count_tokens(self, requests: Sequence[Request]) -> list[int]:
        """Return the prompt tokens of each request, special tokens included; 0 for one that cannot be rendered."""
        return [0 if isinstance(each, Failure) else len(each.ids) for each in self._render(requests)]

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer every request, each response as soon as it is known.

        A model that the packed engine does not support is answered by transformers' `generate`, batch by batch.
        """
        prompts: list[Rendered] = []
        for request, each in zip(requests, self._render(requests), strict=True):
            if isinstance(each, Failure):
                yield failed(request, each)
            else:
                prompts.append(each)
        if not prompts:
            return
        if self.engine is None:
            self.engine = load(self.description, self.options)
        if self.options.deterministic:
            with deterministic():
                yield from generate(self.engine, prompts, RowLimit(rows=1))
            return
        way = self.options.engine or "packed"
        if way == "packed":
            longest = max(len(each.ids) + each.request.max_new_tokens for each in prompts)
            ready = prepare(self.engine, longest)
            way = "packed" if ready else "static"
            self.engine = ready or self.engine
        limit = self._limit(way, BATCH_SIZE if way == "static" else PACKED_ROWS)
        yield from WAYS[way](self.engine, prompts, limit)

    def close(self) -> None:
        """Free the weights."""
        if self.engine is not None:
            self.engine = None
            release_memory()

    def _limit(self, way: str, rows: int) -> RowLimit:
        return self.limits.setdefault(way, RowLimit(rows=self.options.batch_size or rows, note=self.note))

    def _render(self, requests: Sequence[Request]) -> list[Rendered | Failure]:
        return render(self.description.tokenizer, requests, self.description.vocabulary)


WAYS: dict[str, Callable[[Engine, Sequence[Rendered], RowLimit], Iterator[Response]]] = {
    "packed": generate_packed,
    "static": generate,
    "paged": generate_paged,
}


@register_model("hf")
def open_hf(name: str, options: ModelOptions) -> Model:
    """Open the model `name`; configuration and tokenizer are read now, weights at the first answer."""
    if not name:
        raise UsageError("no model is named", where="hf", hint="hf:FOLDER, hf:FILE.gguf or hf:org/name[@revision]")
    if options.batch_size is not None and options.batch_size < 1:
        raise UsageError(f"must be at least 1, got {options.batch_size}", where="--batch-size")
    if options.engine is not None and options.engine not in ENGINES:
        hint = did_you_mean(options.engine, ENGINES)
        raise UsageError(f"no such engine: {options.engine!r}", where="--engine", hint=hint)
    devices = devices_of(options.device)
    if len(devices) > 1:
        first = describe(name, replace(options, device=devices[0]))
        return ParallelModel(name=name, description=first, options=options, devices=devices)
    options = replace(options, device=devices[0] if devices else None)
    return HfModel(description=describe(name, options), options=options)
