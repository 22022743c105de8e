"""The folder of everything that is downloaded or made once; and where a path leads to."""

import os
from pathlib import Path

from ..errors import EnvironmentFault


def cache_folder() -> Path:
    """Return `$XLINGUAL_CACHE`, else `$XDG_CACHE_HOME/xlingual`, else `~/.cache/xlingual`.

    EnvironmentFault where there is no home folder.
    """
    if word := os.environ.get("XLINGUAL_CACHE"):
        return Path(word).expanduser()
    if word := os.environ.get("XDG_CACHE_HOME"):
        return Path(word).expanduser() / "xlingual"
    try:
        return Path.home() / ".cache" / "xlingual"
    except RuntimeError as error:
        raise EnvironmentFault("no home folder", where="cache", hint="set XLINGUAL_CACHE to a folder") from error


def real_path(path: Path) -> Path:
    """Return where `path` leads to; `Path.resolve` raises RuntimeError for a link to itself, which is read as no file.

    Before Python 3.13, that is.
    """
    return Path(os.path.realpath(path))
