"""Controls: backends that are no models, which stand apart as the floor and the ceiling of a table."""

from ..records import ModelSpec

CONTROLS = {"echo": "floor", "oracle": "ceiling"}
"""What each is a measure of: `echo` repeats its prompt, `oracle` gives the gold answer."""


def find_control(model: ModelSpec) -> str | None:
    """Return "floor" or "ceiling" for a control, None for a model."""
    return CONTROLS.get(model.backend)
