"""Bytes from an address of the web, whole or with the reason why not."""

import http.client
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

from ..errors import DataError, EnvironmentFault

CONNECT_SECONDS = 10.0
"""Of waiting for a connection, and for each further block."""

_BLOCK = 2**18
MOST_BYTES = 2**34
"""Of a download: 16 GiB, five times the largest file that is fetched."""


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
                if count > MOST_BYTES:
                    raise DataError(f"holds more than the limit of {MOST_BYTES:,} bytes a download", where=url)
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


def hub_is_offline() -> bool:
    """Return whether `$HF_HUB_OFFLINE` forbids the network: then nothing is downloaded, from whatever host."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def reach_hub(where: str) -> None:
    """Raise EnvironmentFault where the hub does not answer: its own clients would go on trying for 25 seconds."""
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    request = urllib.request.Request(endpoint, method="HEAD")  # noqa: S310  the user's own endpoint, or the hub
    try:
        urllib.request.urlopen(request, timeout=CONNECT_SECONDS).close()  # noqa: S310  as above
    except urllib.error.HTTPError:
        return  # it answered; whether it has what is wanted is for the client to find out
    except (OSError, ValueError) as error:
        raise EnvironmentFault(explain_failure(error), where=where) from error
