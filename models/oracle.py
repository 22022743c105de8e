"""The model that is right: answers with the first gold target, to see what the metrics make of it."""

from xlingual.errors import UsageError
from xlingual.identity import content_hash
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Example, Failure
from xlingual.registry import register_model

from ._examples import ExampleModel, describe


@register_model("oracle")
def open_oracle(name: str, options: ModelOptions) -> Model:  # noqa: ARG001 - nothing is loaded
    """Open the model that knows the targets; UsageError for a name."""
    if name:
        raise UsageError(f"takes no name, got {name!r}", where="oracle")
    spec = describe(word="oracle", backend="oracle", name="oracle", fingerprint=content_hash(["oracle", 1]))
    return ExampleModel(spec=spec, reply=_know)


def _know(example: Example) -> str | Failure:
    """Return the first accepted answer; an open instruction has none, which is a failure and no empty answer."""
    return example.targets[0] if example.targets else Failure(kind="no gold", message="the example has no gold answer")
