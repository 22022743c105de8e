"""Models in the transformers layout: a folder, a GGUF file, or `org/name[@revision]` on the Hugging Face hub."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from xlingual.errors import UsageError
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Failure, ModelSpec, Request, Response
from xlingual.registry import register_model

from .adapters import give_back
from .engine import generate_packed
from .generation import Engine, RowLimit, failed, generate, release_memory
from .loading import Description, describe, load
from .rendering import Rendered, render
from .support import is_supported

BATCH_SIZE = 32
"""Rows answered together when the user does not say."""


@dataclass(slots=True, kw_only=True)
class HfModel:
    """A transformers model; its weights come into memory with the first answer and go with `close`."""

    description: Description
    options: ModelOptions
    limit: RowLimit
    packed: bool = True
    """Whether the engine without padding is to be used for the models that it supports."""
    engine: Engine | None = field(default=None, init=False)

    @property
    def spec(self) -> ModelSpec:
        """Which model."""
        return self.description.spec

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
        if prompts:
            if self.engine is None:
                self.engine = load(self.description, self.options)
            longest = max(len(each.ids) + each.request.max_new_tokens for each in prompts)
            is_packed = self.packed and is_supported(self.engine, longest)
            yield from (generate_packed if is_packed else generate)(self.engine, prompts, self.limit)

    def close(self) -> None:
        """Free the weights."""
        if self.engine is not None:
            give_back(self.engine.model)
            self.engine = None
            release_memory()

    def _render(self, requests: Sequence[Request]) -> list[Rendered | Failure]:
        return render(self.description.tokenizer, requests, self.description.vocabulary)


@register_model("hf")
def open_hf(name: str, options: ModelOptions) -> Model:
    """Open the model `name`; configuration and tokenizer are read now, weights at the first answer."""
    if not name:
        raise UsageError("no model is named", where="hf", hint="hf:FOLDER, hf:FILE.gguf or hf:org/name[@revision]")
    rows = BATCH_SIZE if options.batch_size is None else options.batch_size
    if rows < 1:
        raise UsageError(f"must be at least 1, got {rows}", where="--batch-size")
    return HfModel(description=describe(name, options), options=options, limit=RowLimit(rows=rows))
