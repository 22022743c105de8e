"""What a record says of its making: the versions of packages, and the time."""

import importlib.metadata
import platform
import time
from collections.abc import Sequence


def installed_versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of Python and of those `packages` that are installed, as they are now."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def timestamp() -> str:
    """Return the time in UTC, to the second: "2026-01-31T12:00:00Z"."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
