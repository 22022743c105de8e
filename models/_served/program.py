"""What tells one inference server from another: what it is called, how it is started, what changes its answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOptions:
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
class ServerProgram:
    """An inference server."""

    name: str
    """Of the backend."""
    package: str
    """What an environment that has the engine has, by the name that pip knows."""
    command: Callable[[LaunchOptions], list[str]]
    named_by_path: bool
    """Whether requests call the model by its folder."""
    dtype: str | None
    """Where the user names none; None: as the hf backend decides."""
    neutral: frozenset[str]
    """Arguments that do not change which model answers: how it is spread, and how much memory it takes."""
    most: int
    """Requests at once."""
    health: str = "/health"


def telling_arguments(program: ServerProgram, more: Sequence[str]) -> list[str]:
    """Return the user's arguments without those that do not change which model answers."""
    kept: list[str] = []
    skipping = False
    for word in more:
        if word.startswith("-"):
            skipping = word.partition("=")[0] in program.neutral
        if not skipping:
            kept.append(word)
    return kept
