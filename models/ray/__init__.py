"""Data-parallel evaluation on Ray: `ray:N:SPEC`, N workers each with the model SPEC; `ray:N@GPUS:SPEC` shares GPUs.

cluster   connect to $RAY_ADDRESS, or start a cluster on this machine
pool      the workers: chunks are assigned, dead workers replaced
chunks    which requests go to one worker together
worker    the actor that answers them
"""

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from xlingual import open_model
from xlingual.errors import EnvironmentFault, UsageError
from xlingual.plugin import ExampleAware, Model, ModelOptions, SupportsPromptProof
from xlingual.records import Example, ModelSpec, Request, Response
from xlingual.registry import register_model

from .cluster import Cluster, connect
from .pool import PoolConfig, WorkerPool

WORD = re.compile(r"(?P<workers>\d+)(?:@(?P<gpus>\d+(?:\.\d+)?|\.\d+))?:(?P<inner>.+)", re.DOTALL)
HINT = (
    "ray:N:SPEC, as in ray:4:hf:org/name; ray:N@GPUS:SPEC gives each worker that many GPUs, as in ray:4@0.5:hf:org/name"
)


def _ignore_note(_note: str) -> None:
    """Do nothing with a note."""


@dataclass(slots=True, kw_only=True)
class RayModel:
    """A model on many workers; they start with the first answer and end with `close`."""

    inner: Model
    """The driver's own: it describes the model and counts tokens, and never loads weights."""
    config: PoolConfig
    cluster: Cluster | None = field(default=None, init=False)
    pool: WorkerPool | None = field(default=None, init=False)
    note: Callable[[str], None] = field(default=_ignore_note, init=False)

    @property
    def spec(self) -> ModelSpec:
        """Which model; the number of workers is no part of it, since it changes no answer."""
        return self.inner.spec

    def on_note(self, note: Callable[[str], None]) -> None:
        """Set the function that is called with a note: a worker died, or its model has a note."""
        self.note = note
        if self.pool is not None:
            self.pool.note = note

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        """Return the prompt tokens of each request."""
        return self.inner.count_tokens(requests)

    def prove_prompts(self, requests: Sequence[Request]) -> str | None:
        """Return the hash of the token ids of all prompts, None where the model does not show them."""
        return self.inner.prove_prompts(requests) if isinstance(self.inner, SupportsPromptProof) else None

    def show_prompt(self, request: Request) -> str | None:
        """Return what the model reads, special tokens shown, None where it does not show it."""
        return self.inner.show_prompt(request) if isinstance(self.inner, SupportsPromptProof) else None

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer each request as soon as a worker does.

        Raises what the workers' model raises, and EnvironmentFault where workers do not start or keep dying.
        """
        yield from self.ask(requests, {})

    def ask(self, requests: Sequence[Request], examples: Mapping[str, Example]) -> Iterator[Response]:
        """Answer as `answer` does, by workers that see the examples of the requests."""
        if not requests:
            return
        if self.cluster is None:
            self.cluster = connect(self.config.workers)
        if self.pool is None:
            cluster = self.cluster
            self.pool = WorkerPool(
                config=self.config, threads=cluster.threads, environment=cluster.environment, note=self.note
            )
        yield from self.pool.answer(requests, examples)

    def close(self) -> None:
        """End the workers, and the cluster where it was started here."""
        if self.pool is not None:
            self.pool.close()
            self.pool = None
        if self.cluster is not None:
            self.cluster.close()
            self.cluster = None
        self.inner.close()


@dataclass(slots=True, kw_only=True)
class ExampleRayModel:
    """A RayModel whose workers see the examples: echo and others for tests."""

    model: RayModel
    examples: dict[str, Example] = field(default_factory=dict, init=False)

    @property
    def spec(self) -> ModelSpec:
        """The model of the workers."""
        return self.model.spec

    def see(self, examples: Mapping[str, Example]) -> None:
        """Learn which example stands behind each request key."""
        self.examples.update(examples)

    def on_note(self, note: Callable[[str], None]) -> None:
        """Set the function that is called with a note."""
        self.model.on_note(note)

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        """Return the prompt tokens of each request."""
        return self.model.count_tokens(requests)

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer each request as soon as a worker does."""
        yield from self.model.ask(requests, self.examples)

    def close(self) -> None:
        """End the workers and forget the examples."""
        self.examples.clear()
        self.model.close()


@register_model("ray")
def open_ray(name: str, options: ModelOptions) -> Model:
    """Open `N[@GPUS]:SPEC`: SPEC on N workers of a Ray cluster, $RAY_ADDRESS or this machine; nothing is started yet.

    Raises UsageError for a wrong name, EnvironmentFault where Ray is not installed, and what opening SPEC raises.
    """
    # What comes after the last "@" of a name arrives as a revision, the GPUs of a worker too.
    if options.revision is not None and ":" not in name:
        name, options = f"{name}@{options.revision}", replace(options, revision=None)
    found = WORD.fullmatch(name)
    if found is None or int(found["workers"]) < 1:
        raise UsageError(f"not a number of workers and a model: {name!r}", where="ray", hint=HINT)
    inner_word = found["inner"]
    if inner_word.startswith("ray:"):
        raise UsageError("workers cannot have workers", where="ray", hint=HINT)
    if importlib.util.find_spec("ray") is None:
        raise EnvironmentFault("the package ray is not installed", where="ray", hint="pip install 'ray>=2.50'")
    inner = open_model(inner_word, options)
    config = PoolConfig(
        workers=int(found["workers"]),
        gpus=None if found["gpus"] is None else float(found["gpus"]),
        word=inner_word,
        # Workers with a GPU would choose another dtype than a driver without one.
        options=options if inner.spec.dtype is None else replace(options, dtype=inner.spec.dtype),
        fingerprint=inner.spec.fingerprint,
        has_weights=inner.spec.dtype is not None,
    )
    model = RayModel(inner=inner, config=config)
    return ExampleRayModel(model=model) if isinstance(inner, ExampleAware) else model
