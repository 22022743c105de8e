"""A cache of token ids from planning to answering, so that each request is tokenized once.

A run first counts the tokens of all its prompts, to see whether they fit the context window, and answers them later.
`count` fills the cache, `take` empties it. The key is the content of a request (form, messages, choices), for a plan
may ask the same under two keys. Its size is bounded: the oldest entry is evicted, and tokenized again when it is
answered.
"""

from array import array
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TypeAlias

from xlingual.records import Failure, Request, Response, failed_response

from ..encoder_decoder.tokens import tokenize_each
from .choices import ScoringWindow, TokenizedChoices, TokenizerContext, tokenize_choices
from .rendering import Rendered, refuse_if_none, render_each

MAX_BYTES = 2**27
"""Of all entries: 4 a token, and ARRAY_BYTES for every entry and window. A prompt of 400 tokens takes 1.9 KB, so 72,000
of them fit; the plan holds their texts, which are larger, anyway."""
ARRAY_BYTES = 256
"""What Python takes for an array and its place in the cache, about."""
Tokenized: TypeAlias = Rendered | TokenizedChoices
"""A request as the model sees it: a prompt to continue, or choices to score."""


@dataclass(frozen=True, slots=True)
class _Window:
    """A ScoringWindow in 4 bytes a token."""

    ids: "array[int]"
    first: int
    encoded: int


@dataclass(frozen=True, slots=True)
class _Choices:
    """TokenizedChoices without their request."""

    windows: tuple[tuple[_Window, ...], ...]
    tokens: int


_Entry: TypeAlias = "array[int] | _Choices | Failure"
"""What was found for a request, in few bytes: the ids of a prompt, its choices, or why there are none."""


@dataclass(slots=True)
class TokenCache:
    """The requests of one model that were counted and are not answered yet."""

    context: TokenizerContext
    max_bytes: int = MAX_BYTES
    entries: dict[bytes, _Entry] = field(default_factory=dict)
    """By hash of the content, the oldest first."""
    size: int = 0
    """Bytes of all entries."""

    def count(self, requests: Sequence[Request]) -> list[int]:
        """Return the prompt tokens of each request, special tokens included; 0 for one that cannot be rendered.

        Those of the longest choice are counted among them. Raises ModelError as `tokenize` does.
        """
        return [_length(each) for each in self.keep(requests)]

    def keep(self, requests: Sequence[Request]) -> list[Tokenized | Failure]:
        """Return what `tokenize` does, and keep it until it is taken."""
        found = self.tokenize(requests)
        for request, each in zip(requests, found, strict=True):
            self._add(_digest(request), _pack(each))
        return found

    def take(self, requests: Sequence[Request]) -> list[Tokenized | Failure]:
        """Return what `tokenize` does and remove it from the cache: it is about to be answered."""
        found = self.tokenize(requests)
        for request in requests:
            self._remove(_digest(request))
        return found

    def take_tokenized(self, requests: Sequence[Request]) -> Generator[Response, None, list[Tokenized]]:
        """Take the requests: yield the responses to those that have no tokens, and return the others."""
        tokenized: list[Tokenized] = []
        for request, found in zip(requests, self.take(requests), strict=True):
            if isinstance(found, Failure):
                yield failed_response(request, found)
            else:
                tokenized.append(found)
        return tokenized

    def tokenize(self, requests: Sequence[Request]) -> list[Tokenized | Failure]:
        """Return each request as the model sees it, in order, or why it cannot; only what is not cached is tokenized.

        Raises ModelError where a chat is asked of a model without a template, its template does what the sandbox
        forbids, or none of the prompts to continue can be rendered.
        """
        digests = [_digest(request) for request in requests]
        new = {digest: each for digest, each in zip(digests, requests, strict=True) if digest not in self.entries}
        fresh = dict(zip(new, _tokenize_each(self.context, list(new.values())), strict=True))
        found = [
            _for_request(request, fresh[digest]) if digest in fresh else _unpack(request, self.entries[digest])
            for digest, request in zip(digests, requests, strict=True)
        ]
        refuse_if_none([each for each, request in zip(found, requests, strict=True) if request.choices is None])
        return found

    def clear(self) -> None:
        """Remove everything."""
        self.entries.clear()
        self.size = 0

    def _add(self, digest: bytes, entry: _Entry) -> None:
        self._remove(digest)
        self.entries[digest] = entry
        self.size += _size(entry)
        while self.size > self.max_bytes:
            self._remove(next(iter(self.entries)))

    def _remove(self, digest: bytes) -> None:
        if (removed := self.entries.pop(digest, None)) is not None:
            self.size -= _size(removed)


def _tokenize_each(context: TokenizerContext, requests: Sequence[Request]) -> list[Tokenized | Failure]:
    if context.encoder_decoder is not None:
        return list(tokenize_each(context, context.encoder_decoder, requests))
    plain = [request for request in requests if request.choices is None]
    rendered = iter(render_each(context.tokenizer, plain, context.vocabulary))
    scored = iter(tokenize_choices(context, [request for request in requests if request.choices is not None]))
    return [next(rendered) if request.choices is None else next(scored) for request in requests]


def _length(found: Tokenized | Failure) -> int:
    if isinstance(found, Failure):
        return 0
    return len(found.ids) if isinstance(found, Rendered) else found.tokens


def _for_request(request: Request, found: Tokenized | Failure) -> Tokenized | Failure:
    """Return what was found for another request with the same content."""
    if isinstance(found, Failure):
        return found
    if isinstance(found, Rendered):
        return Rendered(request=request, ids=found.ids)
    return TokenizedChoices(request=request, windows=found.windows, tokens=found.tokens)


def _pack(found: Tokenized | Failure) -> _Entry:
    if isinstance(found, Failure):
        return found
    if isinstance(found, Rendered):
        return array("i", found.ids)
    windows = tuple(
        tuple(_Window(array("i", each.ids), each.first, each.encoded) for each in choice) for choice in found.windows
    )
    return _Choices(windows, found.tokens)


def _unpack(request: Request, entry: _Entry) -> Tokenized | Failure:
    if isinstance(entry, Failure):
        return entry
    if isinstance(entry, _Choices):
        windows = tuple(
            tuple(ScoringWindow(tuple(each.ids), each.first, each.encoded) for each in choice)
            for choice in entry.windows
        )
        return TokenizedChoices(request=request, windows=windows, tokens=entry.tokens)
    return Rendered(request=request, ids=tuple(entry))


def _size(entry: _Entry) -> int:
    """Return how many bytes an entry takes, about."""
    if isinstance(entry, Failure):  # a template may raise the whole prompt
        return ARRAY_BYTES + 4 * len(entry.message)
    if isinstance(entry, _Choices):
        return ARRAY_BYTES + sum(ARRAY_BYTES + 4 * len(each.ids) for choice in entry.windows for each in choice)
    return ARRAY_BYTES + 4 * len(entry)


def _digest(request: Request) -> bytes:
    """Return a hash of all that decides the tokens of a request."""
    parts = [request.form.value, request.thinking or ""]
    parts += [part for message in request.messages for part in (message.role.value, message.text)]
    if request.choices is not None:
        parts += ["choices", str(len(request.choices))]
        parts += [part for choice in request.choices for part in (choice.before, choice.text)]
    if request.translation is not None:
        parts += ["translation", request.translation.source, request.translation.target]
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()
