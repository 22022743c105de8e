"""Task families that are TOML files, as the registry sees them: found by name, read when they are asked for."""

import importlib
from collections.abc import Sequence
from pathlib import Path

PACKAGE = "xlingual.declared"
"""What reads them stands above the registry, which knows it by name only, as it knows plugins."""


def find_toml_tasks(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Return the TOML files in folders of tasks by the name of their family, the file's stem with "_" for "-".

    A name that several files have is an error of that name only, so all of them are returned.
    """
    found: dict[str, list[Path]] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem.replace("-", "_"), []).append(path)
    return found


def load_toml_task(path: Path, module: str) -> None:
    """Read a file and register its family, as importing the Python file `module` would; DataError for what is wrong."""
    importlib.import_module(PACKAGE).load_family(path, module)
