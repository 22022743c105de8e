"""What makes two things the same: canonical JSON, content hashes, and names that are safe as file names."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
"""A value that JSON can hold."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
SLUG_LENGTH = 80


def repair_surrogates(text: str) -> str:
    """Return `text` with every lone surrogate, which UTF-8 cannot hold, replaced by U+FFFD."""
    return _SURROGATE.sub("�", text)


def canonical_json(value: Json) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, no escapes; ValueError for NaN and infinity."""
    return repair_surrogates(
        json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    )


def content_hash(value: Json) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode("utf-8")).hexdigest()


def slug(name: str, identity: str | None = None) -> str:
    """Return a file name for `name`: safe characters, at most 80 of them, never hidden, plus 8 hex digits of a hash.

    The hash is of `name` itself, or the first digits of `identity` where that is given; so two names never share a
    file, and no name (`..`, `C:\\x`, 5,000 characters) leaves the folder that it is put in.
    """
    readable = _UNSAFE.sub("-", name).strip(".-_")[:SLUG_LENGTH].strip(".-_") or "unnamed"
    digits = identity or content_hash(name)
    return f"{readable}-{digits[:8]}"
