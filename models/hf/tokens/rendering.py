"""Requests to prompt tokens, by the chat template or as plain text; answers to tokens for training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol

from xlingual.decoder.thinking_switch import thinking_variables
from xlingual.errors import ModelError
from xlingual.records import Failure, Form, Request
from xlingual.thinking import ThinkingMode

from ..limits import attempt
from .answer_cue import find_answer_cue
from .chat_template import render_messages, require_one, shows
from .turn_end import TurnEnd, find_turn_end


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    chat_template: str | Mapping[str, str] | None
    """The Jinja text, several by name, or None."""

    @property
    def bos_token(self) -> str | None:
        """The text of the begin token."""
        ...

    @property
    def bos_token_id(self) -> int | None:
        """The begin token."""
        ...

    @property
    def eos_token_id(self) -> int | None:
        """The end token."""
        ...

    @property
    def pad_token_id(self) -> int | None:
        """The padding token."""
        ...

    @property
    def model_max_length(self) -> int:
        """The longest sequence in tokens; 1e30 where it is not known."""
        ...

    @property
    def added_tokens_decoder(self) -> Mapping[int, object]:
        """The tokens outside of the vocabulary that was trained, by id; `str` of each is its text."""
        ...

    def apply_chat_template(
        self,
        conversation: list[dict[str, object]],
        *,
        tokenize: bool,
        add_generation_prompt: bool,
        **variables: bool | str,
    ) -> str:
        """Render messages, each with `role` and `content`, a text or parts; `variables` are the template's own."""
        ...

    def __hash__(self) -> int:
        """A tokenizer is equal to itself only."""
        ...

    def __call__(
        self, text: list[str], *, add_special_tokens: bool, return_attention_mask: bool, verbose: bool
    ) -> Mapping[str, list[list[int]]]:
        """Tokenize texts: `input_ids` holds a list a text."""
        ...

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str | None]:
        """Return the name of each token; None for one beyond the vocabulary."""
        ...

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool) -> str:
        """Turn ids into text."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A request as the model sees it: the tokens that it continues."""

    request: Request
    ids: tuple[int, ...]
    answered: int = 0
    """Of `ids`, the last so many belong to the answer: they were generated before, as its thinking."""
    limit: int | None = None
    """Tokens to generate, where not as many as the request says."""
    is_thinking_only: bool = False
    """Whether the end of the thinking ends the generation."""

    @property
    def question_ids(self) -> tuple[int, ...]:
        """What was asked."""
        return self.ids[: len(self.ids) - self.answered]

    @property
    def answer_ids(self) -> tuple[int, ...]:
        """What of the answer is there already."""
        return self.ids[len(self.ids) - self.answered :]

    @property
    def max_new_tokens(self) -> int:
        """Most tokens to generate."""
        return self.request.max_new_tokens if self.limit is None else self.limit


def render(tokenizer: Tokenizer, requests: Sequence[Request], vocabulary: int) -> list[Rendered | Failure]:
    """Return what `render_each` does; ModelError where no request at all can be rendered."""
    results = render_each(tokenizer, requests, vocabulary)
    refuse_if_none(results)
    return results


def refuse_if_none(results: Sequence[object]) -> None:
    """Raise ModelError where all of the results are failures: then it is the model that is wrong, not the data."""
    failures = [each for each in results if isinstance(each, Failure)]
    if failures and len(failures) == len(results):
        reason = f"{failures[0].kind}: {failures[0].message}"
        raise ModelError(f"the model can take none of {len(results)} requests: {reason}")


def render_each(tokenizer: Tokenizer, requests: Sequence[Request], vocabulary: int) -> list[Rendered | Failure]:
    """Return the token ids of each request, in order, or why there are none; `vocabulary` is the number of embeddings.

    Raises ModelError where a chat is asked of a model without a template, and where the template does what the sandbox
    forbids.
    """
    chats = iter(_render_chats(tokenizer, [request for request in requests if request.form is Form.CHAT]))
    texts = iter(_render_texts(tokenizer, [request for request in requests if request.form is Form.TEXT]))
    found = [next(chats) if request.form is Form.CHAT else next(texts) for request in requests]
    return [
        ids if isinstance(ids, Failure) else _check(request, ids, vocabulary)
        for request, ids in zip(requests, found, strict=True)
    ]


