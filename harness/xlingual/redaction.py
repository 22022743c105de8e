"""What no message, log or mirror may hold: keys, credentials of URLs, and whatever the environment keeps secret.

    redact_document   texts that people wrote: tokens of known forms, passwords in URLs, long values of `token=...`
    redact            and queries of URLs, and what stands behind "Bearer" and the like
    redact_settings   and the value of any `token=...`, however short
    redact_message    and the values of secret variables: what every message goes through

How tokens look is in `secret_forms`.
"""

import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus, unquote

from .secret_forms import TOKEN

MASK = "***"
SHORTEST_SECRET = 8
"""Characters of a value in the environment; masking shorter ones would only make texts unreadable."""

_LONGEST = 2000
"""Characters of one address or value that are looked at: a text of eight megabytes must not take hours."""
_URL = r"(?:://|https?:/)[^\s?#\"'<>]{0,500}"
_USER = re.compile(r"(://|https?:/)[^/\s@]*(?:@[^/\s@]*)*@")
_USER_WITH_SLASHES = re.compile(r"(://)[^\s/@:\"'<>\[]{1,200}:(?!\d*/)[^\s@\"'<>]{1,200}@")
_USER_ESCAPED = re.compile(
    r"((?::|%(?:25)*3A)(?:\\{1,4}/|%(?:25)*2F){2})(?:(?!%(?:25)*2F)[^\s/\"'<>]){0,300}(?:@|%(?:25)*40)", re.IGNORECASE
)
_USER_OF_HOST = re.compile(
    r"((?<![\w:])//|(?<![\w:/.@-])(?=[\w.+%-]{1,60}:[^\s/@:\"'<>]{1,200}@[\w.-]{1,200}:\d)|\bhost=[\"'])"
    r"[\w.+%-]{1,60}:[^\s/@:\"'<>]{1,200}@(?=[\w.\[-])"
)
"""Without a scheme: `//user:password@host`, `user:password@proxy:3128`, `host='user:password@host'`."""
_QUERY = re.compile(rf"({_URL})[?#][^\s\"'<>]*")

_BETWEEN = (
    r"(?:\\*[\"']?\s*(?:=>|->|[=:]|%(?:25)*3[AD])\s*|\\*[\"']\s*,\s*(?=[bru]{0,2}\\*[\"']))"
    r"(?:[bru]{0,2}(?=\\*[\"']))?"
)
"""Between a name and its value: `=`, `": "`, `\\": \\"`, `', b'`, `%3D`."""
_QUOTED = rf"(?P<quote>\\*[\"'])(?P<quoted>(?:(?!(?P=quote))(?:\\.|[^\n])){{0,{_LONGEST}}})(?P=quote)"
_NEXT = r"\s*[\w.-]{1,60}\s*[=:]"
_PLAIN = rf"\\*[\"']?(?P<plain>(?:[,&](?=\S)(?!{_NEXT})|(?!%(?:25)*26)[^\s\"',;&\\]){{1,{_LONGEST}}})"
_NAMES = (
    r"(?:api|access|auth|account|client|shared|private|secret|signing|encryption|storage|master)[_ -]?key|[a-z]-key"
    r"|token|secret|passw(?:or)?d|passphrase|credentials?"
)
_NAMED = re.compile(rf"(?P<name>(?:{_NAMES}){_BETWEEN})(?:{_QUOTED}|{_PLAIN})", re.IGNORECASE)
_NAMED_SHORTLY = re.compile(
    rf"(?P<name>(?:(?<![A-Za-z0-9])(?:key|pass|pw|pwd|sig|sid|session_?id|auth)(?==|%(?:25)*3D)"
    rf"|(?<![A-Za-z0-9])[A-Z][A-Z0-9]{{0,40}}(?:_[A-Z0-9]{{1,40}}){{0,6}}_(?:KEY|PAT|PASS|PWD|AUTH)){_BETWEEN})"
    rf"(?:{_QUOTED}|{_PLAIN})"
)
"""`?key=`, `sig=`, `KAGGLE_KEY=`: words that are no secret with a colon, or in the middle of a sentence."""
_TOLD = re.compile(
    r"\b(?P<name>(?:api[ _-]?key|password|passphrase|secret|token|credential)s?(?: [a-z]{1,12}){0,2}:?[ \t]+[\"'`]?)"
    r"(?=[^\s\"'`]{0,200}\d)(?=[^\s\"'`]{0,200}[A-Za-z])[^\s\"'`]{12,}",
    re.IGNORECASE,
)
"""`Incorrect API key provided: 0123456789ab`; `password hunter2hunter2`, as a .netrc has it."""
_OPTION = re.compile(
    r"(?<![\w-])(?P<name>--?[A-Za-z-]{0,40}(?:key|token|secret|password|passwd)[ \t]+)(?!-)\S+", re.IGNORECASE
)
_SCHEME = r"(?:bearer|basic|token|apikey|negotiate|ntlm)"
_AUTHORIZATION = re.compile(
    rf"(?P<name>authorization{_BETWEEN}(?:\\*[\"'])?(?:{_SCHEME}(?:\s+|%20))?)"
    r"(?:(?:digest|aws4[\w-]*)\s[^\n]{1,2000}|[^\s\"'<>,;\\]+)",
    re.IGNORECASE,
)
_COOKIE = re.compile(
    rf"(?P<name>(?<![A-Za-z])(?:set-)?cookie{_BETWEEN})(?:{_QUOTED}|(?P<plain>[^\n\"']{{1,{_LONGEST}}}))", re.IGNORECASE
)
_HEADER = re.compile(
    r"\b(?P<name>bearer(?:\s+|%20|\s*[:=]\s*)|basic(?:[ \t]+|%20))(?P<plain>[^\s\"'<>,;\\]+)", re.IGNORECASE
)
_SECRET_NAME = re.compile(
    r"(^|[^A-Za-z])([a-z]*key|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)(_?\d{1,3})?$|^XLINGUAL_KEY_",
    re.IGNORECASE,
)
_SECRET_VARIABLE = re.compile(
    r"(^|_)(API_?KEY|TOKEN|SECRETS?|PASSWORD|PASSWD|PASS|PAT|CREDS|COOKIE)(_|\d|$)|_AUTH$", re.IGNORECASE
)
"""Names of variables say more than names of settings: there is no `token_count` among them that anybody would miss."""
_SERVER_ARGUMENT = "--server-arg"
_WITH_VALUES = ("--header=", f"{_SERVER_ARGUMENT}=")
_PASSWORD_OF_URL = re.compile(r"://[^/\s@:]*:([^\s]+)@")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a message without `secrets`, credentials and queries of URLs, and what looks like a key."""
    text = _QUERY.sub(rf"\1?{MASK}", redact_document(text, secrets))
    for pattern in (_AUTHORIZATION, _HEADER):
        text = pattern.sub(rf"\g<name>{MASK}", text)
    return _USER_OF_HOST.sub(rf"\1{MASK}@", text)


def redact_document(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text that people wrote without `secrets`, credentials of URLs and keys; no plain word is touched."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    for pattern in (_USER, _USER_WITH_SLASHES, _USER_ESCAPED):
        text = pattern.sub(rf"\1{MASK}@", text)
    text = TOKEN.sub(MASK, text)
    for pattern in (_NAMED, _NAMED_SHORTLY, _HEADER):
        text = pattern.sub(_mask_long, text)
    return text


def redact_settings(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a setting as `redact` does, and without the value of any `token=...`, `"password": ...` and the like."""
    text = redact(text, secrets)
    for pattern in (_NAMED, _NAMED_SHORTLY, _COOKIE):
        text = pattern.sub(_mask_value, text)
    for pattern in (_TOLD, _OPTION):
        text = pattern.sub(rf"\g<name>{MASK}", text)
    return text


