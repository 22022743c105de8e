"""What a model fulfils, and how it is loaded."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from ..records import Example, Failure, ModelSpec, Request, Response

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

StateArray: TypeAlias = "NDArray[np.float32]"
TokenArray: TypeAlias = "NDArray[np.int64]"


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
    shard: bool = False
    """One model over all devices that `device` names, layer by layer, instead of a whole one on each."""
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


LOCAL_OPTIONS = (
    "revision", "dtype", "device", "batch_size", "allow_pickle", "trust_remote_code", "engine", "deterministic",
    "shard", "chat_template", "thinking_end", "max_model_len",
)  # fmt: skip
"""Fields of ModelOptions for models that are computed in this process."""


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

        A model that cannot score choices answers requests that have them with a Failure, or raises ModelError before it
        has asked anything.
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
class SplitAware(Protocol):
    """A model that answers from all examples of a task, whatever the limit: the majority baseline, never a real one."""

    def see_split(self, keys: Collection[str], examples: Sequence[Example]) -> None:
        """Take all evaluated examples of the task that the requests called `keys` are of; called before `answer`."""
        ...


@runtime_checkable
class SupportsPromptProof(Protocol):
    """A model that shows its prompts as it reads them: after its chat template and its tokenizer."""

    def prove_prompts(self, requests: Sequence[Request]) -> str | None:
        """Return a hash of the token ids of all prompts, in order; None where they cannot be known.

        Raises ModelError where the prompts do not hold what is asked.
        """
        ...

    def show_prompt(self, request: Request) -> str | None:
        """Return what the model reads, special tokens shown; None where that cannot be known."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LearntTurn:
    """An answer in a chat as it is learnt: all tokens up to its end, and which of them are learnt."""

    ids: tuple[int, ...]
    """The prompt as the model reads it before it answers, then the answer with the end of its turn."""
    start: int
    """The first token that is learnt; so are all behind it."""


@runtime_checkable
class ChatTrainable(Protocol):
    """A model whose chat template tells where an answer begins and ends, so that whole conversations can be learnt."""

    def learnt_turns(self, requests: Sequence[Request], answers: Sequence[str]) -> list[LearntTurn | Failure]:
        """Return the tokens of each answer behind the chat that it is given to, or why they cannot be told.

        Raises ModelError where the chat template tells it of no chat.
        """
        ...

    def turn_end(self) -> int:
        """Return the token that ends an answer in a chat; ModelError where there is none."""
        ...


@runtime_checkable
class Diagnosable(Protocol):
    """A model that can say how it computes, for `xlingual doctor --model`."""

    def diagnose(self, *, weights: bool) -> tuple[Mapping[str, str], str | None]:
        """Return what is known of it, by names, and why it is not computed the fast way; None where it is.

        With `weights` these are loaded and the engines tried, otherwise its configuration tells.
        """
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LogitLens:
    """What to decode from every layer: its states through the final norm and the head (nostalgebraist 2020)."""

    positions: int
    """Tokens of a text after which the next one is predicted: evenly spaced, the last token of the text among them."""
    top_k: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextStates:
    """The hidden states of one text, pooled over its tokens, in every layer.

    Layers count as in transformers' `output_hidden_states`: 0 is the embedding, the last one is after the final norm.
    """

    ids: tuple[int, ...]
    """The tokens, with the special ones that come before a text."""
    mean: StateArray
    """(layers + 1, width): the mean over all tokens but the first, which models use as an attention sink: its state is
    huge and says nothing of the text. A text of one token has its own."""
    last: StateArray
    """(layers + 1, width): of the last token."""
    predictions: "TokenArray | None"
    """(layers + 1, positions, top k): the next tokens that each layer predicts, the best one first. None where it was
    not asked for, or where the model has no norm and head that a layer's states could go through."""


@runtime_checkable
class SupportsHiddenStates(Protocol):
    """A model that shows what its layers make of a text."""

    def hidden_states(self, texts: Sequence[str], lens: LogitLens | None) -> Iterator[TextStates]:
        """Yield the pooled states of each text, in order, while no more than a batch of them is in memory.

        Raises ModelError for a text that the model cannot take.
        """
        ...