def _check(request: Request, ids: list[int], vocabulary: int) -> Rendered | Failure:
    if not ids:
        return Failure(kind="empty prompt", message="the prompt has no token to continue from")
    if (largest := max(ids)) >= vocabulary:
        return Failure(
            kind="token outside the vocabulary",
            message=f"the tokenizer made token {largest}, the model has embeddings for {vocabulary}",
        )
    return Rendered(request=request, ids=tuple(ids))


def _render_chats(tokenizer: Tokenizer, requests: Sequence[Request]) -> list[list[int] | Failure]:
    if not requests:
        return []
    texts = [_with_all_turns(render_text(tokenizer, request), request) for request in requests]
    ids = iter(tokenize(tokenizer, [text for text in texts if isinstance(text, str)], special=False))
    return [text if isinstance(text, Failure) else next(ids) for text in texts]


def _with_all_turns(text: str | Failure, request: Request) -> str | Failure:
    """Return the text of a chat, or a Failure where the template leaves an earlier turn out: a demonstration."""
    lost = (
        None if isinstance(text, Failure) else next((each for each in request.messages if not shows(text, each)), None)
    )
    if lost is None:
        return text
    return Failure(kind="chat template", message=f"the rendered chat lacks the message {lost.text[:60]!r}")


def answer_cue(tokenizer: Tokenizer) -> str:
    """Return what is put behind every chat for want of a generation prompt in the template; mostly ""."""
    return _answer_cue(tokenizer, tokenizer.chat_template) if isinstance(tokenizer.chat_template, str) else ""


@lru_cache(maxsize=16)
def _answer_cue(tokenizer: Tokenizer, template: str) -> str:
    return find_answer_cue(template, partial(apply_template, tokenizer, cue=True, variables={}))


def render_text(tokenizer: Tokenizer, request: Request) -> str | Failure:
    """Return the text of a request as the tokenizer gets it: the chat template's, or the messages as they stand.

    ModelError for a chat without a template, and where --thinking changes nothing in this chat.
    """
    if request.form is Form.TEXT:
        thinking_variables(None, request.thinking)
        return "".join(message.text for message in request.messages)
    require_one(tokenizer.chat_template)
    found = _render_with(tokenizer, request, request.thinking)
    if request.thinking is not None and isinstance(found, str):
        other = ThinkingMode.OFF if request.thinking is ThinkingMode.ON else ThinkingMode.ON
        if _render_with(tokenizer, request, other) == found:
            # A template may look at its switch in some chats only: Granite, where there is no system message.
            what = f"--thinking {request.thinking.value}: the chat template's switch changes nothing in this chat"
            raise ModelError(what, hint="leave --thinking out, or --system")
    return found


def _render_with(tokenizer: Tokenizer, request: Request, thinking: ThinkingMode | None) -> str | Failure:
    variables = thinking_variables(tokenizer.chat_template, thinking)
    found = render_messages(partial(apply_template, tokenizer, cue=True, variables=variables), request.messages)
    return found + answer_cue(tokenizer) if isinstance(found, str) else found


