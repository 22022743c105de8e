"""Whether a record holds what its fields are annotated with: Python does not look, and a text is a sequence of texts.

record_fault(Example(..., targets="Paris"), Example)      "targets must be a tuple of texts, got the text 'Paris'"
"""

import dataclasses
import enum
import math
import types
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeAlias, Union

Check: TypeAlias = Callable[[object], str | None]
"""Returns what a value must be, None where it is that."""

_PLAIN = {str: "a text", int: "a whole number", float: "a finite number", bool: "True or False"}
_SEVERAL = {str: "texts", int: "whole numbers", float: "finite numbers", bool: "truth values"}
_METHODS = ("__hash__", "__eq__", "__ne__", "__lt__", "__repr__", "__str__", "__format__", "__len__", "__iter__",
            "__contains__", "__getitem__", "__getattribute__", "__add__")  # fmt: skip
"""Of texts and numbers: each is called somewhere."""
_SHOWN = 40
"""Characters of a wrong value that are shown."""


def record_fault(value: object, kind: type, *, called: str = "") -> str | None:
    """Return what is wrong with `value`, which is to be a record of class `kind`; None where nothing is.

    `called` is what the value is called in the message: "examples() must return Examples, got None".
    """
    if not isinstance(value, kind):
        return f"{called or 'it'} must be {_one(kind)}, got {describe_value(value)}"
    for name, check in _field_checks(kind):
        found = getattr(value, name)
        if (wanted := check(found)) is not None:
            if isinstance(found, tuple) and (inner := _inner_fault(name, found)) is not None:
                return inner
            if dataclasses.is_dataclass(found) and (inner := record_fault(found, type(found))) is not None:
                return f"{name}.{inner}"
            return f"{name} must be {wanted}, got {describe_value(found)}"
    return None


def _inner_fault(name: str, values: tuple[object, ...]) -> str | None:
    """Return what is wrong inside the first record of a tuple that is not right."""
    for index, each in enumerate(values):
        if dataclasses.is_dataclass(each) and (inner := record_fault(each, type(each))) is not None:
            return f"{name}[{index}].{inner}"
    return None


@lru_cache(maxsize=64)
def _field_checks(kind: type) -> tuple[tuple[str, Check], ...]:
    hints = typing.get_type_hints(kind)
    return tuple((each.name, make_check(hints[each.name])) for each in dataclasses.fields(kind))


def make_check(kind: object) -> Check:
    """Return the check of an annotation: of a plain type, an enumeration, a record, a tuple, a mapping or a union."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _check_union([make_check(each) for each in arguments])
    if origin is tuple:
        return _check_tuple(arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _check_mapping(arguments)
    if kind is types.NoneType:
        return lambda value: None if value is None else "None"
    if kind is float:
        return lambda value: None if _is_number(value) else _PLAIN[float]
    if kind is int:
        return lambda value: None if is_plain(value, int) and not isinstance(value, bool) else _PLAIN[int]
    if kind is str:
        return lambda value: None if is_plain(value, str) else _PLAIN[str]
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return lambda value: None if isinstance(value, kind) and record_fault(value, kind) is None else _one(kind)
    expected = typing.cast(type, kind)
    return lambda value: None if isinstance(value, expected) else _one(expected)


def _is_number(value: object) -> bool:
    is_one = is_plain(value, float) or is_plain(value, int)
    return is_one and not isinstance(value, bool) and math.isfinite(typing.cast(float, value))


def is_plain(value: object, kind: type) -> bool:
    """Return whether a value is a text, or a number, that compares and shows itself as those do.

    A class of the plugin's own may raise in any of these: they are called where the plugin is long forgotten.
    """
    own: type = type(value)
    return own is kind or (isinstance(value, kind) and _behaves(own))


@lru_cache(maxsize=256)
def _behaves(kind: type) -> bool:
    """Return whether a class has the methods of its values from Python itself, or is an enumeration."""
    if issubclass(kind, enum.Enum):
        return True
    own = (getattr(kind, name, None) for name in _METHODS)
    return kind.__hash__ is not None and not any(isinstance(each, types.FunctionType) for each in own)


def _check_union(checks: list[Check]) -> Check:
    def check(value: object) -> str | None:
        wanted = [each(value) for each in checks]
        return None if None in wanted else " or ".join(dict.fromkeys(filter(None, wanted)))

    return check


def _check_tuple(arguments: tuple[object, ...]) -> Check:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        inner = make_check(arguments[0])
        wanted = f"a tuple of {_several(arguments[0])}"
        return lambda value: None if isinstance(value, tuple) and not any(map(inner, value)) else wanted
    checks = [make_check(each) for each in arguments]

    def check(value: object) -> str | None:
        right = isinstance(value, tuple) and len(value) == len(checks)
        right = right and not any(each(item) for each, item in zip(checks, typing.cast("tuple[object]", value)))  # noqa: B905
        return None if right else f"a tuple of {len(checks)} values"

    return check


def _check_mapping(arguments: tuple[object, ...]) -> Check:
    key, item = make_check(arguments[0]), make_check(arguments[1])
    wanted = f"a mapping of {_several(arguments[0])} to {_several(arguments[1])}"

    def check(value: object) -> str | None:
        right = isinstance(value, Mapping) and not any(map(key, value)) and not any(map(item, value.values()))
        return None if right else wanted

    return check


def _one(kind: type) -> str:
    if kind in _PLAIN:
        return _PLAIN[kind]
    name = kind.__name__
    article = "" if name.endswith("s") else "an " if name[0] in "AEIOU" else "a "
    values = f" ({', '.join(repr(each.value) for each in kind)})" if issubclass(kind, enum.Enum) else ""
    return f"{article}{name}{values}"


def _several(kind: object) -> str:
    if isinstance(kind, type):
        return _SEVERAL.get(kind, f"{kind.__name__} records")
    return "values"


def describe_value(value: object) -> str:
    """Return what a wrong value is, for a message: "the text 'Paris'", "a list"."""
    if value is None or isinstance(value, bool):
        return str(value)
    if is_plain(value, str) and isinstance(value, str):
        return f"the text {value if len(value) <= _SHOWN else value[:_SHOWN] + '...'!r}"
    if is_plain(value, int) or is_plain(value, float):
        return f"the number {str(value)[:_SHOWN]}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    several = typing.cast("tuple[object]", value) if type(value) in (tuple, list) else ()
    kinds = sorted({type(each).__name__ for each in several})
    held = f" of {' and '.join(kinds[:3])}" if kinds else ""
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}{held}"
