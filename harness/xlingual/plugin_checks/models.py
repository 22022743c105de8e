"""A plugin's model behind its border: each answer is checked as it comes, and what was answered before is kept."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import index
from pathlib import Path
from typing import SupportsIndex, cast

from ..errors import PluginError
from ..plugin import (
    ChatTrainable,
    Diagnosable,
    ExampleAware,
    LearntTurn,
    LogitLens,
    Model,
    SplitAware,
    SupportsHiddenStates,
    SupportsNotes,
    SupportsPromptProof,
    TextStates,
    Trainable,
)
from ..plugin_code import PluginCode, code_of
from ..records import Example, Failure, ModelSpec, Request, Response
from ..text import shows_nothing
from .hidden_states import states_fault
from .record_types import describe_value, record_fault

TEMPLATES = ("alpaca", "chat", "raw")
"""As `prompt.TEMPLATES`."""
_MEMBERS = ("count_tokens", "answer", "close")
_ANSWERS = ("text", "failure", "likelihoods")


@dataclass(frozen=True, slots=True)
class CheckedModel:
    """A Model that raises a PluginError wherever the model is not as it must be."""

    model: Model
    code: PluginCode
    doing: str
    """The word that the model was opened by, for messages."""

    @property
    def spec(self) -> ModelSpec:
        """Which model."""
        with self.code.calling(self.doing):
            return self.model.spec

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        """Return the prompt tokens of each request, or None where it cannot be known."""
        function = self.model.count_tokens
        with self.code.calling(self.doing, function):
            found: object = function(requests)
        if found is None:
            return None
        right = isinstance(found, list | tuple) and all(isinstance(each, SupportsIndex) for each in found)
        counts = [index(each) for each in found] if right and isinstance(found, list | tuple) else []
        if len(counts) != len(requests) or any(each < 0 for each in counts):
            what = f"count_tokens must return a whole number for each of {len(requests)} requests, or None"
            raise self._fault(f"{what}; got {describe_value(found)}", function)
        return counts

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer every request once; raises PluginError at the first answer that is none, and where some are lacking.

        What came before it has been handed on by then.
        """
        function = self.model.answer
        waiting = {request.key: request for request in requests}
        asked = set(waiting)
        with self.code.calling(self.doing, function):
            answers = function(requests)
            if not hasattr(answers, "__iter__"):
                raise self._fault(f"answer must yield Responses, got {describe_value(answers)}", function)
            stream = iter(answers)
        while True:
            with self.code.calling(f"{self.doing}, {len(asked) - len(waiting)} of {len(asked)} answered", function):
                try:
                    response = next(stream)
                except StopIteration:
                    break
            if (what := _response_fault(response, waiting, asked)) is not None:
                raise self._fault(what, function)
            del waiting[response.key]
            yield response
        if waiting:
            what = f"answer ended after {len(asked) - len(waiting)} of {len(asked)} requests"
            raise self._fault(what, function, hint="a request that cannot be answered gets a Response with a failure")

    def close(self) -> None:
        """Free what the model holds."""
        with self.code.calling(self.doing, self.model.close):
            self.model.close()

    def _fault(self, what: str, function: object, *, hint: str = "") -> PluginError:
        return self.code.fault(what, doing=self.doing, function=function, hint=hint)


def _response_fault(response: object, waiting: Mapping[str, Request], asked: set[str]) -> str | None:
    """Return what is wrong with an answer."""
    if (wrong := record_fault(response, Response, called="an answer")) is not None or not isinstance(
        response, Response
    ):
        return wrong
    if response.key not in waiting:
        known = "answers a request twice" if response.key in asked else "answers what was not asked"
        return f"{known}: the key {response.key[:16]!r}"
    given = [name for name in _ANSWERS if getattr(response, name) is not None]
    if len(given) != 1:
        return f"an answer must have one of {', '.join(_ANSWERS)}; it has {' and '.join(given) or 'none'}"
    choices = waiting[response.key].choices
    if response.likelihoods is not None and (choices is None or len(response.likelihoods) != len(choices)):
        return f"{len(response.likelihoods)} likelihoods for {len(choices or ())} choices"
    if response.text is not None and choices is not None:
        return "a text for a request with choices, which wants likelihoods or a failure"
    counts = [each for each in (response.prompt_tokens, response.tokens, response.thinking_tokens) if each is not None]
    return f"a count of tokens is below 0: {min(counts)}" if counts and min(counts) < 0 else None


