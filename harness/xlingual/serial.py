"""Records to JSON and back, by one pair of functions: `to_json` and `from_json`.

A field that joined a record later carries LATER as its metadata: it is left out where it is None, so that what was
written before reads the same, and hashes the same.
"""

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Mapping
from typing import TypeVar, Union, cast

from .errors import DataError
from .identity import Json

Record = TypeVar("Record")
_WHOLE = range(-(2**63), 2**63)
"""No count of ours is larger, and no float need hold it."""
LATER: Mapping[str, bool] = types.MappingProxyType({"later": True})
"""Metadata of a field that is None, and left out of JSON, unless it is set: `field(default=None, metadata=LATER)`."""


def to_json(value: object) -> Json:
    """Return `value`, a record or what records hold, as JSON data; TypeError for anything else."""
    if isinstance(value, enum.Enum):
        return to_json(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown = [field.name for field in dataclasses.fields(value) if _shows(field, value)]
        return {name: to_json(getattr(value, name)) for name in shown}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    raise TypeError(f"{type(value).__name__} is not part of a record")


def _shows(field: "dataclasses.Field[object]", record: object) -> bool:
    return "later" not in field.metadata or getattr(record, field.name) is not None


def from_json(kind: type[Record], data: Json, *, where: str = "") -> Record:
    """Return the record of class `kind` that `to_json` made `data` of.

    Raises DataError naming `where` and the field for a missing or unknown field and for a value of the wrong type.
    """
    return cast(Record, _decode(kind, data, where or kind.__name__))


def _decode(kind: object, data: Json, where: str) -> object:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        if data is None and type(None) in arguments:
            return None
        return _decode(next(item for item in arguments if item is not type(None)), data, where)
    if origin is tuple:
        return _decode_tuple(arguments, data, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _decode(arguments[1], item, f"{where}.{key}") for key, item in _mapping(data, where).items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _decode_record(kind, _mapping(data, where), where)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        try:
            return kind(data)
        except ValueError:
            raise DataError(f"{data!r} is none of {[item.value for item in kind]}", where=where) from None
    return _decode_plain(cast(type, kind), data, where)


def _decode_plain(kind: type, data: Json, where: str) -> object:
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        try:
            return float(data)
        except OverflowError:
            raise DataError("holds a number that is too large", where=where) from None
    if type(data) is not kind:
        raise DataError(f"must be {kind.__name__}, got {type(data).__name__}", where=where)
    if kind is int and cast(int, data) not in _WHOLE:
        raise DataError("holds a number that is too large", where=where)
    return data


def _decode_tuple(arguments: tuple[object, ...], data: Json, where: str) -> tuple[object, ...]:
    if not isinstance(data, list):
        raise DataError(f"must be a list, got {type(data).__name__}", where=where)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_decode(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(data))
    if len(arguments) != len(data):
        raise DataError(f"must hold {len(arguments)} items, got {len(data)}", where=where)
    return tuple(_decode(kind, item, where) for kind, item in zip(arguments, data, strict=True))


def _decode_record(kind: type, data: Mapping[str, Json], where: str) -> object:
    hints, needed = _fields_of(kind)
    fields = list(needed)
    if unknown := sorted(set(data) - set(fields)):
        raise DataError(f"unknown field {unknown[0]!r} (has: {', '.join(fields)})", where=where)
    if missing := [name for name in fields if name not in data and needed[name]]:
        raise DataError(f"field {missing[0]!r} is missing (has: {', '.join(data)})", where=where)
    return kind(**{name: _decode(hints[name], data[name], f"{where}.{name}") for name in fields if name in data})


@functools.lru_cache(maxsize=256)
def _fields_of(kind: type) -> tuple[Mapping[str, object], Mapping[str, bool]]:
    """Return the types of a record's fields, and which of them are needed; cached, for a journal has many lines."""
    return typing.get_type_hints(kind), {
        field.name: "later" not in field.metadata for field in dataclasses.fields(cast(typing.Any, kind))
    }


def _mapping(data: Json, where: str) -> Mapping[str, Json]:
    if not isinstance(data, Mapping):
        raise DataError(f"must be an object, got {type(data).__name__}", where=where)
    return data
