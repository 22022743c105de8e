"""Whether a tracker's server accepts connections: asked first, for the clients retry for minutes where it does not."""

import socket
from urllib.parse import urlsplit

CONNECT_SECONDS = 4.0


def connection_fault(url: str) -> str | None:
    """Return why the server of `url` cannot be reached, None where it accepts a connection within CONNECT_SECONDS."""
    parts = urlsplit(url)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return f"{parts.hostname} cannot be reached ({error.strerror or error})"
    return None
