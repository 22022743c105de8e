"""Models in the transformers layout: a folder, a GGUF file, or `org/name[@revision]` on the Hugging Face hub."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xlingual.errors import ModelError, UsageError
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Failure, ModelSpec, Request, Response
from xlingual.registry import register_model

from .adapters import give_back
from .checkpoints import weights_folder
from .choices import Reader, Weighed, weigh
from .engine import generate_packed
from .generation import Engine, RowLimit, failed, generate, release_memory
from .likelihood import score_packed
from .loading import Description, describe, load
from .padded import score_padded
from .rendering import Rendered, encode_answers, render
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
        asked = [request for request in requests if request.choices is None]
        weighed = self._weigh([request for request in requests if request.choices is not None])
        lengths = iter([0 if isinstance(each, Failure) else len(each.ids) for each in self._render(asked)])
        weights = iter([0 if isinstance(each, Failure) else each.tokens for each in weighed])
        return [next(lengths if request.choices is None else weights) for request in requests]

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer every request, each response as soon as it is known.

        A model that the packed engine does not support is asked batch by batch.
        """
        asked = [request for request in requests if request.choices is None]
        prompts: list[Rendered] = []
        for request, rendered in zip(asked, self._render(asked), strict=True):
            if isinstance(rendered, Failure):
                yield failed(request, rendered)
            else:
                prompts.append(rendered)
        if prompts:
            engine = self._load()
            longest = max(len(each.ids) + each.request.max_new_tokens for each in prompts)
            is_packed = self.packed and is_supported(engine, longest)
            yield from (generate_packed if is_packed else generate)(engine, prompts, self.limit)
        yield from self._score([request for request in requests if request.choices is not None])

    def _score(self, requests: Sequence[Request]) -> Iterator[Response]:
        weighed: list[Weighed] = []
        for request, each in zip(requests, self._weigh(requests), strict=True):
            if isinstance(each, Failure):
                yield failed(request, each)
            else:
                weighed.append(each)
        if weighed:
            engine = self._load()
            longest = max(len(each.ids) for one in weighed for choice in one.passages for each in choice)
            if self.packed and is_supported(engine, longest):
                yield from score_packed(engine, weighed)
            else:
                yield from score_padded(engine, weighed, self.limit)

    def prompt_ids(self, requests: Sequence[Request]) -> list[tuple[int, ...] | Failure]:
        """Return the tokens of each prompt, or why there are none."""
        return [each if isinstance(each, Failure) else each.ids for each in self._render(requests)]

    def answer_ids(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the tokens of each answer, its end token last; ModelError where the tokenizer has none."""
        return encode_answers(self.description.tokenizer, texts, self.description.end_ids)

    def text_of(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, special ones shown."""
        tokenizer = self.description.tokenizer
        return tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def weights(self) -> Path:
        """Return the folder of the weights, converted or downloaded first where need be; ModelError with an adapter."""
        if self.description.adapter is not None:
            raise ModelError(
                "an adapter on a base has no weights of its own",
                where=self.spec.name,
                hint="merge it into a model first",
            )
        return weights_folder(self.description.checkpoint, self.options)

    def tokenizer_files(self) -> Path:
        """Return the folder of the tokenizer's files."""
        return self.description.checkpoint.folder

    def close(self) -> None:
        """Free the weights."""
        if self.engine is not None:
            give_back(self.engine.model)
            self.engine = None
            release_memory()

    def _load(self) -> Engine:
        if self.engine is None:
            self.engine = load(self.description, self.options)
        return self.engine

    def _weigh(self, requests: Sequence[Request]) -> list[Weighed | Failure]:
        description = self.description
        reader = Reader(
            tokenizer=description.tokenizer,
            vocabulary=description.vocabulary,
            window=description.spec.context_length,
        )
        return weigh(reader, requests)

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
