"""What the headers of weight files say of the tensors in them, held against the size of the file; nothing is loaded.

    model.safetensors   8 bytes: length of the header; JSON: dtype, shape and place of every tensor; their bytes
    model.gguf          counts; names and values; name, shape, type and place of every tensor; their bytes

A header may claim a billion names, or a tensor of an exabyte. Whoever allocates what it claims has lost: here nothing
is read past the end of the file, and no loop is longer than the bytes that are left.
"""

import math
import re
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import cast

from xlingual.errors import DataError, ModelError
from xlingual.files import parse_object, read_fault
from xlingual.identity import Json

LONGEST_HEADER = 100 * 1024 * 1024
"""Bytes: the limit that safetensors itself sets for a header."""
HINT = "download it again"
SAFE_BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I8": 8, "U8": 8, "BOOL": 8, "F6_E2M3": 6, "F6_E3M2": 6,
    "F4": 4,
}  # fmt: skip
"""Of an element, by its dtype."""
_NUMBER = re.compile(r"(?<![^.])\d{1,9}(?![^.])")
"""A part of a tensor's name that counts: "model.layers.29.mlp.up_proj.weight"."""


@dataclass(frozen=True, slots=True)
class WeightSummary:
    """What weight files hold."""

    elements: int
    """Of all tensors; of quantized ones, some elements hold several weights."""
    size: int
    """Bytes of all tensors."""
    layers: int | None
    """No layer of this number, counted from 0, has a tensor; None where names do not count, or are not known."""
    largest: int
    """The largest dimension of any tensor."""


def summarize(paths: Sequence[Path]) -> WeightSummary:
    """Return what safetensors files hold together; errors as of `check_safetensors`."""
    tensors = {name: shape for path in paths for name, shape in check_safetensors(path).items()}
    return _summary(tensors, sum(path.stat().st_size for path in paths))


def _summary(tensors: Mapping[str, Sequence[int]], size: int) -> WeightSummary:
    numbers = {int(each) for name in tensors for each in _NUMBER.findall(name)}
    return WeightSummary(
        elements=sum(math.prod(shape) for shape in tensors.values()),
        size=size,
        layers=max(numbers) + 1 if numbers else None,
        largest=max((length for shape in tensors.values() for length in shape), default=0),
    )


