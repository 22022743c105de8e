"""A model for tests whose tokens are characters, so that every count can be checked by eye; it cannot answer.

One pair, a colon with a quotation mark, is a single token when it is met in one text, as in real tokenizers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlingual.errors import ModelError
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Failure, Finish, ModelSpec, Request, Response
from xlingual.registry import register_model

END = 1
PAIR = 2
MERGED = ':"'


def encode(text: str) -> tuple[int, ...]:
    """Return code points, the pair as one token."""
    return tuple(PAIR if part == "\0" else ord(part) for part in text.replace(MERGED, "\0"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """Characters as tokens."""

    spec: ModelSpec

    def prompt_ids(self, requests: Sequence[Request]) -> list[tuple[int, ...] | Failure]:
        """Return the characters of each prompt."""
        return [encode("".join(message.text for message in each.messages)) for each in requests]

    def answer_ids(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the characters of each answer and the end token."""
        return [(*encode(text), END) for text in texts]

    def text_of(self, ids: Sequence[int]) -> str:
        """Return the text, the end token as <end>."""
        return "".join({END: "<end>", PAIR: MERGED}.get(each) or chr(each) for each in ids)

    def weights(self) -> Path:
        """There are none."""
        raise ModelError("has no weights", where="letters")

    def tokenizer_files(self) -> Path:
        """Return a folder without a configuration."""
        return Path(__file__).parent

    def count_tokens(self, requests: Sequence[Request]) -> list[int] | None:
        """Return the characters of each prompt."""
        return [len(ids) for ids in self.prompt_ids(requests) if isinstance(ids, tuple)]

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer nothing."""
        for request in requests:
            yield Response(key=request.key, text="", failure=None, finish=Finish.EOS, prompt_tokens=None, tokens=None)

    def close(self) -> None:
        """Hold nothing."""


@register_model("letters")
def open_letters(name: str, options: ModelOptions) -> Model:
    """Open it; the name only changes its word."""
    spec = ModelSpec(
        word=f"letters:{name}",
        backend="letters",
        name="letters",
        revision=None,
        fingerprint="0" * 64,
        dtype=options.dtype,
        template="alpaca",
        context_length=None,
        parent=None,
    )
    return Letters(spec=spec)
