"""The copy baseline: answers a question with the question, and a sentence with itself."""

from xlingual.errors import UsageError
from xlingual.identity import content_hash
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Example
from xlingual.registry import register_model

from ._examples import ExampleModel, describe


@register_model("echo")
def open_echo(name: str, options: ModelOptions) -> Model:  # noqa: ARG001 - nothing is loaded
    """Open the model that repeats what it is asked; UsageError for a name."""
    if name:
        raise UsageError(f"takes no name, got {name!r}", where="echo")
    spec = describe(word="echo", backend="echo", name="echo", fingerprint=content_hash(["echo", 1]))
    return ExampleModel(spec=spec, reply=_repeat)


def _repeat(example: Example) -> str:
    """Return the last field: the question of a QA example, the source of a translation."""
    return list(example.fields.values())[-1]
