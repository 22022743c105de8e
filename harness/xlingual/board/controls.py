"""Controls: backends that are no models, which stand apart as floor and ceiling of a table and never vote."""

from ..records import ModelSpec

CONTROLS = {"majority": "floor", "echo": "floor", "passage": "copy", "oracle": "ceiling"}
"""What each is a measure of, in the order in which they stand.

`majority` gives one answer to all questions, `echo` repeats the question, `passage` the passage (the ceiling of
containment, the floor of F1), `oracle` gives the gold answer.
"""
KINDS = tuple(dict.fromkeys(CONTROLS.values()))


def find_control(model: ModelSpec) -> str | None:
    """Return "floor", "copy" or "ceiling" for a control, None for a model."""
    return CONTROLS.get(model.backend)
