"""Requests with choices to token ids: what stands before each choice, and where the choice begins.

Both are tokenized together, for a choice may join the last letters before it. The boundary is found as lm-eval finds
it, so that scores agree: spaces at the end of what stands before go to the choice, and what is left is tokenized alone
to count its tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xlingual.records import Choice, Failure, Form, Request

from .rendering import Tokenizer, render_text, tokenize, tokenize_prompts


@dataclass(frozen=True, slots=True)
class ScoringWindow:
    """Tokens of which the last ones are scored, given those before."""

    ids: tuple[int, ...]
    first: int
    """The place of the first scored one, at least 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizedChoices:
    """A request with choices as the model sees it."""

    request: Request
    passages: tuple[tuple[ScoringWindow, ...], ...]
    """Of each choice: one, or the windows of a long text."""
    tokens: int
    """Of the longest choice and all before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerContext:
    """What decides how texts are cut into passages."""

    tokenizer: Tokenizer
    vocabulary: int
    """The number of embeddings."""
    window: int | None
    """Tokens that the model reads; the last token of a passage is scored without being read."""


def tokenize_choices(reader: TokenizerContext, requests: Sequence[Request]) -> list[TokenizedChoices | Failure]:
    """Return the passages of each request, in order, or why there are none.

    ModelError where a chat is asked of a model without a template, or its template does what the sandbox forbids.
    """
    texts = [render_text(reader.tokenizer, request) for request in requests]
    pairs = [
        [] if isinstance(text, Failure) else [(_split(text + each.before, each), request.form) for each in _of(request)]
        for text, request in zip(texts, requests, strict=True)
    ]
    known = _tokenize_all(reader.tokenizer, [pair for group in pairs for pair in group])
    return [
        text if isinstance(text, Failure) else _tokenize_one(reader, request, [known[pair] for pair in group])
        for text, request, group in zip(texts, requests, pairs, strict=True)
    ]


def _of(request: Request) -> tuple[Choice, ...]:
    return request.choices or ()


@dataclass(frozen=True, slots=True)
class _Pair:
    """What stands before a choice, without its last spaces, and the choice behind these."""

    before: str
    text: str


def _split(before: str, choice: Choice) -> _Pair:
    kept = before.rstrip()
    return _Pair(kept, before[len(kept) :] + choice.text)


_Tokens = tuple[list[int], list[int]]


def _tokenize_all(tokenizer: Tokenizer, pairs: Sequence[tuple[_Pair, Form]]) -> dict[tuple[_Pair, Form], _Tokens]:
    """Return the tokens before each choice, none where there is nothing, and those of the choice."""
    known: dict[tuple[_Pair, Form], _Tokens] = {}
    bare = [pair for pair in dict.fromkeys(pairs) if not pair[0].before]
    for pair, ids in zip(bare, tokenize(tokenizer, [each.text for each, _ in bare], special=False), strict=True):
        known[pair] = [], ids
    for form in Form:
        rest = [pair for pair in dict.fromkeys(pairs) if pair[0].before and pair[1] is form]
        alone = list(dict.fromkeys(each.before for each, _ in rest))
        texts = [*alone, *(each.before + each.text for each, _ in rest)]
        # A chat template has put its special tokens already.
        found = tokenize(tokenizer, texts, special=False) if form is Form.CHAT else tokenize_prompts(tokenizer, texts)
        heads = dict(zip(alone, found, strict=False))
        for pair, whole in zip(rest, found[len(alone) :], strict=True):
            head = heads[pair[0].before]
            known[pair] = head, whole[len(head) :]
    return known


def _tokenize_one(reader: TokenizerContext, request: Request, choices: Sequence[_Tokens]) -> TokenizedChoices | Failure:
    passages: list[tuple[ScoringWindow, ...]] = []
    longest = 0
    for number, (before, ids) in enumerate(choices, start=1):
        if not ids:
            return Failure(kind="empty choice", message=f"choice {number} adds no token to what stands before it")
        if (largest := max([*before, *ids])) >= reader.vocabulary:
            message = f"the tokenizer made token {largest}, the model has embeddings for {reader.vocabulary}"
            return Failure(kind="token outside the vocabulary", message=message)
        found = _passages(reader, before, ids)
        if isinstance(found, Failure):
            return found
        passages.append(found)
        longest = max(longest, len(before) + len(ids))
    return TokenizedChoices(request=request, passages=tuple(passages), tokens=longest)


def _passages(reader: TokenizerContext, before: list[int], ids: list[int]) -> tuple[ScoringWindow, ...] | Failure:
    window = reader.window
    if not before:
        begins = (reader.tokenizer.bos_token_id, reader.tokenizer.eos_token_id)
        begin = next((each for each in begins if each is not None), None)
        if begin is None:
            return Failure(kind="no begin token", message="nothing stands before the choice, not even a begin token")
        # A begin token that the text has already is read, not scored.
        rest = ids[1:] if ids[0] == begin and len(ids) > 1 else ids
        return tuple(_windows([begin, *rest], window or len(rest)))
    if window is not None and len(ids) > window:
        message = f"the choice has {len(ids)} tokens, the model reads {window}"
        return Failure(kind="context overflow", message=message)
    whole = [*before, *ids]
    if window is not None:  # what is too long loses its beginning
        whole = whole[-(window + 1) :]
    return (ScoringWindow(tuple(whole), len(whole) - len(ids)),)


def _windows(ids: list[int], window: int) -> Iterator[ScoringWindow]:
    """Yield passages that score every token but the first once, each after as many tokens as the model reads."""
    scored = 1
    while scored < len(ids):
        end = min(scored + window, len(ids))
        start = max(0, end - window - 1)
        yield ScoringWindow(tuple(ids[start:end]), scored - start)
        scored = end
