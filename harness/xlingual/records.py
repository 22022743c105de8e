"""The frozen records that flow through the house, in the order of their flow.

DatasetRef -> TaskSpec -> Example -> Prompt -> Request -> Response -> Statistics -> Estimate -> RunRecord.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from .serial import LATER


class Origin(StrEnum):
    """Where a data file came from; always named beside the scores."""

    LOCAL = "local"
    CACHE = "cache"
    HUB = "hub"
    URL = "url"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSource:
    """A data set on the Hugging Face hub at one commit."""

    repository: str
    revision: str
    """40 hex digits; a branch name is refused."""
    subset: str
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlSource:
    """One file below an official address, or one member of an archive there."""

    url: str
    sha256: str | None
    """Of the downloaded file; None: not known to us, so the first download stores it and later ones must agree."""
    member: str | None
    """Path inside the zip or tar archive; None where the download is the file itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRef:
    """One data file of a benchmark and every place it may be found."""

    name: str
    """For messages and the cache: "xquad/xquad.ar.json"."""
    candidates: tuple[str, ...]
    """Paths relative to `--data DIR`, first match wins."""
    sample: str | None
    """Path relative to the packaged sample; None where the sample has no such file."""
    remotes: tuple[HubSource | UrlSource, ...]
    """Tried in order when the file is neither local nor cached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A data file that was found and read."""

    name: str
    origin: Origin
    path: str
    revision: str | None
    """The pinned commit or the sha256 of the archive; None for local files."""
    sha256: str
    """Of the file's bytes."""


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
    """The accepted answers, at least one."""
    choices: tuple[str, ...] | None = field(default=None, metadata=LATER)
    """What may be answered, the targets among it; None: anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """The examples of one split and the files they were read from."""

    rows: tuple[Example, ...]
    files: tuple[DataFile, ...]
    skipped: int = 0
    """Entries of the files that hold nothing to ask or to learn: an empty side, no translation. Tuning data only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Text to learn from, as a recipe names it for the Source that reads it."""

    name: str
    """What the recipe calls it; ids of examples begin with it."""
    path: str
    """Relative to the data folder; what braces in it mean is the reader's affair."""
    language: str
    """Code of the language of the answers."""
    direction: tuple[str, str] | None
    """Codes of source and target language, for parallel text."""
    columns: tuple[str, ...]
    """Names of the fields to read, in the reader's order; (): the reader's own."""


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


class Form(StrEnum):
    """How a request is to be put to a model."""

    CHAT = "chat"
    """Messages through the model's own chat template."""
    TEXT = "text"
    """One message whose text is continued as it stands."""


class Role(StrEnum):
    """Who says a message."""

    SYSTEM = "system"
    """Sets the stage; only where another harness asks for it."""
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a chat, or the whole text to continue (one USER message)."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A text whose log-likelihood is asked for, of all its tokens, after everything that stands before it."""

    text: str
    before: str = ""
    """Stands between the messages and the text, unscored: for one ending that is judged after several beginnings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to a model, greedy; `key` is the content hash of all that can change its answer.

    With choices, nothing is generated: the answer is the likelihood of each, in their order. A choice that nothing at
    all stands before is scored as a whole text, in windows where it is longer than the model reads.

    A question that a task asks twice has two keys, so that each example has an answer of its own.
    """

    key: str
    form: Form
    messages: tuple[Message, ...]
    stop: tuple[str, ...]
    """The answer ends before the first of these that comes after its first non-space character."""
    max_new_tokens: int
    choices: tuple[Choice, ...] | None = field(default=None, metadata=LATER)
    """None: an answer is generated."""


class Finish(StrEnum):
    """Why an answer ended."""

    EOS = "eos"
    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error as a value: never an empty answer."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """What a model thinks of a choice."""

    logarithm: float
    """Natural logarithm of its probability: the sum over its tokens."""
    is_greedy: bool | None
    """Whether greedy decoding would say just these tokens; None where the backend does not say."""
    tokens: int | None
    """Of the choice; None where the backend does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a model gave back for a request: a text, likelihoods or a failure, exactly one of them."""

    key: str
    text: str | None
    """As generated, without the stop string; "" is an answer."""
    failure: Failure | None
    finish: Finish | None
    """None where the backend does not say."""
    prompt_tokens: int | None
    tokens: int | None
    """Generated tokens, the end token not counted."""
    likelihoods: tuple[Likelihood, ...] | None = field(default=None, metadata=LATER)
    """Of the choices of the request, in their order."""


def failed_response(request: Request, failure: Failure, *, prompt_tokens: int | None = None) -> Response:
    """Return the response that says that `request` has no answer."""
    return Response(key=request.key, text=None, failure=failure, finish=None, prompt_tokens=prompt_tokens, tokens=None)


Statistics: TypeAlias = tuple[float, ...]
"""What one example adds to a metric: sums of these over examples are all that the metric needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A metric over a set of examples with its 95% interval."""

    metric: str
    value: float | None
    """0 to 100; None: not computed, see `reason`."""
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

    @property
    def complete(self) -> bool:
        """Whether every example of the split was asked and answered."""
        return self.protocol.limit is None and self.counts.failed == 0 and self.counts.missing == 0
