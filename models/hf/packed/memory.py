"""Memory by the page: weight files whose pages are released after a copy, and zeros that are allocated when written.

Both are what the operating system does anyway. transformers maps safetensors files into memory, so that a weight is
read from disk when it is first used; a weight that was copied into another layout need not stay in memory twice. Zeros
from an anonymous mapping take a page of memory when something is first written to it.
"""

import ctypes
import math
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MAPS = Path("/proc/self/maps")
"""Where Linux lists the mappings of a process; elsewhere no pages are released."""
MADV_DONTNEED = 4
"""Of Linux: pages of a file that nobody wrote to are dropped, and read again when they are used again."""


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


def is_mapped(weight: "torch.Tensor", files: Sequence[range]) -> bool:
    """Return whether `weight` lies in one of `files`."""
    return any(weight.data_ptr() in each for each in files)


def release_mapped_pages(weight: "torch.Tensor", files: Sequence[range]) -> None:
    """Drop the whole pages of `weight` from memory where it lies in one of `files`; it keeps its values."""
    page = mmap.PAGESIZE
    first = -(-weight.data_ptr() // page) * page
    last = (weight.data_ptr() + weight.nbytes) // page * page
    if first < last and any(first in each and last - 1 in each for each in files):
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), MADV_DONTNEED)


def return_freed_memory() -> None:
    """Give the system back what was freed: glibc keeps blocks of up to 32 MiB for later."""
    if MAPS.exists() and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def lazy_zeros(size: Sequence[int], dtype: "torch.dtype") -> "torch.Tensor":
    """Return zeros that take memory only where they are written to; plain zeros where the system has no such thing."""
    import torch  # noqa: PLC0415 - heavy

    length = math.prod(size) * dtype.itemsize
    if length == 0 or not hasattr(mmap, "MAP_PRIVATE"):
        return torch.zeros(*size, dtype=dtype)
    try:
        pages = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:
        # torch's allocator then reports the lack of memory in the words that callers look for.
        return torch.zeros(*size, dtype=dtype)
    return torch.frombuffer(pages, dtype=dtype).view(*size)
