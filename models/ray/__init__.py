"""Data-parallel evaluation on Ray: `ray:N:SPEC`, N workers each with the model SPEC; `ray:N@GPUS:SPEC` shares GPUs."""

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from xlingual import open_model
from xlingual.errors import EnvironmentFault, UsageError
from xlingual.plugin import ExampleAware, Model, ModelOptions
from xlingual.records import Example, ModelSpec, Request, Response
from xlingual.registry import register_model

from .cluster import Cluster, connect
from .pool import PoolConfig, WorkerPool

WORD = re.compile(r"(?P<workers>\d+)(?:@(?P<gpus>\d+(?:\.\d+)?|\.\d+))?:(?P<inner>.+)", re.DOTALL)
HINT = (
    "ray:N:SPEC, as in ray:4:hf:org/name; ray:N@GPUS:SPEC gives each worker that many GPUs, as in ray:4@0.5:hf:org/name"
)


def _take_no_note(_note: str) -> None:
    """Nobody listens."""


@dataclass(slots=True, kw_only=True)
class RayModel:
    """A model on many workers; they start with the first answer and end with `close`."""

    inner: Model
    """The driver's own, which describes and counts but never loads weights."""
    config: PoolConfig
    cluster: Cluster | None = field(default=None, init=False)
    pool: WorkerPool | None = field(default=None, init=False)
    note: Callable[[str], None] = field(default=_take_no_note, init=False)

    @property
    def spec(self) -> ModelSpec:
        """The model of the workers: who computed an answer does not change it."""
        return self.inner.spec

    def on_note(self, note: Callable[[str], None]) -> None:
        """Take the function that is told of dead workers, and what the workers' models tell."""
        self.note = note
        if self.pool is not None:
            self.pool.note = note

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        """Return the prompt tokens of each request."""
        return self.inner.count_tokens(requests)

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer each request as soon as a worker does.

        Raises what the workers' model raises, and EnvironmentFault where workers do not start or keep dying.
        """
        yield from self.ask(requests, {})

    def ask(self, requests: Sequence[Request], examples: Mapping[str, Example]) -> Iterator[Response]:
        """Answer as above, for workers that are to be shown the examples behind the requests."""
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
        """End the workers, and the cluster where it is ours."""
        if self.pool is not None:
            self.pool.close()
            self.pool = None
        if self.cluster is not None:
            self.cluster.close()
            self.cluster = None
        self.inner.close()


@dataclass(slots=True, kw_only=True)
class ExampleRayModel:
    """A RayModel of workers that look at examples: echo and others for tests."""

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
        """Hand on who takes notes."""
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

    Raises UsageError for a wrong word, EnvironmentFault where Ray is not installed, and what SPEC raises.
    """
    # What stands behind the last "@" of a word arrives as a revision, the GPUs of a worker too.
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
        # A driver without a GPU must not be answered in another dtype by workers that have one.
        options=options if inner.spec.dtype is None else replace(options, dtype=inner.spec.dtype),
        fingerprint=inner.spec.fingerprint,
        has_weights=inner.spec.dtype is not None,
    )
    model = RayModel(inner=inner, config=config)
    return ExampleRayModel(model=model) if isinstance(inner, ExampleAware) else model