def checked_model(model: object, code: PluginCode, word: str, opener: object) -> Model:
    """Return a plugin's model, opened by `word`, behind its border; xlingual's own is returned as it is.

    Raises PluginError where `opener` returned no model, or one whose spec is not as it must be.
    """
    doing = f"model {word!r}"
    if lacking := [name for name in _MEMBERS if not callable(getattr(model, name, None))]:
        what = f"must return a Model, got {describe_value(model)}, which has no {lacking[0]}()"
        raise code.fault(what, doing=doing, function=opener)
    opened = cast(Model, model)
    if code.shipped or code_of(type(opened).__module__).shipped:
        return opened
    with code.calling(doing, opener):
        spec = opened.spec
    if (wrong := _spec_fault(spec)) is not None:
        raise code.fault(wrong, doing=doing, function=opener)
    offered = tuple(protocol for protocol in _OPTIONAL if isinstance(opened, protocol))
    return cast(Model, _wrapper(offered)(opened, code, doing))


def _spec_fault(spec: object) -> str | None:
    if (wrong := record_fault(spec, ModelSpec, called="spec")) is not None or not isinstance(spec, ModelSpec):
        return wrong
    for name in ("backend", "name", "fingerprint"):
        if shows_nothing(getattr(spec, name)):
            return f"spec.{name} must not be blank"
    if spec.template not in TEMPLATES:
        return f"spec.template must be one of {', '.join(TEMPLATES)}, got {spec.template!r}"
    if spec.context_length is not None and spec.context_length < 1:
        return f"spec.context_length must be 1 or more, or None, got {spec.context_length}"
    return None


def _see(self: CheckedModel, examples: Mapping[str, Example]) -> None:
    """Take the example of each request key."""
    function = cast(ExampleAware, self.model).see
    with self.code.calling(self.doing, function):
        function(examples)


def _see_split(self: CheckedModel, keys: Collection[str], examples: Sequence[Example]) -> None:
    """Take all examples of a task."""
    function = cast(SplitAware, self.model).see_split
    with self.code.calling(self.doing, function):
        function(keys, examples)


def _on_note(self: CheckedModel, note: Callable[[str], None]) -> None:
    """Take the function that takes notes."""
    function = cast(SupportsNotes, self.model).on_note
    with self.code.calling(self.doing, function):
        function(note)


def _prove_prompts(self: CheckedModel, requests: Sequence[Request]) -> str | None:
    """Return a hash of the token ids of all prompts."""
    return _text_or_none(self, cast(SupportsPromptProof, self.model).prove_prompts, requests)


def _show_prompt(self: CheckedModel, request: Request) -> str | None:
    """Return what the model reads."""
    return _text_or_none(self, cast(SupportsPromptProof, self.model).show_prompt, request)


def _text_or_none(self: CheckedModel, function: Callable[..., str | None], given: object) -> str | None:
    with self.code.calling(self.doing, function):
        found: object = function(given)
    if found is not None and not isinstance(found, str):
        name = getattr(function, "__name__", "it")
        what = f"{name} must return a text or None, got {describe_value(found)}"
        raise self.code.fault(what, doing=self.doing, function=function)
    return found


def _prompt_ids(self: CheckedModel, requests: Sequence[Request]) -> list[tuple[int, ...] | Failure]:
    """Return the tokens of each prompt."""
    with self.code.calling(self.doing):
        return cast(Trainable, self.model).prompt_ids(requests)