def redact_message(text: str) -> str:
    """Return an error, a hint, a note or a traceback without what may be secret: what every message goes through."""
    return redact_settings(text, environment_secrets())


def redact_name(name: str) -> str:
    """Return the name of a model as tables and folders have it: the same on every machine, whatever is set there."""
    return redact(name) if "://" in name else redact_document(name)


def redact_command(words: Sequence[str]) -> str:
    """Return the words of a command as one line for a shell, without keys, passwords and the values of headers."""
    secrets = environment_secrets()
    shown: list[str] = []
    named = ""
    for word in words:
        start = next((each for each in _WITH_VALUES if word.startswith(each)), "")
        value = word[len(start) :]
        if "--header" in (named, start[:-1]):
            name, colon, _ = value.partition(":")
            value = f"{name}: {MASK}" if colon else MASK
        elif named.startswith("--") and not value.startswith("-") and is_secret(named):
            value = MASK
        # `--server-arg --api-key --server-arg KEY`: the option in between says nothing.
        named = named if word == _SERVER_ARGUMENT else value
        shown.append(start + redact_settings(value, secrets))
    return shlex.join(shown)


def environment_secrets() -> tuple[str, ...]:
    """Return the values of the environment variables that are secret, in all their forms, longest first.

    Secret are those whose names say so, and the passwords in addresses, such as those of proxies.
    """
    found: set[str] = set()
    for name, value in os.environ.items():
        if (is_secret(name) or _SECRET_VARIABLE.search(name)) and not os.path.lexists(value):
            found.update((value.strip(), *value.split()[-1:]))
        if password := _PASSWORD_OF_URL.search(value):
            found.update((password[1], unquote(password[1])))
    secrets = {form for value in found for form in _forms(value) if len(value) >= SHORTEST_SECRET}
    return tuple(sorted(secrets, key=len, reverse=True))


def is_secret(name: str) -> bool:
    """Return whether the name of a setting or variable says that its value is a secret: `api_key`, `HF_TOKEN`."""
    return _SECRET_NAME.search(name) is not None


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it stands, and as addresses, JSON and Python show it."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield repr(secret)[1:-1]
    with_bytes = secret.encode("utf-8", "surrogateescape")
    yield from (quote(with_bytes, safe=""), quote(with_bytes), quote_plus(with_bytes))


def _mask_value(found: re.Match[str]) -> str:
    """Return a name and the mask in place of its value, in the same quotes."""
    mark = found.groupdict().get("quote") or ""
    return f"{found['name']}{mark}{MASK}{mark}"


def _mask_long(found: re.Match[str]) -> str:
    """Return what `_mask_value` does, for a value of sixteen characters, with a digit and a letter, and no blank."""
    value = found["plain"] or found.groupdict().get("quoted") or ""
    is_word = len(value) < 16 or " " in value or not re.search(r"\d", value) or not re.search(r"[A-Za-z]", value)
    return found[0] if is_word else _mask_value(found)
