"""The protocols that plugins fulfil.

A Task yields examples, a Model answers requests, a Metric measures answers, a Source yields examples to learn from.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from .errors import DataError, UsageError
from .records import (
    Corpus,
    Example,
    Examples,
    Failure,
    ModelSpec,
    Prompt,
    Request,
    Response,
    Statistics,
    TaskGroup,
    TaskSpec,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FloatArray: TypeAlias = "NDArray[np.float64]"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
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

    def examples(self, split: str, data_source: DataSource) -> Examples:
        """Read a split, in the order of its files. Raises DataError or EnvironmentFault."""
        ...

    def prompt(self, example: Example) -> Prompt:
        """Say what to ask for `example`."""
        ...


Asking: TypeAlias = Callable[[Example], Prompt]
OWN_VARIANT = "own"
"""The name of a task's first wording."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationTask:
    """The Task that a spec and two functions make: how to read a split, and what to ask for an example."""

    spec: TaskSpec
    read: Callable[[str, DataSource], Examples]
    ask: Asking
    wordings: Mapping[tuple[str, str], Asking] = field(default_factory=dict)
    """What to ask otherwise, by the language of the instruction and the name of the wording, "own" for the first."""

    def examples(self, split: str, data_source: DataSource) -> Examples:
        """Read a split, in the order of its files."""
        return self.read(split, data_source)

    def prompt(self, example: Example) -> Prompt:
        """Say what to ask for `example`."""
        return self.ask(example)

    def prompt_languages(self) -> tuple[str, ...]:
        """Return the languages that the instruction is there in, the task's own first."""
        return tuple(dict.fromkeys([self.spec.prompt_language, *(language for language, _ in self.wordings)]))

    def variants(self) -> tuple[str, ...]:
        """Return the names of the wordings, the task's own first."""
        return tuple(dict.fromkeys([OWN_VARIANT, *(variant for _, variant in self.wordings)]))

    def reword(self, *, prompt_language: str | None, variant: str | None) -> "GenerationTask":
        """Return the task in other words; UsageError where it does not have both together."""
        spec, ask = reword_spec(self.spec, self.ask, self.wordings, (prompt_language, variant))
        return replace(self, spec=spec, ask=ask)


def reword_spec(
    spec: TaskSpec, ask: Asking, wordings: Mapping[tuple[str, str], Asking], chosen: tuple[str | None, str | None]
) -> tuple[TaskSpec, Asking]:
    """Return spec and question of a task in the `chosen` language and wording; None stands for its own.

    Raises UsageError for a language that the wording is not there in.
    """
    language, variant = chosen[0] or spec.prompt_language, chosen[1] or OWN_VARIANT
    if (language, variant) == (spec.prompt_language, OWN_VARIANT):
        return spec, ask
    if (language, variant) not in wordings:
        known = ", ".join(dict.fromkeys(each for each, name in wordings if name == variant))
        what = f"{spec.name} has no wording {variant!r} with an instruction in {language}"
        raise UsageError(what, where="--prompt-language", hint=f"it is there in {known}" if known else "")
    named = None if variant == OWN_VARIANT else variant
    asked_in = None if language == spec.prompt_language else language
    return replace(spec, prompt_language=language, asked_in=asked_in, variant=named), wordings[language, variant]


class Source(Protocol):
    """A format of text to learn from; what it asks goes through the same templates as what a Task asks."""

    def examples(self, corpus: Corpus, data_source: DataSource) -> Examples:
        """Read the corpus in the order of its files. Raises DataError, UsageError or EnvironmentFault."""
        ...

    def prompt(self, corpus: Corpus, example: Example, number: int) -> Prompt:
        """Say what to ask for `example`, the one with that `number` in the corpus, counted from 0."""
        ...


Asker: TypeAlias = Callable[[Corpus, Example, int], Prompt]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSource:
    """The Source that two functions make: how to read a corpus, and what to ask for an example of it."""

    read: Callable[[Corpus, DataSource], Examples]
    ask: Asker

    def examples(self, corpus: Corpus, data_source: DataSource) -> Examples:
        """Read the corpus in the order of its files."""
        return self.read(corpus, data_source)

    def prompt(self, corpus: Corpus, example: Example, number: int) -> Prompt:
        """Say what to ask for `example`."""
        return self.ask(corpus, example, number)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceTask:
    """The Task whose examples have choices: the answer is the likeliest of them, and nothing is generated."""

    spec: TaskSpec
    read: Callable[[str, DataSource], Examples]
    ask: Callable[[Example], Prompt]
    """The question; the choices are the example's."""
    wordings: Mapping[tuple[str, str], Asking] = field(default_factory=dict)
    """As of a GenerationTask."""

    def examples(self, split: str, data_source: DataSource) -> Examples:
        """Read a split, in the order of its files; DataError where choices are lacking or no target is among them."""
        found = self.read(split, data_source)
        for row in found.rows:
            if row.choices is None or len(set(row.choices)) < 2 or not all(row.choices):
                raise DataError("needs two choices or more, none of them empty", where=f"{self.spec.name} {row.id}")
            if not set(row.targets) & set(row.choices):
                raise DataError("no target is among the choices", where=f"{self.spec.name} {row.id}")
        return found

    def prompt(self, example: Example) -> Prompt:
        """Say what to ask for `example`."""
        return replace(self.ask(example), choices=example.choices)

    def prompt_languages(self) -> tuple[str, ...]:
        """Return the languages that the instruction is there in, the task's own first."""
        return tuple(dict.fromkeys([self.spec.prompt_language, *(language for language, _ in self.wordings)]))

    def variants(self) -> tuple[str, ...]:
        """Return the names of the wordings, the task's own first."""
        return tuple(dict.fromkeys([OWN_VARIANT, *(variant for _, variant in self.wordings)]))

    def reword(self, *, prompt_language: str | None, variant: str | None) -> "ChoiceTask":
        """Return the task in other words; UsageError where it does not have both together."""
        spec, ask = reword_spec(self.spec, self.ask, self.wordings, (prompt_language, variant))
        return replace(self, spec=spec, ask=ask)


