"""Tasks, their examples, and what is asked for one, before any template."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..sampling import Sampling
from ..serial import LATER
from .data import DataFile
from .requests import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """What a task is: everything that must be the same for two scores of it to be comparable, but the data."""

    name: str
    """"FAMILY/VARIANT": "xquad/zh", "mlqa/zh-en", "flores101/en-zh"."""
    language: str
    """Code of the language that answers are written in and scored by."""
    prompt_language: str
    """Code of the language of instruction and labels."""
    metrics: tuple[str, ...]
    """Names of metrics; the first is the main one."""
    version: str
    """Goes up whenever prompts, data handling or the choice of examples change."""
    split: str
    shot_split: str | None = None
    """The split that few-shot demonstrations come from; equal to `split`: from groups that are then left out of the
    evaluated examples; None: the task has no few-shot form."""
    max_new_tokens: int
    """0: nothing is generated, for the task has choices."""
    licence: str
    citation: str
    description: str | None = field(default=None, metadata=LATER)
    """One line for lists of tasks."""
    splits: tuple[str, ...] | None = field(default=None, metadata=LATER)
    """The splits that there are; another is refused. None: not known, `examples` decides."""
    source_language: str | None = field(default=None, metadata=LATER)
    """Of a translation: the code of the language that is translated."""
    asked_in: str | None = field(default=None, metadata=LATER)
    """`prompt_language`, where the user chose another than the task's own."""
    variant: str | None = field(default=None, metadata=LATER)
    """The wording of the prompt, where it is not the task's first."""
    system: str | None = field(default=None, metadata=LATER)
    """The system message."""
    stop: tuple[str, ...] | None = field(default=None, metadata=LATER)
    """Ends an answer; None: as the template has it."""
    sampling: Sampling | None = field(default=None, metadata=LATER)
    """How answers are drawn; None: greedily."""
    repeats: int | None = field(default=None, metadata=LATER)
    """How often each question is asked; None: once."""
    extract: str | None = field(default=None, metadata=LATER)
    """What of an answer is scored: see `extraction.py`; None: all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMetric:
    """How a group puts one metric of its tasks together: always as a mean, as lm-eval does."""

    metric: str
    """As the tasks call it: "acc"."""
    filters: tuple[str, ...] | None
    """The answers of which filters are put together, each by itself; None: of all that a task has."""
    weight_by_size: bool
    """Whether a task counts by its examples; else all tasks count the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskGroup:
    """Tasks with a score of their own for all of them, as lm-eval's groups have."""

    name: str
    """"FAMILY/GROUP", as of a task."""
    version: str
    members: tuple[str, ...]
    """Names of the tasks, those of groups inside it among them."""
    metrics: tuple[GroupMetric, ...]
    """At least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message of a conversation in training text."""

    role: Role
    text: str
    is_learnt: bool
    """Whether it is an answer that is learnt; else it is what other answers are given to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One item of a task: scored by run, learnt by tune."""

    id: str
    language: str
    """Code of the language of the answer."""
    group: str
    """Article or document: few-shot demonstrations never share one with an evaluated example."""
    cluster: str
    """Paragraph or sentence: the unit that the bootstrap draws."""
    fields: Mapping[str, str]
    """The texts that prompts are made of: context and question, or source."""
    targets: tuple[str, ...]
    """The accepted answers, at least one; () for an open instruction, none of whose metrics needs any."""
    choices: tuple[str, ...] | None = field(default=None, metadata=LATER)
    """What may be answered, the targets among it; None: anything."""
    demonstration: str | None = field(default=None, metadata=LATER)
    """What a demonstration shows as the answer, a rationale with its result; None: the first target."""
    shared: Mapping[str, str] | None = field(default=None, metadata=LATER)
    """Further texts that the prompt is made of and many examples have: the subject, the options of a question. Unlike
    `fields`, they do not tell that a demonstration gives an evaluated example away."""
    turns: tuple[Turn, ...] | None = field(default=None, metadata=LATER)
    """A whole conversation, of training text: `targets` are its learnt answers, in order, `fields` its other messages.
    None: a question and one answer."""

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that are learnt or learnt from, in order."""
        if self.turns is not None:
            return tuple(turn.text for turn in self.turns)
        return (*self.fields.values(), *self.targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """The examples of one split and the files they were read from."""

    rows: tuple[Example, ...]
    files: tuple[DataFile, ...]
    skipped: int = 0
    """Entries of the files that hold nothing to ask or to learn: an empty side, no translation, no gold answer."""
    unanswered: int = 0
    """Of `skipped`, entries without an answer."""
    scores: tuple[float, ...] | None = field(default=None, metadata=LATER)
    """What the files give each row, as alignment scores of mined pairs; None: they give none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What is asked, before any template: an instruction and an input of which only the passage may be cut."""

    instruction: str
    before: str
    """The input up to the passage."""
    passage: str
    """Cut from its end where the context window is too small; "" where nothing may be cut."""
    after: str
    """The rest of the input: the question and the answer cue, or the sentence to translate."""
    choices: tuple[str, ...] | None = field(default=None, metadata=LATER)
    """The answers to be scored; None: an answer is to be generated."""
    system: str | None = field(default=None, metadata=LATER)
    """The system prompt of a row of training text; None: it has none."""
    history: tuple[tuple[str, str], ...] | None = field(default=None, metadata=LATER)
    """Earlier turns of its chat, each what the user and the assistant said; None: it has none."""

    @property
    def input(self) -> str:
        """The whole input."""
        return self.before + self.passage + self.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """A solved example shown before the question."""

    id: str
    prompt: Prompt
    answer: str
