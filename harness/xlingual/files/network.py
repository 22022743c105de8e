"""Bytes from an address of the web, whole or with the reason why not."""

import http.client
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

from ..errors import DataError, EnvironmentFault

CONNECT_SECONDS = 10.0
"""Of waiting for a connection, and for each further block."""

_BLOCK = 2**18


def stream_url(url: str) -> Iterator[bytes]:
    """Yield what `url` holds, in blocks.

    Raises EnvironmentFault where the server cannot be reached or ends before the length that it announced, DataError
    for an address that is not one of http or https.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise DataError("only http and https addresses are fetched", where=url)
    count, length = 0, None
    try:
        with urllib.request.urlopen(url, timeout=CONNECT_SECONDS) as response:  # noqa: S310  the scheme is checked above
            length = response.headers.get("Content-Length")
            while block := response.read(_BLOCK):
                count += len(block)
                yield block
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise EnvironmentFault(explain_failure(error), where=url) from error
    if length is not None and length.isdigit() and count != int(length):
        raise EnvironmentFault(f"the connection ended after {count:,} of {int(length):,} bytes", where=url)


def explain_failure(error: Exception) -> str:
    """Return in words why a network call failed."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server said {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_SECONDS:g} s"
    if isinstance(error, socket.gaierror):
        return "no network, or no such host"
    return str(error) or type(error).__name__
