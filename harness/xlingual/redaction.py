"""What no message, log or mirror may hold: keys, credentials of URLs, and whatever the environment keeps secret."""

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

MASK = "***"
SHORTEST_SECRET = 8
"""Characters of a value in the environment; masking shorter ones would only make texts unreadable."""

_USER = re.compile(r"(://|https?:/)[^/\s@]*(?:@[^/\s@]*)*@")
_QUERY = re.compile(r"((?:://|https?:/)[^\s?#\"'<>]*)[?#][^\s\"'<>]*")
_SHAPED = re.compile(r"\bsk-[A-Za-z0-9_*.-]{8,}|\bhf_[A-Za-z0-9]{8,}")
_HEADER = re.compile(r"\b((?:bearer|basic)[ \t]+)\S+", re.IGNORECASE)
_NAMED = re.compile(
    r"((?:api[_-]?key|access[_-]?key|auth[_-]?token|token|secret|password|passwd)[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]+",
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(
    r"(^|[^A-Za-z])([a-z]*key|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$|^XLINGUAL_KEY_", re.IGNORECASE
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a message without `secrets`, credentials and queries of URLs, and what looks like a key."""
    return _HEADER.sub(rf"\1{MASK}", _QUERY.sub(rf"\1?{MASK}", redact_document(text, secrets)))


def redact_document(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text that people wrote without `secrets`, credentials of URLs and keys; no plain word is touched."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return _SHAPED.sub(MASK, _USER.sub(rf"\1{MASK}@", text))


def redact_settings(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a setting as `redact` does, and without the value of any `token=...`, `"password": ...` and the like."""
    return _NAMED.sub(rf"\1{MASK}", redact(text, secrets))


def redact_message(text: str) -> str:
    """Return an error, a hint, a note or a traceback without what may be secret: what every message goes through."""
    return redact_settings(text, environment_secrets())


def redact_command(words: Sequence[str]) -> str:
    """Return the words of a command as one line for a shell, without keys, passwords and the values of headers."""
    secrets = environment_secrets()
    shown: list[str] = []
    for place, word in enumerate(words):
        option, equals, value = word.rpartition("--header=") if word.startswith("--header=") else ("", "", word)
        is_header = bool(equals) or (place > 0 and words[place - 1] == "--header")
        if is_header:
            name, colon, _ = value.partition(":")
            value = f"{name}: {MASK}" if colon else MASK
        shown.append(option + equals + redact_settings(value, secrets))
    return shlex.join(shown)


def environment_secrets() -> tuple[str, ...]:
    """Return the values of the environment variables whose names say that they are secret, longest first."""
    found = {value.strip() for name, value in os.environ.items() if is_secret(name)}
    secrets = (value for value in found if len(value) >= SHORTEST_SECRET and not Path(value).is_absolute())
    return tuple(sorted(secrets, key=len, reverse=True))


def is_secret(name: str) -> bool:
    """Return whether the name of a setting or variable says that its value is a secret: `api_key`, `HF_TOKEN`."""
    return _SECRET_NAME.search(name) is not None
