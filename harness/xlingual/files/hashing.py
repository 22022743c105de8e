"""The hash of a file's bytes."""

import hashlib
from pathlib import Path

from ..errors import EnvironmentFault

_BLOCK = 2**20
"""Bytes that are read at once."""


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hex digits; EnvironmentFault where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise EnvironmentFault(f"cannot be read ({error.strerror or error})", where=str(path)) from error
    return digest.hexdigest()
