"""Content hashes of what is asked: of examples, and of prompts with their demonstrations."""

from collections.abc import Sequence

from .identity import Json, content_hash
from .records import Demonstration, Example, Prompt
from .serial import to_json


def hash_examples(examples: Sequence[Example]) -> str:
    """Return the content hash of what is asked and accepted; where the file came from and its layout do not matter."""
    return content_hash([_content(each) for each in examples])


def _content(example: Example) -> list[Json]:
    content: list[Json] = [example.id, example.language, dict(example.fields), list(example.targets)]
    # What a demonstration shows is part of the hash of prompts.
    if example.choices is not None:
        content.append(list(example.choices))
    return content if example.shared is None else [*content, dict(example.shared)]


def hash_prompts(prompts: Sequence[Prompt], shots: Sequence[Demonstration]) -> str:
    """Return the content hash of prompts and of the demonstrations before them."""
    return content_hash([[to_json(prompt) for prompt in prompts], [to_json(shot) for shot in shots]])
