"""A server program: its name, its command line, and which of its arguments change its answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOptions:
    """What a command line is built from."""

    python: str
    model: Path
    """The folder of the weights."""
    name: str
    """What requests call the model."""
    port: int
    dtype: str
    device: str | None
    trust_remote_code: bool
    max_model_len: int | None
    """None: the model's own."""
    extra_arguments: tuple[str, ...]
    """The user's, last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProgram:
    """A program that serves a model over HTTP."""

    name: str
    """Of the backend."""
    package: str
    """Its name for pip."""
    command: Callable[[LaunchOptions], list[str]]
    named_by_path: bool
    """Whether requests call the model by its folder."""
    dtype: str | None
    """Where the user names none; None: as the hf backend decides."""
    neutral: frozenset[str]
    """Arguments that change no answer: parallelism and memory."""
    max_concurrency: int
    """Requests at once."""
    health: str = "/health"


def identifying_arguments(program: ServerProgram, arguments: Sequence[str]) -> list[str]:
    """Return the user's arguments without those that change no answer."""
    kept: list[str] = []
    skipping = False
    for word in arguments:
        if word.startswith("-"):
            skipping = word.partition("=")[0] in program.neutral
        if not skipping:
            kept.append(word)
    return kept
