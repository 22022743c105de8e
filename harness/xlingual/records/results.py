"""What is written down of a run: scores, the model, and how it was asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ..sampling import Sampling
from ..serial import LATER
from ..thinking import ThinkingMarkers, ThinkingMode
from .data import DataFile, Origin

Statistics: TypeAlias = tuple[float, ...]
"""What one example adds to a metric: sums of these over examples are all that the metric needs."""

NO_INTERVAL = "none: "
"""Begins `Estimate.interval` where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A metric over a set of examples with its 95% interval."""

    metric: str
    value: float | None
    """0 to 100 unless `bounds` or lm-eval's name of the metric say otherwise; None: not computed, see `reason`."""
    low: float | None
    high: float | None
    n: int
    """Examples that were scored."""
    unscored: int
    """Examples without a score: failed, or beyond what the metric can judge."""
    signature: str
    """Every choice that changes the number."""
    reason: str | None
    """Why there is no value."""
    higher_is_better: bool | None = field(default=None, metadata=LATER)
    """None: the metric is one of xlingual's own, or the record is from before this was written down; ask the metric."""
    bounds: tuple[float | None, float | None] | None = field(default=None, metadata=LATER)
    """Smallest and largest value that there can be, each None where there is none; None: they are 0 and 100."""
    interval: str | None = field(default=None, metadata=LATER)
    """How `low` and `high` were found, or why there are none; None where there is no value or the record is older."""
    clusters: int | None = field(default=None, metadata=LATER)
    """Clusters of scored examples that hang together; None as before."""
    clustered_by: str | None = field(default=None, metadata=LATER)
    """What a cluster is: "group" (an article), "cluster" (a paragraph) or "example"."""
    icc: float | None = field(default=None, metadata=LATER)
    """Estimated intra-class correlation, 0 to 1: how alike the scores of a cluster are. None: not of a rate, or every
    example is a cluster."""
    effective_n: float | None = field(default=None, metadata=LATER)
    """As many independent examples would be as sure; None: not of a rate."""


def no_interval(interval: str | None) -> str | None:
    """Return why an Estimate with this `interval` has none; None where it has one, or is from before that was said."""
    return interval.removeprefix(NO_INTERVAL) if interval is not None and interval.startswith(NO_INTERVAL) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Which model, to the byte where it can be known."""

    word: str
    """As the user typed it."""
    backend: str
    name: str
    revision: str | None
    """The resolved commit; None for local files and servers."""
    fingerprint: str
    """Content hash over weights or commit, tokenizer, chat template and every option that changes answers."""
    dtype: str | None
    template: str
    """The prompt template that suits it: alpaca, chat or raw."""
    context_length: int | None
    """Tokens of prompt and answer together; None where unknown."""
    parent: str | None
    """The base model, where this one was tuned by us, with the recipe and the plan."""
    thinking: ThinkingMarkers | None = field(default=None, metadata=LATER)
    """What its thinking begins and ends with; None: not known, then all known markers count."""
    sampling: Sampling | None = field(default=None, metadata=LATER)
    """What the model's own generation_config recommends; the seed is 0."""
    details: Mapping[str, str] | None = field(default=None, metadata=LATER)
    """What else a reader should know: the name that a server reports, the date that a chat template was given."""
    tuned_thinking: ThinkingMode | None = field(default=None, metadata=LATER)
    """What our tuning asked its chat template for, and evaluation asks for by default; None: as the template has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How a task was put to a model: with the task's data, all that must match for two scores to be compared."""

    task: str
    task_version: str
    split: str
    data: str
    """Content hash of all evaluated examples, so that the same data from another place are the same."""
    n: int
    limit: str | None
    """"1-40": only these examples, counted from 1; such a run is never ranked beside whole ones."""
    prompts: str
    """Content hash of instructions, inputs and demonstrations, before any template or cut."""
    template: str
    """"native" where it is the one that suits the model, else the one that was forced."""
    shots: int
    seed: int | None
    """Of the choice of demonstrations; None where there are none."""
    max_new_tokens: int
    stop: tuple[str, ...] | None
    """None: the template's own."""
    on_overflow: str
    system: str | None = field(default=None, metadata=LATER)
    prompt_language: str | None = field(default=None, metadata=LATER)
    """Of the instruction, where it is not the task's own."""
    variant: str | None = field(default=None, metadata=LATER)
    """Of the prompt, where it is not the task's first."""
    shots_as_text: bool | None = field(default=None, metadata=LATER)
    """True: demonstrations stand in the one message of a chat; None: they are turns of it."""
    sampling: Sampling | None = field(default=None, metadata=LATER)
    """With the run's seed; None: greedy, or the model's own where `sampling_source` says so."""
    sampling_source: str | None = field(default=None, metadata=LATER)
    """"model": each model by what its own configuration recommends, see `ModelSpec.sampling`."""
    sample_seed: int | None = field(default=None, metadata=LATER)
    """Of the sampling that each model recommends."""
    repeats: int | None = field(default=None, metadata=LATER)
    """How often each question was asked; None: once."""
    thinking: ThinkingMode | None = field(default=None, metadata=LATER)
    max_thinking_tokens: int | None = field(default=None, metadata=LATER)
    extract: str | None = field(default=None, metadata=LATER)
    """What of the answers was scored; None: all of it."""


