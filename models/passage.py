"""The copy-the-passage baseline: answers a question with its whole passage, which holds the answer and all else.

Containment gives it the points of the oracle; F1 and exact match give it next to none.
"""

from xlingual.errors import UsageError
from xlingual.identity import content_hash
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Example
from xlingual.registry import register_model

from ._examples import ExampleModel, describe


@register_model("passage")
def open_passage(name: str, options: ModelOptions) -> Model:  # noqa: ARG001 - nothing is loaded
    """Open the model that answers with the passage; UsageError for a name."""
    if name:
        raise UsageError(f"takes no name, got {name!r}", where="passage")
    spec = describe(word="passage", backend="passage", name="passage", fingerprint=content_hash(["passage", 1]))
    return ExampleModel(spec=spec, reply=_copy)


def _copy(example: Example) -> str:
    """Return the passage; the last field, as `echo` does, of an example that has none: a sentence to translate."""
    return example.fields.get("context") or list(example.fields.values())[-1]