def _answer_ids(self: CheckedModel, texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the tokens of each answer."""
    with self.code.calling(self.doing):
        return cast(Trainable, self.model).answer_ids(texts)


def _text_of(self: CheckedModel, ids: Sequence[int]) -> str:
    """Return the text of tokens."""
    function = cast(Trainable, self.model).text_of
    with self.code.calling(self.doing, function):
        found: object = function(ids)
    if not isinstance(found, str):
        what = f"text_of must return a text, got {describe_value(found)}"
        raise self.code.fault(what, doing=self.doing, function=function)
    return found


def _weights(self: CheckedModel) -> Path:
    """Return the folder of configuration and weights."""
    with self.code.calling(self.doing):
        return cast(Trainable, self.model).weights()


def _tokenizer_files(self: CheckedModel) -> Path:
    """Return the folder of the tokenizer's files."""
    with self.code.calling(self.doing):
        return cast(Trainable, self.model).tokenizer_files()


def _learnt_turns(
    self: CheckedModel, requests: Sequence[Request], answers: Sequence[str]
) -> list[LearntTurn | Failure]:
    """Return the tokens of each answer behind its chat."""
    with self.code.calling(self.doing):
        return cast(ChatTrainable, self.model).learnt_turns(requests, answers)


def _turn_end(self: CheckedModel) -> int:
    """Return the token that ends an answer in a chat."""
    with self.code.calling(self.doing):
        return cast(ChatTrainable, self.model).turn_end()


def _hidden_states(self: CheckedModel, texts: Sequence[str], lens: LogitLens | None) -> Iterator[TextStates]:
    """Yield the pooled states of each text; raises PluginError for what are none, and where some are lacking."""
    function = cast(SupportsHiddenStates, self.model).hidden_states
    with self.code.calling(self.doing, function):
        found: object = function(texts, lens)
        if not hasattr(found, "__iter__"):
            what = f"hidden_states must yield TextStates, got {describe_value(found)}"
            raise self.code.fault(what, doing=self.doing, function=function)
        stream: Iterator[object] = iter(found)
    first: TextStates | None = None
    for number in range(1, len(texts) + 1):
        doing = f"{self.doing}, text {number} of {len(texts)}"
        with self.code.calling(doing, function):
            states = next(stream, None)
        if not isinstance(states, TextStates):
            got = "nothing more" if states is None else describe_value(states)
            what = f"hidden_states must yield TextStates for each text, got {got}"
            raise self.code.fault(what, doing=doing, function=function)
        first = first or states
        if (fault := states_fault(states, first, lens)) is not None:
            raise self.code.fault(fault, doing=doing, function=function)
        yield states


def _diagnose(self: CheckedModel, *, weights: bool) -> tuple[Mapping[str, str], str | None]:
    """Return how the model computes, and why not the fast way."""
    function = cast(Diagnosable, self.model).diagnose
    with self.code.calling(self.doing, function):
        found: object = function(weights=weights)
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], Mapping)):
        what = f"diagnose must return a mapping and a reason or None, got {describe_value(found)}"
        raise self.code.fault(what, doing=self.doing, function=function)
    told, reason = found
    return {str(name): str(words) for name, words in told.items()}, None if reason is None else str(reason)


_OPTIONAL: Mapping[type, Mapping[str, Callable[..., object]]] = {
    ExampleAware: {"see": _see},
    SplitAware: {"see_split": _see_split},
    SupportsHiddenStates: {"hidden_states": _hidden_states},
    SupportsNotes: {"on_note": _on_note},
    SupportsPromptProof: {"prove_prompts": _prove_prompts, "show_prompt": _show_prompt},
    Diagnosable: {"diagnose": _diagnose},
    ChatTrainable: {"learnt_turns": _learnt_turns, "turn_end": _turn_end},
    Trainable: {
        "prompt_ids": _prompt_ids,
        "answer_ids": _answer_ids,
        "text_of": _text_of,
        "weights": _weights,
        "tokenizer_files": _tokenizer_files,
    },
}
"""What a model may have besides, and what the wrapper has for it then."""


@lru_cache(maxsize=16)
def _wrapper(protocols: tuple[type, ...]) -> Callable[[Model, PluginCode, str], CheckedModel]:
    """Return the class of wrappers with the methods of `protocols`: `isinstance` looks at nothing but a class."""
    methods = {name: method for protocol in protocols for name, method in _OPTIONAL[protocol].items()}
    return type("CheckedModel", (CheckedModel,), {"__slots__": (), **methods})