def label_task(name: str, prompt_language: str | None, variant: str | None) -> str:
    """Return "xquad/zh", or "xquad/zh (en, question-first)" where it is asked in other words."""
    words = [word for word in (prompt_language, variant) if word is not None]
    return f"{name} ({', '.join(words)})" if words else name


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCount:
    """How often samples failed in one way."""

    kind: str
    count: int
    example: str
    """The message of the first of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What happened to the examples of a run."""

    answered: int
    failed: int
    missing: int
    shots_dropped: int
    """Requests that lost demonstrations to the context window."""
    passages_cut: int
    prompt_tokens: int | None
    tokens: int | None
    thinking_tokens: int | None = field(default=None, metadata=LATER)
    """Of `tokens`; None: no model thought, or it is not known."""
    unfinished_thinking: int | None = field(default=None, metadata=LATER)
    """Answers that ended inside the thinking, unscored; None: no model thought."""
    unextracted: int | None = field(default=None, metadata=LATER)
    """Answers in which there was nothing to extract, scored as wrong; None: nothing is extracted."""
    failures: tuple[FailureCount, ...] | None = field(default=None, metadata=LATER)
    """Why samples failed, the most frequent first; None: none did, or the record is older."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordHashes:
    """By which an edit of a run's files is seen: SHA-256, 64 hex digits each."""

    record: str
    """Of every other field of the record, as canonical JSON."""
    samples: str
    """Of the bytes of the samples file."""
    rendered_prompts: str | None = field(default=None, metadata=LATER)
    """Of the token ids of all prompts, in order, as the model gets them; None where the model does not show them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One model on one task: what `results.json` holds."""

    schema: int
    model: ModelSpec
    protocol: Protocol
    language: str
    template: str
    """The template in use: alpaca, chat or raw."""
    origin: Origin
    files: tuple[DataFile, ...]
    demonstrations: tuple[str, ...]
    """Ids of the few-shot examples."""
    main_metric: str
    estimates: tuple[Estimate, ...]
    counts: Counts
    versions: Mapping[str, str]
    """Of Python and packages when the answers were given; where the commands of one run differ, all of them, joined by
    ", ". Scoring the answers again leaves them as they are. What is not known is not named."""
    scored_with: Mapping[str, str] | None = field(default=None, metadata=LATER)
    """Of Python and packages when `estimates` were computed, then or later. None: the record is from before the two
    were recorded apart, and `versions` are those of the last command of the evaluation."""
    finished_at: str
    """UTC, ISO 8601."""
    hashes: RecordHashes | None = field(default=None, metadata=LATER)
    """None: the record is from before there were any."""

    @property
    def label(self) -> str:
        """The task's name, with language and wording of the prompt where they are not its own."""
        return label_task(self.protocol.task, self.protocol.prompt_language, self.protocol.variant)

    @property
    def complete(self) -> bool:
        """Whether every example of the split was asked and answered."""
        return self.protocol.limit is None and self.counts.failed == 0 and self.counts.missing == 0
