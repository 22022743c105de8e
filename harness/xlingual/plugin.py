"""The protocols that plugins fulfil: a Task yields examples, a Model answers requests, a Metric measures answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from .records import Example, Examples, ModelSpec, Prompt, Request, Response, Statistics, TaskSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FloatArray: TypeAlias = "NDArray[np.float64]"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlace:
    """Where a run may take its data from."""

    folder: Path | None
    """`--data DIR`: original files."""
    sample: bool
    """The packaged sample, and nothing else."""
    offline: bool
    """No network: local files and the cache only."""


class Task(Protocol):
    """A benchmark in one language or direction."""

    @property
    def spec(self) -> TaskSpec:
        """What the task is."""
        ...

    def examples(self, split: str, place: DataPlace) -> Examples:
        """Read a split, in the order of its files. Raises DataError or EnvironmentFault."""
        ...

    def prompt(self, example: Example) -> Prompt:
        """Say what to ask for `example`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationTask:
    """The Task that a spec and two functions make: how to read a split, and what to ask for an example."""

    spec: TaskSpec
    read: Callable[[str, DataPlace], Examples]
    ask: Callable[[Example], Prompt]

    def examples(self, split: str, place: DataPlace) -> Examples:
        """Read a split, in the order of its files."""
        return self.read(split, place)

    def prompt(self, example: Example) -> Prompt:
        """Say what to ask for `example`."""
        return self.ask(example)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """How to load a model; None leaves the choice to the backend."""

    revision: str | None = None
    dtype: str | None = None
    device: str | None = None
    batch_size: int | None = None
    """Rows answered together; no answer depends on it in float32."""
    offline: bool = False
    allow_pickle: bool = False
    trust_remote_code: bool = False
    """Runs code of the model's repository; only together with a 40-hex revision."""
    engine: str | None = None
    """How a local model generates: packed, static or paged."""
    deterministic: bool = False
    """Every answer by itself, whatever it costs, so that none depends on another in any dtype."""


class Model(Protocol):
    """A model that answers requests; batching, devices, retries and concurrency are its own affair."""

    @property
    def spec(self) -> ModelSpec:
        """Which model; known without loading weights."""
        ...

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        """Return the prompt tokens of each request as the model will see it, or None where it cannot be known."""
        ...

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer every request once, in any order, each as soon as it is finished; a failure is a response too."""
        ...

    def close(self) -> None:
        """Free what the model holds; safe to call twice."""
        ...


@runtime_checkable
class ExampleAware(Protocol):
    """A model that is shown the examples behind its requests: the oracle and others for tests, never a real one."""

    def see(self, examples: Mapping[str, Example]) -> None:
        """Take the example of each request key; called before `answer`."""
        ...


@runtime_checkable
class Noting(Protocol):
    """A model that has things to tell while it answers: that memory was short, that a device was lost."""

    def tell(self, note: Callable[[str], None]) -> None:
        """Take the function that takes notes; called before `answer`."""
        ...


class Metric(Protocol):
    """A metric as per-example statistics and an aggregation of their sums, so that every interval is cheap."""

    @property
    def name(self) -> str:
        """As in `TaskSpec.metrics`."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """False for rates of failure."""
        ...

    def missing(self, language: str) -> str | None:
        """Return why the metric cannot be computed for answers in `language` on this machine, or None."""
        ...

    def signature(self, language: str) -> str:
        """Name every choice that changes the number, versions included."""
        ...

    def measure(self, example: Example, response: Response) -> Statistics | None:
        """Return what the answered example adds, or None where it cannot be judged; `response.text` is not None."""
        ...

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn summed statistics, shape (..., k), into scores from 0 to 100, shape (...); NaN where undefined."""
        ...
