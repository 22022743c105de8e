"""Weights that are views of a mapped file: once they are copied, the pages of the file need not stay in memory."""

import ctypes
import mmap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MAPS = Path("/proc/self/maps")
"""Where Linux says what lies where; elsewhere nothing is let go of."""
DONTNEED = 4
"""MADV_DONTNEED of Linux: pages of a file that nobody wrote to are read again when they are looked at again."""


def mapped_files() -> list[range]:
    """Return the addresses where safetensors files are mapped."""
    if not MAPS.exists():
        return []
    found: list[range] = []
    for line in MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.endswith(".safetensors"):
            first, _, last = line.split(maxsplit=1)[0].partition("-")
            found.append(range(int(first, 16), int(last, 16)))
    return found


def let_go(weight: "torch.Tensor", files: list[range]) -> None:
    """Drop the whole pages of `weight` where it lies in one of `files`; it keeps its values."""
    page = mmap.PAGESIZE
    first = -(-weight.data_ptr() // page) * page
    last = (weight.data_ptr() + weight.nbytes) // page * page
    if first < last and any(first in each and last - 1 in each for each in files):
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), DONTNEED)
