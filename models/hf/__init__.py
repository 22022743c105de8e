"""Models in the transformers layout: a folder, a GGUF file, or `org/name[@revision]` on the Hugging Face hub."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from xlingual.errors import ModelError, UsageError
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Failure, ModelSpec, Request, Response
from xlingual.registry import register_model
from xlingual.text import did_you_mean

from .checkpoint.adapters import give_back
from .checkpoint.description import ENGINES, Description, describe
from .checkpoint.files import weights_folder
from .checkpoint.loading import load
from .devices.parallel import ParallelModel, devices_of
from .limits import RowLimit, release_memory, take_no_note
from .loaded_model import LoadedModel
from .packed.likelihood import score_packed
from .packed.scheduler import generate_packed
from .packed.verification import verify
from .paged.continuous_batching import generate_paged
from .responses import failed
from .static.determinism import deterministic
from .static.generation import generate
from .static.likelihood import score_padded
from .tokens.choices import TokenizedChoices, count_tokens, tokenize_choices
from .tokens.rendering import Rendered, encode_answers, render

BATCH_SIZE = 32
"""Rows of a static batch when the user does not say."""
PACKED_ROWS = 128
"""Most rows that the packed engine answers together when the user does not say; it takes no more than memory holds."""


@dataclass(slots=True, kw_only=True)
class HfModel:
    """A transformers model; its weights come into memory with the first answer and go with `close`."""

    description: Description
    options: ModelOptions
    loaded: LoadedModel | None = field(default=None, init=False)
    limits: dict[str, RowLimit] = field(default_factory=dict, init=False)
    """Of each way of generating that was used."""
    note: Callable[[str], None] = field(default=take_no_note, init=False)

    @property
    def spec(self) -> ModelSpec:
        """Which model."""
        return self.description.spec

    def on_note(self, note: Callable[[str], None]) -> None:
        """Take the function that is told when memory is short."""
        self.note = note
        for limit in self.limits.values():
            limit.note = note

    def count_tokens(self, requests: Sequence[Request]) -> list[int]:
        """Return the prompt tokens of each request, special tokens included; 0 for one that cannot be rendered."""
        return count_tokens(self.description.reader, requests)

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
            yield from self._generate(prompts)
        chosen = [request for request in requests if request.choices is not None]
        tokenized: list[TokenizedChoices] = []
        for request, each in zip(chosen, self._tokenize_choices(chosen), strict=True):
            if isinstance(each, Failure):
                yield failed(request, each)
            else:
                tokenized.append(each)
        if tokenized:
            yield from self._score(tokenized)

    def _generate(self, prompts: Sequence[Rendered]) -> Iterator[Response]:
        if self.options.deterministic:
            with deterministic():
                yield from generate(self._load(), prompts, RowLimit(rows=1))
            return
        engine = self.options.engine or "packed"
        if engine == "packed" and not self._use_packed(
            max(len(each.ids) + each.request.max_new_tokens for each in prompts)
        ):
            engine = "static"
        limit = self._limit(engine, BATCH_SIZE if engine == "static" else PACKED_ROWS)
        yield from ENGINES_BY_NAME[engine](self._load(), prompts, limit)

    def _score(self, tokenized: Sequence[TokenizedChoices]) -> Iterator[Response]:
        if self.options.deterministic:
            with deterministic():
                yield from score_padded(self._load(), tokenized, RowLimit(rows=1))
            return
        longest = max(len(each.ids) for one in tokenized for choice in one.passages for each in choice)
        if self.options.engine != "static" and self._use_packed(longest):
            yield from score_packed(self._load(), tokenized)
        else:
            yield from score_padded(self._load(), tokenized, self._limit("static", BATCH_SIZE))

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
        if self.loaded is not None:
            give_back(self.loaded.model)
            self.loaded = None
            release_memory()

    def _load(self) -> LoadedModel:
        if self.loaded is None:
            self.loaded = load(self.description, self.options)
        return self.loaded

    def _use_packed(self, longest: int) -> bool:
        """Return whether the packed engine takes texts of up to `longest` tokens; it is warmed up where it does."""
        ready = verify(self._load(), longest)
        self.loaded = ready or self.loaded
        return ready is not None

    def _tokenize_choices(self, requests: Sequence[Request]) -> list[TokenizedChoices | Failure]:
        return tokenize_choices(self.description.reader, requests)

    def _limit(self, engine: str, rows: int) -> RowLimit:
        return self.limits.setdefault(engine, RowLimit(rows=self.options.batch_size or rows, note=self.note))

    def _render(self, requests: Sequence[Request]) -> list[Rendered | Failure]:
        return render(self.description.tokenizer, requests, self.description.vocabulary)


ENGINES_BY_NAME: dict[str, Callable[[LoadedModel, Sequence[Rendered], RowLimit], Iterator[Response]]] = {
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
