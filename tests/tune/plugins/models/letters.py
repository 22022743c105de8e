"""A model for tests whose tokens are characters, so that every count can be checked by eye; it cannot answer.

One pair, a colon with a quotation mark, is a single token when it is met in one text, as in real tokenizers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlingual.errors import ModelError
from xlingual.plugin import LearntTurn, Model, ModelOptions
from xlingual.records import Failure, Finish, ModelSpec, Request, Response, Role
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
    forgets: bool = False
    """Whether its chats leave out what the assistant has said before, as templates leave out thoughts."""

    def prompt_ids(self, requests: Sequence[Request]) -> list[tuple[int, ...] | Failure]:
        """Return the characters of each prompt."""
        return [encode("".join(message.text for message in each.messages)) for each in requests]

    def answer_ids(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the characters of each answer and the end token."""
        return [(*encode(text), END) for text in texts]

    def learnt_turns(self, requests: Sequence[Request], answers: Sequence[str]) -> list[LearntTurn | Failure]:
        """Return the characters of each answer behind a chat of lines such as "user:Hi<end>"."""
        found: list[LearntTurn | Failure] = []
        for request, answer in zip(requests, answers, strict=True):
            ids: tuple[int, ...] = ()
            for message in request.messages:
                text = "" if self.forgets and message.role is Role.ASSISTANT else message.text
                ids += (*encode(f"{message.role}:{text}"), END)
            ids += encode("assistant:")
            found.append(LearntTurn(ids=(*ids, *encode(answer), END), start=len(ids)))
            if "unspeakable" in answer:
                found[-1] = Failure(kind="chat template", message="it is unspeakable")
        return found

    def turn_end(self) -> int:
        """Return the end token."""
        return END

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
