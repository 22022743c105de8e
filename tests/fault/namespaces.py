"""Namespaces of Linux: disks and networks of a process's own, where the machine allows them."""

import functools
import subprocess

import pytest


@functools.cache
def unshare(*kinds: str) -> tuple[str, ...]:
    """Return the words that put a command into namespaces of its own; skip the test where that is not allowed."""
    for more in ((), ("--user", "--map-root-user")):
        words = ("unshare", *more, *kinds)
        try:
            tried = subprocess.run([*words, "true"], capture_output=True, check=False, timeout=60)
        except OSError:
            pytest.skip("there is no `unshare` here")
        if tried.returncode == 0:
            return words
    pytest.skip(f"{' '.join(kinds)}: no such namespace is allowed here")
