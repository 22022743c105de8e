"""Models in the transformers layout: a folder, a GGUF file, or `org/name[@revision]` on the Hugging Face hub.

`HfModel` below takes a request through all steps; each is a module, in the order in which a request meets them:

    checkpoint     a name to files, configuration, tokenizer and fingerprint; the weights into memory
    loaded_model   a model whose weights are in memory
    tokens         requests to token ids, once each; generated tokens to stop strings
    packed         the engine without padding: prefix tree, chunked prefill, prompt lookup, choices
    static         the engine of padded batches, `generate` of transformers, for every model; `--deterministic`
    paged          the engine of GPUs: pages of keys and values, steps of prefill and decode together, CUDA graphs
    encoder_decoder  models with an encoder: answers, choices, languages of translators
    scoring        log-likelihoods of choices, for any engine
    sampling       the next token of a row, drawn by a seed and a step
    responses      generated tokens to responses
    thinking_budget    thinking that is ended after so many tokens, then the answer
    diagnosis      which engine answers, and why: for the record of a run, and for `xlingual doctor`
    rope_lengths   which texts may share a forward pass, where rotary angles depend on the longest one
    rounding       how far the scores of two right ways to compute a model may be apart
    hidden_states  what the layers make of a text, for `xlingual analyze space`
    limits         rows of a batch, and what happens where memory is short; `cgroup`: what a container may have
    devices        one model on several devices: a process each, or its layers shared out among them

An engine is how a local model generates: packed, static or paged.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from xlingual.errors import ModelError, UsageError
from xlingual.plugin import LOCAL_OPTIONS, LearntTurn, LogitLens, Model, ModelOptions, TextStates
from xlingual.records import Failure, ModelSpec, Request, Response
from xlingual.registry import REQUEST_FEATURES, register_model
from xlingual.text import did_you_mean
from xlingual.thinking import KNOWN_MARKERS

from .checkpoint.adapters import release_model
from .checkpoint.description import ENGINES, Description, default_engine, describe
from .checkpoint.loading import checked_weights, load
from .devices.layer_moves import check_accelerate
from .devices.parallel import ParallelModel, devices_of
from .devices.placement import Placement, check_shardable, plan_placement, shard_devices
from .diagnosis import diagnose, engine_words, recorded
from .encoder_decoder.generation import generate_answers
from .encoder_decoder.likelihood import score_choices
from .hidden_states.logit_lens import final_projection
from .hidden_states.passes import Plan, pooled_states
from .limits import RowLimit, ignore_note, release_memory
from .loaded_model import LoadedModel
from .packed.likelihood import score_packed
from .packed.scheduler import generate_packed
from .packed.verification import takes_length, try_packed
from .paged.generation import generate_paged
from .paged.likelihood import score_paged
from .paged.verification import try_paged
from .responses import Thought, find_overflow
from .static.determinism import deterministic
from .static.generation import generate
from .static.likelihood import score_padded
from .static.verification import batch_problem
from .thinking_budget import answer_in_steps
from .tokens.cache import TokenCache, Tokenized
from .tokens.choices import TokenizedChoices
from .tokens.learnt_turns import encode_turns, learnt_end
from .tokens.prompt_proof import prove_prompts, show_prompt
from .tokens.rendering import Rendered, encode_answers, encode_texts, render

Item = TypeVar("Item")
MAX_RUNNING = {"static": 32, "packed": 128, "paged": 256}
"""Most sequences that an engine runs at once when the user does not say; memory may hold fewer."""


@dataclass(slots=True, kw_only=True)
class HfModel:
    """A transformers model; its weights are loaded with the first answer and freed with `close`."""

    description: Description
    options: ModelOptions
    loaded: LoadedModel | None = field(default=None, init=False)
    tokens: TokenCache = field(init=False)
    """Of the requests that were counted and are not answered yet."""
    limits: dict[str, RowLimit] = field(default_factory=dict, init=False)
    """By engine."""
    note: Callable[[str], None] = field(default=ignore_note, init=False)
    batches_tried: bool = field(default=False, init=False)
    """Whether static batches had their trial."""
    batch_problem: str | None = field(default=None, init=False)
    """Why a static batch holds one prompt, as the trial found."""
    said: str | None = field(default=None, init=False)
    """Which engine answered, once the weights are freed."""
    placement: Placement | None = field(default=None, init=False)
    """Which layers are on which device, once that is planned; None where all are on one."""
    noted: set[str] = field(default_factory=set, init=False)
    """Notes that are not repeated."""

    def __post_init__(self) -> None:
        """Start with an empty token cache."""
        self.tokens = TokenCache(self.description.tokenizer_context)

    @property
    def spec(self) -> ModelSpec:
        """Which model; its details say which engine answers, and why."""
        spec, placed = self.description.spec, self.placement
        details = recorded(spec.details, self.said or self._engine_words())
        if self.description.shards:
            details["placement"] = f"over {', '.join(self.description.shards)}" if placed is None else placed.words
        return replace(spec, details=details)

    def on_note(self, note: Callable[[str], None]) -> None:
        """Set the function that is called with a note: memory was short, or another engine answers."""
        self.note = note
        for limit in self.limits.values():
            limit.note = note

    def count_tokens(self, requests: Sequence[Request]) -> list[int]:
        """Return the prompt tokens of each request, special tokens included; 0 for one that cannot be rendered."""
        return self.tokens.count(requests)

    def prove_prompts(self, requests: Sequence[Request]) -> str:
        """Return the hash of the token ids of all prompts; ModelError where none of them holds its question."""
        return prove_prompts(self.description.tokenizer, self.tokens.keep(requests))

    def show_prompt(self, request: Request) -> str | None:
        """Return what the model reads, special tokens shown; None where the request cannot be rendered."""
        [found] = self.tokens.keep([request])
        return None if isinstance(found, Failure) else show_prompt(self.description.tokenizer, found)

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer every request, each response as soon as it is known."""
        for note in self.description.notes:
            self._note_once(note)
        tokenized = yield from self.tokens.take_tokenized(requests)
        yield from self.answer_tokenized(tokenized)

    def answer_tokenized(self, tokenized: Sequence[Tokenized]) -> Iterator[Response]:
        """Answer requests that are tokenized already, here or by another process."""
        if self.description.encoder_decoder is not None:
            yield from self._answer_encoder_decoder(tokenized)
            return
        prompts: list[Rendered] = []
        for each in tokenized:
            if not isinstance(each, Rendered):
                continue
            if (overflow := find_overflow(self._load(), each)) is not None:
                yield overflow
            else:
                prompts.append(each)
        if prompts:
            yield from answer_in_steps(self._load(), prompts, self._generate)
        if choices := [each for each in tokenized if isinstance(each, TokenizedChoices)]:
            yield from self._score(choices)

    def _answer_encoder_decoder(self, tokenized: Sequence[Tokenized]) -> Iterator[Response]:
        if self.options.engine in ("packed", "paged"):
            self._note_once(f"static batches answer: the {self.options.engine} engine takes decoders only")
        loaded = self._load()
        overflows = [find_overflow(loaded, each) for each in tokenized if isinstance(each, Rendered)]
        yield from (each for each in overflows if each is not None)
        lost = {each.key for each in overflows if each is not None}
        prompts = [each for each in tokenized if isinstance(each, Rendered) and each.request.key not in lost]
        choices = [each for each in tokenized if isinstance(each, TokenizedChoices)]
        with deterministic() if self.options.deterministic else nullcontext():
            limit = RowLimit(rows=1) if self.options.deterministic else self._limit("static")
            yield from generate_answers(loaded, prompts, limit)
            yield from score_choices(loaded, choices, limit)

    def _generate(self, prompts: Sequence[Rendered]) -> Iterator[Response | Thought]:
        if self.options.deterministic:
            with deterministic():
                yield from generate(self._load(), prompts, RowLimit(rows=1))
            return
        for engine, chosen in self._by_engine(prompts).items():
            if chosen:
                limit = self._static_limit(len(chosen)) if engine == "static" else self._limit(engine)
                yield from ENGINES_BY_NAME[engine](self._load(), chosen, limit)

    def _by_engine(self, prompts: Sequence[Rendered]) -> dict[str, list[Rendered]]:
        """Return the prompts by the engine that answers them, as it follows from each prompt alone."""
        if self.options.engine == "static":
            return {"static": list(prompts)}
        if barred := ", ".join(self.description.constraints):
            self._note_once(f"static batches answer, for the model bars tokens: {barred}")
            return {"static": list(prompts)}
        engine, chosen, padded = self._choose_engine(prompts, [len(each.ids) + each.max_new_tokens for each in prompts])
        return {engine: chosen, "static": padded}

    def _score(self, tokenized: Sequence[TokenizedChoices]) -> Iterator[Response]:
        if self.options.deterministic:
            with deterministic():
                yield from score_padded(self._load(), tokenized, RowLimit(rows=1))
            return
        engine, chosen, padded = "static", list[TokenizedChoices](), list(tokenized)
        if self.options.engine != "static":
            lengths = [max(len(window.ids) for choice in each.windows for window in choice) for each in tokenized]
            engine, chosen, padded = self._choose_engine(tokenized, lengths)
        if chosen and engine == "paged":
            yield from score_paged(self._load(), chosen, self._limit(engine))
        elif chosen:
            yield from score_packed(self._load(), chosen)
        if padded:
            yield from score_padded(self._load(), padded, self._static_limit(len(padded)))

    def hidden_states(self, texts: Sequence[str], lens: LogitLens | None) -> Iterator[TextStates]:
        """Yield the pooled states of each text, in order; ModelError for an encoder-decoder and for what is too long.

        By the packed engine where it computes what the model does up to the longest text, else by padded batches.
        """
        described = self.description
        if described.encoder_decoder is not None:
            raise ModelError("an encoder-decoder has two stacks of layers", where=self.spec.name, hint="take a decoder")
        ids = encode_texts(described.tokenizer, texts, described.vocabulary, self.spec.context_length)
        packed = self.options.engine in (None, "packed") and not self.options.deterministic
        if packed and ids:
            packed = bool(self._choose_packed(["all"], [max(map(len, ids))])[1])
        loaded = self._load()
        projection = None if lens is None else final_projection(loaded)
        if lens is not None and projection is None:
            self._note_once("no logit lens: no final norm was found that gives the model's own predictions")
        with deterministic() if self.options.deterministic else nullcontext():
            plan = Plan(packed, self.options.deterministic, lens, projection)
            yield from pooled_states(loaded, ids, plan)

    def prompt_ids(self, requests: Sequence[Request]) -> list[tuple[int, ...] | Failure]:
        """Return the tokens of each prompt, or why there are none; ModelError for an encoder-decoder."""
        if self.description.encoder_decoder is not None:
            raise ModelError("an encoder-decoder cannot be tuned here", where=self.spec.name, hint="tune a decoder")
        rendered = render(self.description.tokenizer, requests, self.description.vocabulary)
        return [each if isinstance(each, Failure) else each.ids for each in rendered]

    def answer_ids(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the tokens of each answer, its end token last; ModelError where the tokenizer has none."""
        described = self.description
        return encode_answers(described.tokenizer, texts, described.end_ids, end=described.learnt_end)

    def learnt_turns(self, requests: Sequence[Request], answers: Sequence[str]) -> list[LearntTurn | Failure]:
        """Return the tokens of each answer behind its chat, or why they cannot be told; ModelError where of none."""
        if self.description.encoder_decoder is not None:
            raise ModelError("an encoder-decoder cannot be tuned here", where=self.spec.name, hint="tune a decoder")
        try:
            return encode_turns(self.description.tokenizer, requests, answers, self.description.vocabulary)
        except ModelError as error:
            raise ModelError(error.what, where=error.where or self.spec.name, hint=error.hint) from error

    def turn_end(self) -> int:
        """Return the token that ends an answer in a chat; ModelError where there is none."""
        return learnt_end(self.description.tokenizer, self.description.vocabulary).token

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
        return checked_weights(self.description, self.options)

    def tokenizer_files(self) -> Path:
        """Return the folder of the tokenizer's files."""
        return self.description.checkpoint.folder

    def diagnose(self, *, weights: bool) -> tuple[Mapping[str, str], str | None]:
        """Return how the model computes, by names, and why not the fast way; from its weights, or without them."""
        loaded = None
        if weights:
            loaded = self.loaded = self._load() if self.description.encoder_decoder is not None else self._try_engines()
        found, reason = diagnose(self.description, self.options, loaded)
        return found | ({"placement": self._place().memory_words} if self.description.shards else {}), reason

    def _place(self) -> Placement:
        if self.placement is None:
            self.placement = plan_placement(self.description, self.description.shards)
        return self.placement

    def close(self) -> None:
        """Free the weights and the token cache."""
        self.tokens.clear()
        if self.loaded is not None:
            self.said = self._engine_words()
            release_model(self.loaded.model)
            self.loaded = None
            release_memory()

    def _engine_words(self) -> str:
        return engine_words(self.description, self.options, self.loaded, self.batch_problem)

    def _load(self) -> LoadedModel:
        if self.loaded is None:
            self.said = None
            known = self.spec.thinking
            markers = KNOWN_MARKERS if known is None else (known,)
            placement = self._place() if self.description.shards else None
            self.loaded = replace(load(self.description, self.options, placement), markers=markers)
        return self.loaded

    def _choose_engine(self, items: Sequence[Item], lengths: Sequence[int]) -> tuple[str, list[Item], list[Item]]:
        """Return the engine and what it answers, and what static batches do; `lengths` are tokens with their answers.

        Each item goes by its own length. In half precision an answer may depend on the engine, and it must not depend
        on what else is asked: the fingerprint of the model names the engine (see `checkpoint.description`).
        """
        if self._wants_paged():
            loaded = self.loaded = try_paged(self._load())
            if loaded.paged is not None:
                longest = self.description.longest_packed
                return "paged", *self._split("paged", items, [longest is None or each <= longest for each in lengths])
            self._note_once(f"the paged engine does not answer: {loaded.paged_refusal}")
        return self._choose_packed(items, lengths)

    def _wants_paged(self) -> bool:
        return (self.options.engine or default_engine(self.description.device)) == "paged"

    def _try_engines(self) -> LoadedModel:
        """Return the model after the trial of the engine that is to answer; where that is refused, of the next one."""
        loaded = try_paged(self._load()) if self._wants_paged() else self._load()
        return loaded if loaded.paged is not None else try_packed(loaded)

    def _choose_packed(self, items: Sequence[Item], lengths: Sequence[int]) -> tuple[str, list[Item], list[Item]]:
        loaded = self.loaded = try_packed(self._load())
        if not loaded.verified:
            self._note_once(f"static batches answer, not the packed engine: {loaded.refusal}")
            return "packed", [], list(items)
        return "packed", *self._split("packed", items, [takes_length(loaded, length) for length in lengths])

    def _split(self, engine: str, items: Sequence[Item], fits: Sequence[bool]) -> tuple[list[Item], list[Item]]:
        if not all(fits):
            longest = self._load().longest if engine == "packed" else self.description.longest_packed
            self._note_once(f"static batches answer what is over {longest} tokens, the {engine} engine the rest")
        taken = [item for item, fit in zip(items, fits, strict=True) if fit]
        return taken, [item for item, fit in zip(items, fits, strict=True) if not fit]

    def _note_once(self, message: str) -> None:
        if message not in self.noted:
            self.noted.add(message)
            self.note(message)

    def _static_limit(self, prompts: int) -> RowLimit:
        """Return the rows of a static batch: one, where the rows of a batch are not answered as each is by itself."""
        limit = self._limit("static")
        if min(limit.rows, prompts) > 1 and not self.batches_tried:
            self.batches_tried = True
            self.batch_problem = batch_problem(self._load())
            if self.batch_problem is not None:
                self._note_once(f"prompts are answered one by one: {self.batch_problem}")
        if self.batch_problem is not None:
            limit.rows = 1
        return limit

    def _limit(self, engine: str) -> RowLimit:
        rows = self.options.batch_size or MAX_RUNNING[engine]
        return self.limits.setdefault(engine, RowLimit(rows=rows, note=self.note))


ENGINES_BY_NAME: dict[str, Callable[[LoadedModel, Sequence[Rendered], RowLimit], Iterator[Response | Thought]]] = {
    "packed": generate_packed,
    "static": generate,
    "paged": generate_paged,
}


@register_model("hf", uses=(*LOCAL_OPTIONS, *REQUEST_FEATURES))
def open_hf(name: str, options: ModelOptions) -> Model:
    """Open the model `name`; configuration and tokenizer are read now, weights at the first answer.

    UsageError without a name, for an unknown engine and for a batch size below 1; else what reading the files
    raises.
    """
    if not name:
        raise UsageError("no model is named", where="hf", hint="hf:FOLDER, hf:FILE.gguf or hf:org/name[@revision]")
    if options.batch_size is not None and options.batch_size < 1:
        raise UsageError(f"must be at least 1, got {options.batch_size}", where="--batch-size")
    if options.engine is not None and options.engine not in ENGINES:
        hint = did_you_mean(options.engine, ENGINES)
        raise UsageError(f"no such engine: {options.engine!r}", where="--engine", hint=hint)
    if options.shard:
        return _open_sharded(name, options, shard_devices(options))
    devices = devices_of(options.device)
    if len(devices) > 1:
        first = describe(name, replace(options, device=devices[0]))
        return ParallelModel(name=name, description=first, options=options, devices=devices)
    options = replace(options, device=devices[0] if devices else None)
    return HfModel(description=describe(name, options), options=options)


def _open_sharded(name: str, options: ModelOptions, devices: tuple[str, ...]) -> Model:
    check_accelerate()
    # The layers compute what they compute on one device: the fingerprint is that of the first by itself.
    described = describe(name, replace(options, device=devices[0]))
    check_shardable(described)
    return HfModel(description=replace(described, shards=devices), options=options)
