"""The official client for one server: its key and headers, certificates and proxies, and what it must not do."""

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from xlingual.errors import EnvironmentFault

from .address import Address
from .body_limits import ENCODINGS, limit_body
from .credentials import NO_KEY, Credentials
from .pacing import RateLimits

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that name the certificates to trust, on this machine too."""

UNREACHED = ("ConnectError", "ConnectTimeout", "ProxyError")
"""Errors of the HTTP client which say that nothing listens at an address, or nothing that can be trusted."""


def unreached(where: str, why: str) -> EnvironmentFault:
    """Return the error of an address where nothing listens, or nothing that can be trusted."""
    hint = "check the address, and that the server is running"
    if "CERTIFICATE" in why.upper():
        hint = "SSL_CERT_FILE names a file with the certificates to trust"
    return EnvironmentFault(f"the server cannot be reached ({why})", where=where, hint=hint)


@asynccontextmanager
async def open_client(address: Address, credentials: Credentials, limits: RateLimits) -> AsyncIterator["AsyncOpenAI"]:
    """Open the client of one event loop, and close it in every ending.

    Raises EnvironmentFault for certificates that cannot be read.
    """
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout  # noqa: PLC0415 - optional

    async with AsyncOpenAI(
        api_key=credentials.key or NO_KEY,
        base_url=address.url,
        default_headers=dict(credentials.headers) or None,
        default_query=dict(parse_qsl(address.query, keep_blank_values=True)) or None,
        max_retries=0,
        # How long a server may be silent depends on what else we have asked it: the schedule keeps that time.
        timeout=Timeout(None, connect=limits.connect_seconds),
        # A proxy has no business between two processes of one machine, and a redirect would change what was asked.
        http_client=DefaultAsyncHttpxClient(
            trust_env=not address.loopback,
            follow_redirects=False,
            verify=_certificates(),
            headers={"Accept-Encoding": ", ".join(ENCODINGS)},
            event_hooks={"response": [limit_body]},
        ),
    ) as client:
        yield client


def _certificates() -> "ssl.SSLContext | bool":
    """Return the certificates that the environment names, True where it names none: the client's own."""
    file, folder = (os.environ.get(name, "").strip() or None for name in CERTIFICATES)
    if file is None and folder is None:
        return True
    try:
        return ssl.create_default_context(cafile=file, capath=folder)
    except (OSError, ssl.SSLError) as error:
        what = f"the certificates cannot be read ({error})"
        raise EnvironmentFault(what, where=f"${CERTIFICATES[0 if file else 1]}", hint="name a PEM file") from None
