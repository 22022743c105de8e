"""Questions to models and what comes back."""

from dataclasses import dataclass, field
from enum import StrEnum

from ..sampling import Sampling
from ..serial import LATER
from ..thinking import ThinkingMode


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
class Translation:
    """What a translation model must know besides the sentence: our codes of both languages."""

    source: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to a model; `key` is the content hash of all that can change its answer.

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
    """Of the text; thinking has a limit of its own where `max_thinking_tokens` is set, else it counts."""
    choices: tuple[Choice, ...] | None = field(default=None, metadata=LATER)
    """None: an answer is generated."""
    sampling: Sampling | None = field(default=None, metadata=LATER)
    """None: greedy."""
    thinking: ThinkingMode | None = field(default=None, metadata=LATER)
    """None: as the model's template or server has it."""
    max_thinking_tokens: int | None = field(default=None, metadata=LATER)
    """After so many the thinking is ended and the model goes on with its answer; None: not limited by itself."""
    translation: Translation | None = field(default=None, metadata=LATER)
    """Of a translation; only translation models look at it."""


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
    """How likely a choice is to a model, after what stands before it."""

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
    """As generated, thinking and its markers included, without the stop string; "" is an answer."""
    failure: Failure | None
    finish: Finish | None
    """None where the backend does not say."""
    prompt_tokens: int | None
    tokens: int | None
    """Generated tokens, the end token not counted."""
    likelihoods: tuple[Likelihood, ...] | None = field(default=None, metadata=LATER)
    """Of the choices of the request, in their order."""
    thinking: str | None = field(default=None, metadata=LATER)
    """What a server gives apart from the text; thinking inside the text is taken out when it is scored."""
    thinking_tokens: int | None = field(default=None, metadata=LATER)
    """Of `tokens`, those of the thinking; None: unknown or none."""


def failed_response(request: Request, failure: Failure, *, prompt_tokens: int | None = None) -> Response:
    """Return the response that says that `request` has no answer."""
    return Response(key=request.key, text=None, failure=failure, finish=None, prompt_tokens=prompt_tokens, tokens=None)