def check_safetensors(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors in a file, by their names.

    Raises ModelError where the file is shorter or longer than its header says, and where a tensor claims more or fewer
    bytes than it has.
    """
    size = regular_size(path)
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        header = stream.read(length) if length < min(size, LONGEST_HEADER) else b""
    try:
        tensors = {name: each for name, each in parse_object(header, str(path), 1).items() if name != "__metadata__"}
        places = {name: _place(each) for name, each in tensors.items()}
    except (DataError, TypeError) as error:
        raise ModelError("not a safetensors file, or cut off within its header", where=str(path), hint=HINT) from error
    end = max((end for _, end in places.values()), default=0)
    if 8 + length + end != size:
        what = f"the weight file has {size} bytes instead of {8 + length + end}"
        raise ModelError(what, where=str(path), hint=HINT)
    return {name: _shape(name, each, places[name], path) for name, each in tensors.items()}


def regular_size(path: Path) -> int:
    """Return the bytes of a file; ModelError for a folder, a pipe or a device, which could be read for ever."""
    try:
        status = path.stat()
    except OSError as error:
        raise read_fault(error, str(path)) from error
    if not stat.S_ISREG(status.st_mode):
        raise ModelError("is no regular file", where=str(path))
    return status.st_size


def _place(tensor: Json) -> tuple[int, int]:
    """Return where a tensor begins and ends, in bytes after the header; TypeError for what does not say so."""
    match tensor:
        case {"data_offsets": [int(begin), int(end)]}:
            return begin, end
    raise TypeError


def _shape(name: str, tensor: Json, place: tuple[int, int], path: Path) -> tuple[int, ...]:
    match tensor:
        case {"dtype": str(dtype), "shape": list(shape)} if all(type(each) is int and each >= 0 for each in shape):
            dimensions = tuple(cast(list[int], shape))
        case _:
            raise ModelError(f"tensor {name!r:.120} has no dtype and shape", where=str(path), hint=HINT)
    begin, end = place
    claimed = math.prod(dimensions) * SAFE_BITS.get(dtype, 0)
    if not 0 <= begin <= end or (dtype in SAFE_BITS and claimed != 8 * (end - begin)):
        what = f"tensor {name!r:.120} claims the shape {list(dimensions)} of {dtype}, and has {end - begin:,} bytes"
        raise ModelError(what, where=str(path), hint=HINT)
    return dimensions


STRING, LIST = 8, 9
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value, by the number of its type."""
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_VERSIONS = (2, 3)
_MOST_DIMENSIONS = 8
_LONGEST_NAME = 2**16
_ALIGNMENT = 32


@dataclass(slots=True)
class _Bytes:
    """A file that is read from its beginning; ValueError at its end."""

    data: mmap
    at: int = 0

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        self.skip(count)
        return self.data[self.at - count : self.at]

    def skip(self, count: int) -> None:
        """Leave out `count` bytes."""
        if count > len(self.data) - self.at:
            raise ValueError(f"it claims {count:,} bytes where {len(self.data) - self.at:,} are left")
        self.at += count

    def number(self, kind: int) -> int | float:
        """Return a number."""
        return cast("int | float", struct.unpack("<" + _FORMATS[kind], self.take(_WIDTHS[kind]))[0])

    def count(self, kind: int = 10, least: int = 1) -> int:
        """Return a number of things that follow, of `least` bytes each."""
        found = int(self.number(kind))
        if found * least > len(self.data) - self.at:
            raise ValueError(f"it claims {found:,} entries where {len(self.data) - self.at:,} bytes are left")
        return found

    def name(self) -> str:
        """Return a name."""
        length = self.count()
        if length > _LONGEST_NAME:
            raise ValueError(f"a name of {length:,} bytes")
        return self.take(length).decode("utf-8")


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says of itself."""

    numbers: Mapping[str, int | float]
    """Values that are one number, by name."""
    weights: WeightSummary
    names: tuple[str, ...] = field(default=())
    """Of its tensors."""


def read_gguf_header(path: Path) -> GgufHeader:
    """Return what a GGUF file says of itself.

    Raises ModelError for what is none, or is cut off, or claims what its file cannot hold.
    """
    size = regular_size(path)
    try:
        with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as data:
            return _read_gguf(_Bytes(data), size)
    except (ValueError, struct.error) as error:
        what = f"not a GGUF file, or cut off: {error}"
        raise ModelError(what, where=path.name, hint="is the download complete?") from error


def _read_gguf(data: _Bytes, size: int) -> GgufHeader:
    if data.take(4) != b"GGUF":
        raise ValueError("it does not begin with GGUF")
    version = int(data.number(4))
    if version not in _VERSIONS:
        raise ValueError(f"its version is {version}")
    tensors, values = data.count(least=24), data.count(least=13)
    numbers: dict[str, int | float] = {}
    for _ in range(values):
        name, kind = data.name(), int(data.number(4))
        if kind in _FORMATS:
            numbers[name] = data.number(kind)
        else:
            _skip_value(data, kind, name)
    infos = list(_tensor_infos(data, tensors))
    alignment = max(1, int(numbers.get("general.alignment", _ALIGNMENT)))
    begin = -(-data.at // alignment) * alignment
    for info in infos:
        if begin + info.end > size:
            raise ValueError(f"the tensor {info.name!r:.120} ends at byte {begin + info.end:,} of {size:,}")
    weights = _summary({info.name: info.shape for info in infos}, size)
    return GgufHeader(numbers=numbers, weights=weights, names=tuple(info.name for info in infos))


def _skip_value(data: _Bytes, kind: int, name: str, depth: int = 0) -> None:
    """Leave out a text or a list; ValueError for a type that there is not."""
    if kind == STRING:
        data.skip(data.count())
    elif kind == LIST and depth < _MOST_DIMENSIONS:
        inner = int(data.number(4))
        count = data.count(least=_WIDTHS.get(inner, 8))
        if inner in _WIDTHS:
            data.skip(count * _WIDTHS[inner])
            return
        for _ in range(count):
            _skip_value(data, inner, name, depth + 1)
    else:
        raise ValueError(f"the value {name!r:.120} is of the type {kind}, which there is not")


@dataclass(frozen=True, slots=True)
class _TensorInfo:
    name: str
    shape: tuple[int, ...]
    end: int
    """In bytes after the headers."""


def _tensor_infos(data: _Bytes, count: int) -> Iterator[_TensorInfo]:
    sizes = _block_sizes()
    for _ in range(count):
        name, dimensions = data.name(), int(data.number(4))
        if dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"the tensor {name!r:.120} has {dimensions:,} dimensions")
        shape = tuple(int(data.number(10)) for _ in range(dimensions))
        kind, offset = int(data.number(4)), int(data.number(10))
        per_block, block = sizes.get(kind, (1, 0))
        yield _TensorInfo(name, shape, offset + -(-math.prod(shape) // per_block) * block)


def _block_sizes() -> dict[int, tuple[int, int]]:
    """Return elements and bytes of a block, by the number of a type; none where gguf is not installed."""
    try:
        from gguf.constants import GGML_QUANT_SIZES  # noqa: PLC0415 - loads numpy
    except ImportError:
        return {}
    return {int(kind): (int(elements), int(size)) for kind, (elements, size) in GGML_QUANT_SIZES.items()}
