"""Where a served model is: `NAME[@URL]`, and what of it may be shown."""

import base64
import ipaddress
import os
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit

from xlingual.errors import UsageError
from xlingual.redaction import redact

OFFICIAL = "https://api.openai.com/v1"
OFFICIAL_HOST = re.compile(r"(?:[a-z0-9-]+\.)?api\.openai\.com")
"""OpenAI's own hosts, those of its regions too."""
URL_VARIABLE = "OPENAI_BASE_URL"
SHORTEST_SECRET = 4
"""Characters; masking shorter ones would only make messages unreadable."""

_URL = re.compile(r"(?:^|@)(https?://.*)$", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A model on a server."""

    model: str
    url: str
    """Without credentials, query, fragment and final slash: what messages and fingerprints may hold."""
    loopback: bool
    """Whether the server is this very machine."""
    official: bool
    """Whether the URL is OpenAI's own, the one of a word without a URL."""
    openai: bool
    """Whether the host is OpenAI's: the only one that $OPENAI_API_KEY is for."""
    host: str
    """With the port, where the URL names one."""
    credentials: str | None = field(repr=False)
    """"user:password" where the URL had them."""
    query: str = field(repr=False)
    """Sent with every request; may hold a key."""

    @property
    def root(self) -> str:
        """The URL without "/v1": where servers tell what OpenAI's API has no place for."""
        return self.url.removesuffix("/v1")

    @property
    def self_hosted(self) -> bool:
        """Whether this looks like somebody's own server, where a request costs no money: those of others have TLS."""
        return self.loopback or self.url.startswith("http://")

    @property
    def authorization(self) -> str | None:
        """The header that stands for the credentials of the URL."""
        if self.credentials is None:
            return None
        return "Basic " + base64.b64encode(self.credentials.encode()).decode("ascii")

    def secrets(self, key: str | None) -> tuple[str, ...]:
        """Return every text that no message may hold, longest first."""
        found = {key or "", (self.authorization or "").removeprefix("Basic "), self.query}
        found.update(pair.partition("=")[2] for pair in self.query.split("&"))
        if self.credentials is not None:
            found.update((self.credentials, self.credentials.partition(":")[2]))
        found |= {form for each in found for form in (quote(each, safe=""), unquote(each))}
        return tuple(sorted((each for each in found if len(each) >= SHORTEST_SECRET), key=len, reverse=True))


def read_address(name: str) -> Address:
    """Take `NAME[@URL]` apart; without a URL it is $OPENAI_BASE_URL or OpenAI's own. UsageError if it is wrong."""
    match = _URL.search(name)
    model = name[: match.start()] if match else name
    url = match.group(1) if match else os.environ.get(URL_VARIABLE, "").strip() or OFFICIAL
    if not model.strip():
        raise UsageError("no model is named", where="openai", hint="openai:NAME@http://host:port/v1, or openai:NAME")
    where = "openai" if match else f"${URL_VARIABLE}"
    parts, port = _split(url, where)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    user = parts.netloc.rpartition("@")[0]
    plain = f"{parts.scheme}://{shown}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
    return Address(
        model=model,
        url=plain,
        loopback=_is_loopback(host),
        official=plain == OFFICIAL,
        openai=parts.scheme == "https" and bool(OFFICIAL_HOST.fullmatch(host)),
        host=f"{host}:{port}" if port else host,
        credentials=unquote(user) if user else None,
        query=parts.query,
    )


def _split(url: str, where: str) -> tuple[SplitResult, int | None]:
    hint = "http://host:port/v1"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        reason = redact(str(error), [url])
        raise UsageError(f"not a URL: {redact(url, ())} ({reason})", where=where, hint=hint) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s\x00-\x1f]", url):
        raise UsageError(f"not a URL: {redact(url, ())!r}", where=where, hint=hint)
    return parts, port


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
