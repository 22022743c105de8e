"""Which key goes to which server: a key is sent to the host that it is meant for and to none other.

    OPENAI_API_KEY                      to OpenAI's own hosts
    XLINGUAL_KEY_API_EXAMPLE_COM        to api.example.com: letters and digits as they are, all else "_"
    XLINGUAL_KEY_GPU7_8000              to gpu7:8000
    --key-env NAME                      the variable NAME, to the server of this command
    --header "NAME: VALUE"              whatever else a gateway wants

Keys are read when they are used and kept nowhere.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from xlingual.errors import AuthError, UsageError
from xlingual.redaction import MASK, environment_secrets, is_secret, redact

from .address import Address

KEY_VARIABLE = "OPENAI_API_KEY"
HOST_VARIABLE = "XLINGUAL_KEY_"
"""What the names of variables with the key of one host begin with."""
NO_KEY = "none"
"""Sent to servers that ask for no key: the client refuses to send nothing."""
SHORTEST_SECRET = 8
"""Characters of the value of a header; masking shorter ones (`true`) would only make messages unreadable."""
OURS = frozenset({
    "host", "content-length", "content-type", "content-encoding", "transfer-encoding", "accept-encoding", "connection",
    "expect", "te", "trailer", "upgrade", "keep-alive",
})  # fmt: skip
"""Headers that follow from the request and its body; with others the server could not read it, nor we the answer."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a server is shown, and what no message may show."""

    key: str | None = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    """Longest first."""
    named: tuple[str, ...] = field(default=(), repr=False)
    """Those which are secret by their name, longest first: other headers may hold words that answers hold as well."""

    def mask(self, body: bytes) -> bytes:
        """Return what a server sent without the keys that it was shown: some gateways quote requests."""
        for secret in self.named:
            body = body.replace(secret.encode(), MASK.encode())
        return body


def host_variables(address: Address) -> tuple[str, ...]:
    """Return the names of the variables that hold the key of a host, the one with the port first."""
    hosts = dict.fromkeys((address.host, re.sub(r":\d+$", "", address.host)))
    return tuple(HOST_VARIABLE + re.sub(r"[^A-Za-z0-9]+", "_", host).strip("_").upper() for host in hosts)


def key_hint(address: Address, key_env: str | None) -> str:
    """Return what to do where a server wants a key, or another one."""
    if key_env is not None:
        return f"the key is that of ${key_env}, which --key-env names"
    if address.openai:
        return f"set the environment variable {KEY_VARIABLE}"
    kept = f"; {KEY_VARIABLE} is not sent to other hosts than OpenAI's" if os.environ.get(KEY_VARIABLE) else ""
    return f"set {host_variables(address)[-1]}, or name the variable of its key with --key-env NAME{kept}"


def read_key(address: Address, key_env: str | None) -> str | None:
    """Return the key for the server, None where there is none and none is needed.

    Raises AuthError, before anything is sent, where a key is missing or cannot be one; UsageError for what names none.
    """
    if key_env is not None and (not _VARIABLE.fullmatch(key_env) or redact(key_env) != key_env):
        # Whoever gives the key itself must not read it in a message.
        raise UsageError("not the name of an environment variable", where="--key-env", hint="--key-env MY_KEY")
    known = {name.upper(): value.strip() for name, value in os.environ.items()}
    if key_env is not None:
        names: tuple[str, ...] = (key_env,)
    else:
        names = (*host_variables(address), *((KEY_VARIABLE,) if address.openai else ()))
    name = next((each for each in names if known.get(each.upper())), None)
    if name is None:
        if key_env is not None or address.openai:
            what = "needs a key" if key_env is None else f"${key_env} is not set"
            raise AuthError(what, where=address.url, hint=f"set the environment variable {names[-1]}")
        return None
    key = known[name.upper()]
    if not (key.isascii() and key.isprintable()) or " " in key:
        # A header cannot hold it, and the HTTP library's own message would show it.
        raise AuthError(f"${name} holds characters that no key has", where=address.url, hint="set it anew")
    return key


def read_headers(words: Sequence[str]) -> dict[str, str]:
    """Return the headers of words "NAME: VALUE"; UsageError, which shows no value, for a word that is none."""
    found = {}
    for number, word in enumerate(words, start=1):
        name, colon, value = word.partition(":")
        if not colon or not _HEADER_NAME.fullmatch(name.strip()):
            raise UsageError(f"the header number {number} is not NAME: VALUE", where="--header")
        if name.strip().casefold() in OURS:
            raise UsageError(f"{name.strip()} is not for the user to set", where="--header", hint="leave it out")
        value = value.strip()
        if not (value.isascii() and value.isprintable()):
            raise UsageError(f"the value of {name.strip()} holds what no header has", where="--header")
        found[name.strip()] = value
    return found


def read_credentials(address: Address, key_env: str | None, headers: Sequence[str]) -> Credentials:
    """Return what is sent to the server. Raises AuthError and UsageError, before anything is sent."""
    key = read_key(address, key_env)
    found = read_headers(headers)
    if address.authorization and not any(name.casefold() == "authorization" for name in found):
        found["Authorization"] = address.authorization
    values = {part for value in found.values() for part in (value, *value.split()[-1:]) if len(part) >= SHORTEST_SECRET}
    secrets = {*address.secrets(key), *values, *environment_secrets()}
    shown = [*found.items(), *parse_qsl(address.query), ("api_key", key or "")]
    named = {
        value.split()[-1] for name, value in shown if value and (is_secret(name) or name.casefold() == "authorization")
    }
    return Credentials(
        key=key, headers=found, secrets=tuple(sorted(secrets, key=len, reverse=True)),
        named=tuple(sorted((each for each in named if len(each) >= SHORTEST_SECRET), key=len, reverse=True)),
    )  # fmt: skip
