"""What a task fulfils: it yields examples, says what to ask for one, and may do more."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from ..errors import DataError, UsageError
from ..records import Example, Examples, Prompt, Request, Response, Statistics, TaskGroup, TaskSpec


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
