"""Virtual environments of server programs: found, or made on request from a pinned requirements file."""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from xlingual.data import cache_folder
from xlingual.errors import EnvironmentFault

REQUIREMENTS = Path(__file__).parent / "requirements"
"""NAME.txt for each server program, for pip."""
MAKE = "make"
"""Instead of the path of an interpreter: make the environment where there is none."""
UNFINISHED = ".unfinished"
"""A file in the folder of an environment while it is being made; without it, the environment is complete."""
VERSION_SECONDS = 60.0
"""For an interpreter to print which version of a package it has."""


def find_python(name: str, package: str, chosen: str | None) -> tuple[str, str]:
    """Return the interpreter whose environment has `package` of the server program `name`, and the package's version.

    `chosen` by the user, else $XLINGUAL_NAME_PYTHON, else the environment in the cache, else our own; with "make", the
    one in the cache is made where it is missing. EnvironmentFault where none has the package, or it cannot be made.
    """
    variable = f"XLINGUAL_{name.upper()}_PYTHON"
    home = cache_folder() / "environments" / name
    named = chosen or os.environ.get(variable, "").strip()
    if named == MAKE:
        named = str(_python_of(home))
        if version := _version_at(home, package):
            return named, version
        make_environment(home, REQUIREMENTS / f"{name}.txt", where=name)
    candidates = [named] if named else [*([str(_python_of(home))] if _is_complete(home) else []), sys.executable]
    for python in candidates:
        version = _version(python, package)
        if version is not None:
            return python, version
    what = f"{named} has no package {package}" if named else f"the package {package} is not installed"
    by_hand = f"python3 -m venv {home} && {home / 'bin' / 'pip'} install -r {REQUIREMENTS / f'{name}.txt'}"
    hint = f"--server-python {MAKE} does this: {by_hand}; or name an interpreter: {variable}=PATH"
    raise EnvironmentFault(what, where=name, hint=hint)


def make_environment(home: Path, requirements: Path, *, where: str) -> None:
    """Make a virtual environment with what the file names; an unfinished one is made again.

    Raises EnvironmentFault, and leaves nothing behind, where that fails. The output of pip goes to stderr.
    """
    unfinished = home / UNFINISHED
    try:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        unfinished.touch()
        venv.create(home, with_pip=True)
        command = [str(_python_of(home)), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        finished = subprocess.run(  # noqa: S603 - the interpreter of the environment just made
            [*command, "-r", str(requirements)], stdout=2, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(home, ignore_errors=True)
        raise EnvironmentFault(
            f"cannot be made: {error}", where=str(home), hint="$XLINGUAL_CACHE names a place"
        ) from error
    if finished.returncode != 0:
        shutil.rmtree(home, ignore_errors=True)
        what = f"pip ended with code {finished.returncode}, as it says above"
        raise EnvironmentFault(what, where=where, hint=f"make it by hand from {requirements} and name its interpreter")
    unfinished.unlink()


def _python_of(home: Path) -> Path:
    return home / "bin" / "python"


def _is_complete(home: Path) -> bool:
    return home.is_dir() and not (home / UNFINISHED).exists()


def _version_at(home: Path, package: str) -> str | None:
    return _version(str(_python_of(home)), package) if _is_complete(home) else None


def _version(python: str, package: str) -> str | None:
    program = f"import importlib.metadata, json; print(json.dumps(importlib.metadata.version({package!r})))"
    try:
        finished = subprocess.run(  # noqa: S603 - an interpreter that the user has named
            [python, "-c", program], capture_output=True, text=True, timeout=VERSION_SECONDS, check=True
        )
        version = json.loads(finished.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    return version if isinstance(version, str) else None
