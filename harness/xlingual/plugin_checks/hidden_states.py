"""Whether the hidden states of a text are as `TextStates` says, before anything is computed with them."""

from ..plugin import LogitLens, TextStates
from .record_types import describe_value


def states_fault(states: TextStates, first: TextStates, lens: LogitLens | None) -> str | None:
    """Return what is wrong with the states of a text, None where nothing is; `first` are those of the first text."""
    if not isinstance(states.ids, tuple) or not all(type(each) is int for each in states.ids):
        return f"ids must be a tuple of whole numbers, got {describe_value(states.ids)}"
    for name, values in (("mean", states.mean), ("last", states.last)):
        if _kind(values) != "f" or len(_shape(values)) != 2 or 0 in _shape(values):
            return f"{name} must be an array of numbers, (layers + 1, width), got {describe_value(values)}"
        if _shape(values) != _shape(first.mean):
            return f"{name} must be {_shape(first.mean)} for every text, got {_shape(values)}"
    shape = None if states.predictions is None else _shape(states.predictions)
    if shape != (None if first.predictions is None else _shape(first.predictions)):
        return f"predictions must be of one shape for every text, got {shape}"
    if shape is None:
        return None
    if lens is None:
        return "predictions were not asked for"
    wanted = (_shape(states.mean)[0], lens.positions)
    if _kind(states.predictions) != "i" or shape[:2] != wanted or len(shape) != 3 or not 1 <= shape[2] <= lens.top_k:
        return f"predictions must be whole numbers, {(*wanted, lens.top_k)}, got {_kind(states.predictions)!r} {shape}"
    return None


def _shape(values: object) -> tuple[int, ...]:
    found = getattr(values, "shape", ())
    return tuple(found) if isinstance(found, tuple) else ()


def _kind(values: object) -> str:
    """Return numpy's letter for what an array holds, "" for what is none; numpy itself is not imported for it."""
    return str(getattr(getattr(values, "dtype", None), "kind", ""))
