"""Bodies of a server, unpacked here, a block at a time, and up to a limit: 400 kB of gzip may hold 400 MB.

It holds for all that a server sends, answers, errors and lists of models, since it is set where responses come in.
"""

import zlib
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from typing import Protocol

MOST_BYTES = 64 * 2**20
"""Of a body, unpacked: an answer that is longer is none."""
ENCODINGS = ("gzip", "deflate")
"""What a server may pack bodies with; it is told so."""
_BLOCK = 2**18
_MODES = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_RAW = -zlib.MAX_WBITS
_HEADER = "content-encoding"


class BodyFault(Exception):
    """A body that is not read to its end."""

    def __init__(self, kind: str, message: str) -> None:
        """`kind` is that of the sample's failure."""
        super().__init__(message)
        self.kind = kind


class Headers(Protocol):
    """What is used of the headers of a response."""

    def get(self, name: str, default: str) -> str:
        """Return a header."""
        ...

    def __setitem__(self, name: str, value: str) -> None:
        """Set a header."""
        ...


class ByteStream(Protocol):
    """A body as it comes in."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield its parts."""
        ...

    async def aclose(self) -> None:
        """Close the connection."""
        ...


class ServerResponse(Protocol):
    """What is used of a response of the HTTP client."""

    headers: Headers
    stream: ByteStream


async def limit_body(response: ServerResponse) -> None:
    """Unpack the body of a response while it is read, and raise BodyFault where it is over MOST_BYTES.

    For the client's hooks: nothing of the body has been read yet.
    """
    packed = [each.strip().lower() for each in response.headers.get(_HEADER, "").split(",")]
    packed = [each for each in packed if each not in ("", "identity")]
    response.headers[_HEADER] = "identity"
    # The client takes streams of its own library only, whose name has changed between its versions.
    library = import_module(type(response).__module__.partition(".")[0])
    kind = type("LimitedBody", (library.AsyncByteStream,), {"__aiter__": _unpacked, "aclose": _close})
    limited = kind()
    limited.inner, limited.packed = response.stream, tuple(packed)
    response.stream = limited


class _Limited(Protocol):
    inner: ByteStream
    packed: tuple[str, ...]


async def _close(self: _Limited) -> None:
    await self.inner.aclose()


async def _unpacked(self: _Limited) -> AsyncIterator[bytes]:
    if len(self.packed) > 1 or not all(each in ENCODINGS for each in self.packed):
        raise BodyFault("unreadable body", f"the server packed its body by {', '.join(self.packed)[:80]}")
    unpacking = _Unpacking(self.packed[0]) if self.packed else None
    total = 0
    async for part in self.inner:
        for block in [part] if unpacking is None else unpacking.blocks(part):
            total += len(block)
            if total > MOST_BYTES:
                raise BodyFault("too large", f"the server sent more than {MOST_BYTES // 2**20} MiB")
            yield block
    if unpacking is not None and not unpacking.is_whole:
        raise BodyFault("unreadable body", f"the body ends within its {self.packed[0]} data")


class _Unpacking:
    """Unpacks a body; what the browsers of old called deflate has no header."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self.unpacker = zlib.decompressobj(_MODES[encoding])
        self.is_fresh = True

    @property
    def is_whole(self) -> bool:
        """Whether the body may end here."""
        return self.is_fresh or self.unpacker.eof

    def blocks(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` unpacks to, in blocks."""
        if self.is_fresh and self.encoding == "deflate":
            try:
                zlib.decompressobj().decompress(data, 1)
            except zlib.error:
                self.unpacker = zlib.decompressobj(_RAW)
        self.is_fresh = self.is_fresh and not data
        while data and not self.unpacker.eof:
            try:
                block = self.unpacker.decompress(data, _BLOCK)
            except zlib.error as error:
                raise BodyFault("unreadable body", f"not {self.encoding}: {error}") from error
            data = self.unpacker.unconsumed_tail
            if block:
                yield block
