"""Token ids from planning to answering, so that each request is tokenized once.

A run first counts the tokens of its prompts, to see whether they fit the window, and answers them later. What was
counted waits here for its answer and goes with it. It is found by content (form, messages and choices), for a plan may
give a request another key. The cache is bounded: the oldest goes first, and is then tokenized a second time.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TypeAlias

from xlingual.records import Failure, Request

from .choices import ScoringWindow, TokenizedChoices, TokenizerContext, tokenize_choices
from .rendering import Rendered, refuse_if_none, render_each

MOST_BYTES = 2**27
"""Of all that waits: 4 a token, and what Python needs for each array of them."""
ARRAY_BYTES = 256
Tokenized: TypeAlias = Rendered | TokenizedChoices
"""A request as the model sees it: a prompt to continue, or choices to score."""


@dataclass(frozen=True, slots=True)
class _Window:
    """A ScoringWindow in 4 bytes a token."""

    ids: "array[int]"
    first: int


@dataclass(frozen=True, slots=True)
class _Choices:
    """TokenizedChoices without their request."""

    windows: tuple[tuple[_Window, ...], ...]
    tokens: int


_Kept: TypeAlias = "array[int] | _Choices | Failure"
"""What was found for a request, in as few bytes as will do: the ids of a prompt, its choices, or why there are none."""


@dataclass(slots=True)
class TokenCache:
    """The requests of one model that were counted and not answered yet."""

    context: TokenizerContext
    most_bytes: int = MOST_BYTES
    kept: dict[bytes, _Kept] = field(default_factory=dict)
    """By content, the oldest first."""
    size: int = 0
    """Bytes of all."""

    def count(self, requests: Sequence[Request]) -> list[int]:
        """Return the prompt tokens of each request, special tokens included; 0 for one that cannot be rendered.

        Those of the longest choice are counted among them. Raises ModelError as `tokenize` does.
        """
        found = self.tokenize(requests)
        for request, each in zip(requests, found, strict=True):
            self._keep(_digest(request), _pack(each))
        return [_length(each) for each in found]

    def take(self, requests: Sequence[Request]) -> list[Tokenized | Failure]:
        """Return what `tokenize` does, and let it go: it is about to be answered."""
        found = self.tokenize(requests)
        for request in requests:
            self._drop(_digest(request))
        return found

    def tokenize(self, requests: Sequence[Request]) -> list[Tokenized | Failure]:
        """Return each request as the model sees it, in order, or why it cannot; only what is not known is tokenized.

        Raises ModelError where a chat is asked of a model without a template, its template does what the sandbox
        forbids, or none of the prompts to continue can be rendered.
        """
        digests = [_digest(request) for request in requests]
        new = {digest: each for digest, each in zip(digests, requests, strict=True) if digest not in self.kept}
        fresh = dict(zip(new, _tokenize_each(self.context, list(new.values())), strict=True))
        found = [
            _of(request, fresh[digest]) if digest in fresh else _unpack(request, self.kept[digest])
            for digest, request in zip(digests, requests, strict=True)
        ]
        refuse_if_none([each for each, request in zip(found, requests, strict=True) if request.choices is None])
        return found

    def clear(self) -> None:
        """Let everything go."""
        self.kept.clear()
        self.size = 0

    def _keep(self, digest: bytes, kept: _Kept) -> None:
        self._drop(digest)
        self.kept[digest] = kept
        self.size += _size(kept)
        while self.size > self.most_bytes:
            self._drop(next(iter(self.kept)))

    def _drop(self, digest: bytes) -> None:
        if (gone := self.kept.pop(digest, None)) is not None:
            self.size -= _size(gone)


def _tokenize_each(context: TokenizerContext, requests: Sequence[Request]) -> list[Tokenized | Failure]:
    plain = [request for request in requests if request.choices is None]
    rendered = iter(render_each(context.tokenizer, plain, context.vocabulary))
    scored = iter(tokenize_choices(context, [request for request in requests if request.choices is not None]))
    return [next(rendered) if request.choices is None else next(scored) for request in requests]


def _length(found: Tokenized | Failure) -> int:
    if isinstance(found, Failure):
        return 0
    return len(found.ids) if isinstance(found, Rendered) else found.tokens


def _of(request: Request, found: Tokenized | Failure) -> Tokenized | Failure:
    """Return what was found for another request with the same content."""
    if isinstance(found, Failure):
        return found
    if isinstance(found, Rendered):
        return Rendered(request=request, ids=found.ids)
    return TokenizedChoices(request=request, passages=found.passages, tokens=found.tokens)


def _pack(found: Tokenized | Failure) -> _Kept:
    if isinstance(found, Failure):
        return found
    if isinstance(found, Rendered):
        return array("i", found.ids)
    windows = tuple(tuple(_Window(array("i", each.ids), each.first) for each in choice) for choice in found.passages)
    return _Choices(windows, found.tokens)


def _unpack(request: Request, kept: _Kept) -> Tokenized | Failure:
    if isinstance(kept, Failure):
        return kept
    if isinstance(kept, _Choices):
        passages = tuple(
            tuple(ScoringWindow(tuple(each.ids), each.first) for each in choice) for choice in kept.windows
        )
        return TokenizedChoices(request=request, passages=passages, tokens=kept.tokens)
    return Rendered(request=request, ids=tuple(kept))


def _size(kept: _Kept) -> int:
    """Return about how many bytes it takes."""
    if isinstance(kept, Failure):
        return ARRAY_BYTES
    windows = [each.ids for choice in kept.windows for each in choice] if isinstance(kept, _Choices) else [kept]
    return sum(ARRAY_BYTES + 4 * len(ids) for ids in windows)


def _digest(request: Request) -> bytes:
    """Return a hash of all that decides the tokens of a request."""
    parts = [request.form.value]
    parts += [part for message in request.messages for part in (message.role.value, message.text)]
    if request.choices is not None:
        parts += ["choices", str(len(request.choices))]
        parts += [part for choice in request.choices for part in (choice.before, choice.text)]
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()