def apply_template(
    tokenizer: Tokenizer, conversation: list[dict[str, object]], *, cue: bool, variables: Mapping[str, bool | str]
) -> str | Failure:
    """Return the chat as the template renders it, with the `cue` of an answer or without, or what it raises.

    Raises ModelError where the template does what the sandbox forbids.
    """
    from jinja2.exceptions import SecurityError, TemplateError  # noqa: PLC0415 - comes with transformers, heavy

    try:
        return tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=cue, **variables)
    except SecurityError as error:
        hint = "do not use this model before its template is mended"
        raise ModelError(f"the chat template was refused by the sandbox: {error}", hint=hint) from error
    except (
        TemplateError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        return Failure(kind="chat template", message=f"{type(error).__name__}: {error}")


def turn_end(tokenizer: Tokenizer) -> TurnEnd | None:
    """Return the token that ends a turn of the assistant, None where the chat template ends it with text."""
    if not isinstance(tokenizer.chat_template, str):
        return None
    added = {token: str(text) for token, text in tokenizer.added_tokens_decoder.items()}
    return find_turn_end(partial(apply_template, tokenizer, cue=False, variables={}), added, tokenizer.bos_token_id)


def _render_texts(tokenizer: Tokenizer, requests: Sequence[Request]) -> list[list[int] | Failure]:
    texts = [render_text(tokenizer, request) for request in requests]
    return [*tokenize_prompts(tokenizer, [text for text in texts if isinstance(text, str)])]


def tokenize_prompts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of texts to continue: with the special tokens that come before a text, not those after it.

    A text that begins with the begin token, as one from a chat template may, gets no second one.
    """
    if not texts:
        return []
    begin = tokenizer.bos_token or ""
    begun = [text for text in texts if begin and text.startswith(begin)]
    others = [text for text in texts if not (begin and text.startswith(begin))]
    suffix = _suffix_length(tokenizer)
    known = dict(zip(begun, tokenize(tokenizer, begun, special=False), strict=True))
    whole = tokenize(tokenizer, others, special=True)
    known.update({text: ids[: len(ids) - suffix] for text, ids in zip(others, whole, strict=True)})
    return [known[text] for text in texts]


def encode_texts(
    tokenizer: Tokenizer, texts: Sequence[str], vocabulary: int, context_length: int | None
) -> list[tuple[int, ...]]:
    """Return the tokens of texts that nothing comes after, with the special tokens before them.

    Raises ModelError naming the first text without tokens, with one beyond the vocabulary, or too long for the model.
    """
    found = [tuple(ids) for ids in tokenize_prompts(tokenizer, texts)]
    for number, ids in enumerate(found, start=1):
        what = ""
        if not ids:
            what = "has no tokens"
        elif max(ids) >= vocabulary:
            what = f"has token {max(ids)}, and the model has embeddings for {vocabulary}"
        elif context_length is not None and len(ids) > context_length:
            what = f"has {len(ids)} tokens, and the model takes {context_length}"
        if what:
            raise ModelError(f"text {number} of {len(found)} {what}", hint="leave such a text out")
    return found


def encode_answers(
    tokenizer: Tokenizer, texts: Sequence[str], end_ids: Sequence[int], *, end: int | None = None
) -> list[tuple[int, ...]]:
    """Return the tokens of answers to train on: encoded apart from the prompt, `end` or the tokenizer's end token last.

    Encoded together, the last token of a prompt and the first of an answer may merge; generation, which has only the
    prompt, would then start from other tokens than in training. Raises ModelError where there is no end token.
    """
    known = (end, tokenizer.eos_token_id, *end_ids)
    last = next((each for each in known if each is not None), None)
    if last is None:
        raise ModelError("the tokenizer has no end token", hint="answers that are to be learnt must end")
    return [(*ids, last) for ids in tokenize(tokenizer, list(texts), special=False)]


def _suffix_length(tokenizer: Tokenizer) -> int:
    """Return how many tokens (an end token, as a rule) the tokenizer adds after a text: a prompt must not end so."""
    [bare], [whole] = (tokenize(tokenizer, ["a"], special=special) for special in (False, True))
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return len(whole) - start - len(bare)
    return 0


def tokenize(tokenizer: Tokenizer, texts: list[str], *, special: bool) -> list[list[int]]:
    """Return the tokens of each text, with the tokenizer's special tokens or without; ModelError where it fails."""
    if not texts:
        return []
    call = partial(tokenizer, texts, add_special_tokens=special, return_attention_mask=False, verbose=False)
    found = attempt(call)  # the tokenizers library raises no exceptions of its own, but plain ones
    if isinstance(found, Failure):
        raise ModelError(f"the tokenizer fails: {found.kind}: {found.message}", hint="are all its files there?")
    return found["input_ids"]
