"""What tells one inference server from another: where it is installed, how it is started, what changes its answers."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlingual.data import cache_folder
from xlingual.errors import EnvironmentFault

ASK_SECONDS = 60.0
"""For an interpreter to say which version of a package it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a command line is made of."""

    python: str
    model: Path
    """The folder of the weights."""
    name: str
    """What requests call the model."""
    port: int
    dtype: str
    device: str | None
    trust_remote_code: bool
    more: tuple[str, ...]
    """The user's own arguments, last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An inference server."""

    name: str
    """Of the backend."""
    package: str
    requirements: tuple[str, ...]
    """What an environment of its own needs, as pip takes it."""
    command: Callable[[Launch], list[str]]
    named_by_path: bool
    """Whether requests call the model by its folder."""
    dtype: str | None
    """Where the user names none; None: as the hf backend decides."""
    neutral: frozenset[str]
    """Arguments that do not change which model answers: how it is spread, and how much memory it takes."""
    most: int
    """Requests at once."""
    health: str = "/health"


def find_python(engine: Engine, chosen: str | None) -> tuple[str, str]:
    """Return the interpreter whose environment has the engine, and the engine's version.

    `chosen` by the user, else $XLINGUAL_NAME_PYTHON, else the environment in the cache, else our own. EnvironmentFault
    with the commands that make an environment where none has it.
    """
    variable = f"XLINGUAL_{engine.name.upper()}_PYTHON"
    home = cache_folder() / "environments" / engine.name
    named = chosen or os.environ.get(variable, "").strip()
    places = [named] if named else [str(home / "bin" / "python"), sys.executable]
    for python in places:
        version = _version(python, engine.package)
        if version is not None:
            return python, version
    what = f"{named} has no package {engine.package}" if named else f"the package {engine.package} is not installed"
    install = " ".join(f"'{each}'" for each in engine.requirements)
    hint = (
        f"python3 -m venv {home} && {home / 'bin' / 'pip'} install {install}; or name an interpreter: {variable}=PATH"
    )
    raise EnvironmentFault(what, where=engine.name, hint=hint)


def _version(python: str, package: str) -> str | None:
    program = f"import importlib.metadata, json; print(json.dumps(importlib.metadata.version({package!r})))"
    try:
        finished = subprocess.run(  # noqa: S603 - an interpreter that the user has named
            [python, "-c", program], capture_output=True, text=True, timeout=ASK_SECONDS, check=True
        )
        version = json.loads(finished.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    return version if isinstance(version, str) else None


def telling_arguments(engine: Engine, more: Sequence[str]) -> list[str]:
    """Return the user's arguments without those that do not change which model answers."""
    kept: list[str] = []
    skipping = False
    for word in more:
        if word.startswith("-"):
            skipping = word.partition("=")[0] in engine.neutral
        if not skipping:
            kept.append(word)
    return kept