@runtime_checkable
class RewordableTask(Protocol):
    """A Task that can be asked in other words."""

    def prompt_languages(self) -> tuple[str, ...]:
        """Return the codes of the languages that its instruction is there in, its own first."""
        ...

    def variants(self) -> tuple[str, ...]:
        """Return the names of its wordings, its own first."""
        ...

    def reword(self, *, prompt_language: str | None, variant: str | None) -> Task:
        """Return the task in other words, its spec saying so; None leaves its own. UsageError for what there is not."""
        ...


@runtime_checkable
class ExtractingTask(Protocol):
    """A Task with a way of its own to find in an answer what is to be scored; `spec.extract` names it."""

    def extract(self, example: Example, text: str) -> str | None:
        """Return what is to be scored, None where there is nothing."""
        ...


@runtime_checkable
class SelfScoredTask(Protocol):
    """A Task that makes its own requests and scores its own answers, as those of lm-eval do."""

    def request(self, example: Example) -> Request:
        """Return the whole request for `example`, to the letter; the plan gives it its key."""
        ...

    def judge(self, example: Example, response: Response) -> Mapping[str, Statistics]:
        """Return what an answer adds to each metric of the task; a metric left out cannot judge it."""
        ...


@runtime_checkable
class ChatTask(Protocol):
    """A SelfScoredTask whose words can be put through a chat template, as by lm-eval's `--apply_chat_template`."""

    def with_chat(self, *, template: bool, as_turns: bool, system: str | None) -> Task:
        """Return the task asked as chats (`template`), its demonstrations as turns of them, after a system message.

        Without a template the system message stands before the text. UsageError for what the task cannot be asked as.
        """
        ...


@runtime_checkable
class GroupMember(Protocol):
    """A Task that was chosen as one of a group; the groups' own scores are shown with those of the tasks."""

    @property
    def groups(self) -> tuple[TaskGroup, ...]:
        """The groups, those around them as well."""
        ...


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
    server_python: str | None = None
    """The interpreter of the environment that an inference server is installed in."""
    server_args: tuple[str, ...] = ()
    """Further arguments of the server that is started for the model."""
    engine: str | None = None
    """How a local model generates: packed, static or paged."""
    deterministic: bool = False
    """Every answer by itself, whatever it costs, so that none depends on another in any dtype."""
    chat_template: str | None = None
    """The name of one of several chat templates of the tokenizer."""
    thinking_end: str | None = None
    """The text that ends the model's thinking, where its chat template does not tell."""
    max_model_len: int | None = None
    """Tokens of prompt and answer together, where the backend does not know or less is wanted."""
    extra_body: str | None = None
    """JSON object that is merged into every request to a server."""
    headers: tuple[str, ...] = ()
    """"NAME: VALUE", sent with every request to a server."""
    timeout: float | None = None
    """Seconds that a server may take for one answer."""
    concurrency: int | None = None
    """Requests at once to a server."""
    key_env: str | None = None
    """The environment variable that holds the server's key."""


class Model(Protocol):
    """A model that answers requests; batching, devices, retries and concurrency are its own affair."""

    @property
    def spec(self) -> ModelSpec:
        """Which model; known without loading weights."""
        ...

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        """Return the prompt tokens of each request as the model will see it, or None where it cannot be known.

        Those of the longest choice are counted among them.
        """
        ...

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer every request once, in any order, each as soon as it is finished; a failure is a response too.

        A model that cannot score choices answers requests that have them with a Failure.
        """
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
class Trainable(Protocol):
    """A model that can be tuned: its tokens, just as `answer` sees them, and where its weights lie."""

    def prompt_ids(self, requests: Sequence[Request]) -> list[tuple[int, ...] | Failure]:
        """Return the tokens of each prompt, in order, or why there are none."""
        ...

    def answer_ids(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the tokens of each answer as they are to be learnt, encoded apart from any prompt, end token last."""
        ...

    def text_of(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, special ones shown."""
        ...

    def weights(self) -> Path:
        """Return the folder of configuration and weights in the transformers layout, made or fetched where need be."""
        ...

    def tokenizer_files(self) -> Path:
        """Return the folder of the tokenizer's files, chat template included."""
        ...


@dataclass(frozen=True, slots=True)
class Note:
    """A note on its way from a worker process."""

    text: str


@runtime_checkable
class SupportsNotes(Protocol):
    """A model that reports what happens while it answers: that memory was short, that a device was lost."""

    def on_note(self, note: Callable[[str], None]) -> None:
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
        """Return what the answered example adds, or None where it cannot be judged; never called for a failure."""
        ...

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn summed statistics, shape (..., k), into scores from 0 to 100, shape (...); NaN where undefined."""
        ...
