"""Requests with choices to token ids: the context, and where the continuation begins.

"Answer: " and "Paris" are tokenized together, since a tokenizer may join their border to one token. The border is found
as lm-eval finds it, so that scores agree: spaces at the end of the context go to the continuation ("Answer:" and
" Paris"), and what is left of the context is tokenized alone to count its tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xlingual.records import Choice, Failure, Form, Request

from ..encoder_decoder.description import EncoderDecoder
from .rendering import Tokenizer, render_text, tokenize, tokenize_prompts


@dataclass(frozen=True, slots=True)
class ScoringWindow:
    """Tokens of which the last ones are scored, given those before."""

    ids: tuple[int, ...]
    first: int
    """Index of the first scored one, at least 1."""
    encoded: int = 0
    """How many of the tokens an encoder reads; the others are the decoder's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizedChoices:
    """A request with choices as the model sees it."""

    request: Request
    windows: tuple[tuple[ScoringWindow, ...], ...]
    """Of each choice: one, or the rolling windows of a long text."""
    tokens: int
    """Of the longest choice with its context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerContext:
    """What decides the tokens of a request, and the windows in which choices are scored."""

    tokenizer: Tokenizer
    vocabulary: int
    """The number of embeddings."""
    window: int | None
    """Tokens that the model reads; the last token of a scoring window is scored without being read."""
    encoder_decoder: EncoderDecoder | None = None
    """What an encoder-decoder says an answer after; None for a decoder."""


def tokenize_choices(context: TokenizerContext, requests: Sequence[Request]) -> list[TokenizedChoices | Failure]:
    """Return the scoring windows of each request, in order, or why there are none.

    ModelError where a chat is asked of a model without a template, or its template does what the sandbox forbids.
    """
    texts = [render_text(context.tokenizer, request) for request in requests]
    pairs = [
        []
        if isinstance(text, Failure)
        else [(_split(text + choice.before, choice), request.form) for choice in request.choices or ()]
        for text, request in zip(texts, requests, strict=True)
    ]
    known = _tokenize_all(context.tokenizer, [pair for group in pairs for pair in group])
    return [
        text if isinstance(text, Failure) else _tokenize_one(context, request, [known[pair] for pair in group])
        for text, request, group in zip(texts, requests, pairs, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Pair:
    """A context without the spaces at its end, and the continuation with these."""

    context: str
    continuation: str


def _split(context: str, choice: Choice) -> _Pair:
    kept = context.rstrip()
    return _Pair(kept, context[len(kept) :] + choice.text)


_Tokens = tuple[list[int], list[int]]
"""Of a context, none where it is empty, and of its continuation."""


def _tokenize_all(tokenizer: Tokenizer, pairs: Sequence[tuple[_Pair, Form]]) -> dict[tuple[_Pair, Form], _Tokens]:
    known: dict[tuple[_Pair, Form], _Tokens] = {}
    bare = [pair for pair in dict.fromkeys(pairs) if not pair[0].context]
    for pair, ids in zip(
        bare, tokenize(tokenizer, [each.continuation for each, _ in bare], special=False), strict=True
    ):
        known[pair] = [], ids
    for form in Form:
        rest = [pair for pair in dict.fromkeys(pairs) if pair[0].context and pair[1] is form]
        contexts = list(dict.fromkeys(each.context for each, _ in rest))
        texts = [*contexts, *(each.context + each.continuation for each, _ in rest)]
        # A chat template has put its special tokens already.
        found = tokenize(tokenizer, texts, special=False) if form is Form.CHAT else tokenize_prompts(tokenizer, texts)
        context_ids = dict(zip(contexts, found, strict=False))
        for pair, ids in zip(rest, found[len(contexts) :], strict=True):
            before = context_ids[pair[0].context]
            known[pair] = before, ids[len(before) :]
    return known


def _tokenize_one(
    context: TokenizerContext, request: Request, choices: Sequence[_Tokens]
) -> TokenizedChoices | Failure:
    windows: list[tuple[ScoringWindow, ...]] = []
    longest = 0
    for number, (before, ids) in enumerate(choices, start=1):
        if not ids:
            return Failure(kind="empty choice", message=f"choice {number} adds no token to what stands before it")
        if (largest := max([*before, *ids])) >= context.vocabulary:
            message = f"the tokenizer made token {largest}, the model has embeddings for {context.vocabulary}"
            return Failure(kind="token outside the vocabulary", message=message)
        found = _windows_of(context, before, ids)
        if isinstance(found, Failure):
            return found
        windows.append(found)
        longest = max(longest, len(before) + len(ids))
    return TokenizedChoices(request=request, windows=tuple(windows), tokens=longest)


def _windows_of(context: TokenizerContext, before: list[int], ids: list[int]) -> tuple[ScoringWindow, ...] | Failure:
    window = context.window
    if not before:
        begins = (context.tokenizer.bos_token_id, context.tokenizer.eos_token_id)
        begin = next((each for each in begins if each is not None), None)
        if begin is None:
            return Failure(kind="no begin token", message="nothing stands before the choice, not even a begin token")
        # A begin token that the text has already is read, not scored.
        rest = ids[1:] if ids[0] == begin and len(ids) > 1 else ids
        return tuple(_rolling_windows([begin, *rest], window or len(rest)))
    if window is not None and len(ids) > window:
        message = f"the choice has {len(ids)} tokens, the model reads {window}"
        return Failure(kind="context overflow", message=message)
    whole = [*before, *ids]
    if window is not None:  # what is too long loses its beginning
        whole = whole[-(window + 1) :]
    return (ScoringWindow(tuple(whole), len(whole) - len(ids)),)


def _rolling_windows(ids: list[int], window: int) -> Iterator[ScoringWindow]:
    """Yield windows that score every token but the first once, each after as many tokens as the model reads."""
    scored = 1
    while scored < len(ids):
        end = min(scored + window, len(ids))
        start = max(0, end - window - 1)
        yield ScoringWindow(tuple(ids[start:end]), scored - start)
        scored = end
