"""Memory by the page: of files whose weights were copied, which need not stay; of zeros that nobody wrote to yet."""

import ctypes
import math
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MAPS = Path("/proc/self/maps")
"""Where Linux says what lies where; elsewhere nothing is let go of."""
DONTNEED = 4
"""MADV_DONTNEED of Linux: pages of a file that nobody wrote to are read again when they are looked at again."""


def mapped_safetensors() -> list[range]:
    """Return the addresses where safetensors files are mapped."""
    if not MAPS.exists():
        return []
    found: list[range] = []
    for line in MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.endswith(".safetensors"):
            first, _, last = line.split(maxsplit=1)[0].partition("-")
            found.append(range(int(first, 16), int(last, 16)))
    return found


def release_mapped_pages(weight: "torch.Tensor", files: Sequence[range]) -> None:
    """Drop the whole pages of `weight` where it lies in one of `files`; it keeps its values."""
    page = mmap.PAGESIZE
    first = -(-weight.data_ptr() // page) * page
    last = (weight.data_ptr() + weight.nbytes) // page * page
    if first < last and any(first in each and last - 1 in each for each in files):
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), DONTNEED)


def lazy_zeros(size: Sequence[int], dtype: "torch.dtype") -> "torch.Tensor":
    """Return zeros, which take memory only where something is written to them; where there is no such thing, zeros."""
    import torch  # noqa: PLC0415 - heavy

    length = math.prod(size) * dtype.itemsize
    if length == 0 or not hasattr(mmap, "MAP_PRIVATE"):
        return torch.zeros(*size, dtype=dtype)
    try:
        pages = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:
        # The allocator says in its own words that memory is short, and is understood.
        return torch.zeros(*size, dtype=dtype)
    return torch.frombuffer(pages, dtype=dtype).view(*size)
