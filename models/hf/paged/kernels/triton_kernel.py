"""Paged attention by kernels of our own, written in triton: every dtype and every feature, on any GPU triton knows.

It serves what torch's flash attention does not: softcap, sinks, ALiBi, float32, small pages, older torch and GPUs.
triton comes with torch's CUDA wheel; it is imported at the first call.
"""

import importlib.util
import os
import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from .interface import AttentionShape, LayerNeeds, QueryRows
from .reference import heads_refusal

if TYPE_CHECKING:
    import torch

MAX_HEAD_SIZE = 512
MAX_GROUP = 128
"""Query heads of a KV head that one program holds."""
MAX_BLOCK = 128
MAX_SPLITS = 32
PROGRAMS_PER_PROCESSOR = 2
"""Where a call has fewer programs for each multiprocessor than this, the keys of a row are split among several."""
PROCESSORS_INTERPRETED = 8
"""Of the multiprocessors that a machine without a GPU has."""


@dataclass(frozen=True)
class Blocks:
    """The sizes of a program's pieces: what is fastest that the registers and the shared memory hold."""

    block: int
    """Pairs of a query and a head."""
    tile: int
    """Keys."""
    warps: int
    stages: int
    """Tiles that are loaded ahead, and one."""


@dataclass(frozen=True)
class TritonKernel:
    """See the module. With `num_splits=1` a row's answer does not depend on the rows beside it."""

    num_splits: int | None = None
    """Parts of a row's keys; None: as many as fill the GPU."""
    page_size: int = 64
    page_sizes: str = "a power of two of at least 16"
    capturable: bool = True

    @property
    def name(self) -> str:
        """See `AttentionKernel`."""
        return "triton" if self.num_splits is None else f"triton, {self.num_splits} split(s)"

    @property
    def batch_invariant(self) -> bool:
        """See `AttentionKernel`."""
        return self.num_splits == 1

    def takes_page_size(self, tokens: int) -> bool:
        """Return whether `tokens` is a power of two of at least 16."""
        return tokens >= 16 and tokens & (tokens - 1) == 0

    def refusal(self, needs: LayerNeeds) -> str | None:
        """See `AttentionKernel`."""
        if not installed():
            return "triton is not installed"
        if needs.device.type != "cuda" and not interpreted():
            return "it needs a CUDA GPU"
        if not has_compiler() and not interpreted():
            return "triton finds no C compiler: neither clang nor gcc, nor what CC names"
        return _size_refusal(needs) or _dtype_refusal(needs) or heads_refusal(needs)

    def __call__(
        self,
        query: "torch.Tensor",
        key_pages: "torch.Tensor",
        value_pages: "torch.Tensor",
        rows: QueryRows,
        shape: AttentionShape,
    ) -> "torch.Tensor":
        """See `AttentionKernel`. Tokens behind the last row's get anything."""
        group = query.shape[1] // key_pages.shape[2]
        # Rows that must not depend on each other have blocks that do not depend on the longest of them.
        longest = MAX_BLOCK if self.batch_invariant and not rows.is_decode else rows.max_query
        blocks = blocks_for(query, longest * group, group)
        queries = 1 if rows.is_decode else blocks.block // group
        programs = rows.count if rows.is_decode else len(query) // queries + rows.count
        splits = self.num_splits or _splits(query.device, programs * key_pages.shape[2], rows.max_keys, blocks.tile)
        with on_device_of(query):
            return _launch((query, key_pages, value_pages), rows, shape, blocks, (programs, queries, splits))


def installed() -> bool:
    """Return whether triton can be imported."""
    return importlib.util.find_spec("triton") is not None


def has_compiler() -> bool:
    """Return whether there is a C compiler, with which triton builds what launches its kernels."""
    named = os.environ.get("CC")
    return any(shutil.which(each) for each in ([named] if named else ["clang", "gcc"]))


def on_device_of(tensor: "torch.Tensor") -> AbstractContextManager[object]:
    """Make a tensor's GPU the current one: triton launches there, wherever the tensors are."""
    import torch  # noqa: PLC0415 - heavy

    if not tensor.is_cuda or tensor.device.index == torch.cuda.current_device():
        return nullcontext()
    return cast(AbstractContextManager[object], torch.cuda.device(tensor.device))


def interpreted() -> bool:
    """Return whether triton's programs run in its interpreter, on the CPU: for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def blocks_for(query: "torch.Tensor", pairs: int, group: int) -> Blocks:
    """Return the sizes for a row of `pairs` queries times heads: short rows get small blocks.

    `tile` depends on the dtype, the head size and the GPU alone: a row's sums have the same order in every call.
    """
    element, width = query.element_size(), max(16, _power_of_two(query.shape[-1]))
    tile, most, stages = _SIZES[element][min(size for size in _SIZES[element] if size >= width)]
    if query.is_cuda and not _has_async_copies(query.device.index):
        tile, most, stages = min(tile, 32), 16, 1
    block = max(16, _power_of_two(group), min(most, _power_of_two(pairs)))
    return Blocks(
        block, tile, 8 if block > 64 or element * width >= 1024 or block * element * width > 32768 else 4, stages
    )


_SIZES = {
    2: {64: (128, 64, 2), 128: (64, 64, 3), 256: (32, 64, 2), 512: (32, 16, 2)},
    4: {64: (32, 32, 2), 128: (16, 32, 2), 512: (16, 16, 2)},
}
"""Bytes of an element, then the width of heads up to which it holds: `tile`, the largest `block`, `stages`.

Measured on an H100 for two bytes and heads of 64 and 128 (docs/benchmarks-gpu.md); elsewhere the largest that spill no
registers.
"""


def _size_refusal(needs: LayerNeeds) -> str | None:
    size = max(needs.head_size, needs.value_size or 0)
    if size > MAX_HEAD_SIZE:
        return f"heads of {size} are longer than {MAX_HEAD_SIZE}"
    if needs.heads // needs.kv_heads > MAX_GROUP:
        return f"{needs.heads // needs.kv_heads} query heads share a KV head, more than {MAX_GROUP}"
    return None


def _dtype_refusal(needs: LayerNeeds) -> str | None:
    import torch  # noqa: PLC0415 - heavy

    if needs.dtype not in (torch.float16, torch.bfloat16, torch.float32):
        return f"{str(needs.dtype).removeprefix('torch.')} is not computed"
    if needs.device.type != "cuda" or torch.version.hip:
        return None
    capability = torch.cuda.get_device_capability(needs.device)
    if capability < (7, 0):
        return f"a GPU of compute capability {capability[0]}.{capability[1]} is too old for triton"
    if needs.dtype == torch.bfloat16 and capability < (8, 0):
        return f"a GPU of compute capability {capability[0]}.{capability[1]} has no bfloat16"
    if needs.head_size > 256 and capability < (8, 0):
        return f"heads of {needs.head_size} do not fit a GPU of compute capability {capability[0]}.{capability[1]}"
    return None


def _power_of_two(number: int) -> int:
    """Return the smallest power of two that is at least `number`."""
    return 1 << max(0, number - 1).bit_length()


def _splits(device: "torch.device", programs: int, max_keys: int, tile: int) -> int:
    """Return into how many parts keys are split, so that `programs` times as many fill the GPU; a power of two."""
    wanted = PROGRAMS_PER_PROCESSOR * _processors(device.type, device.index or 0) // programs
    useful = max_keys // (2 * tile)
    most = min(wanted, useful, MAX_SPLITS)
    return 1 if most < 2 else 1 << (most.bit_length() - 1)


@lru_cache(maxsize=64)
def _processors(device_type: str, index: int) -> int:
    """Return the number of multiprocessors of a GPU."""
    import torch  # noqa: PLC0415 - heavy

    if device_type != "cuda":
        return PROCESSORS_INTERPRETED
    return int(torch.cuda.get_device_properties(index).multi_processor_count)


@lru_cache(maxsize=64)
def _has_async_copies(index: int) -> bool:
    """Return whether a GPU loads tiles ahead (compute capability 8.0); older ones also have less shared memory."""
    import torch  # noqa: PLC0415 - heavy

    return torch.cuda.get_device_capability(index) >= (8, 0)


def _launch(
    tensors: "tuple[torch.Tensor, torch.Tensor, torch.Tensor]",
    rows: QueryRows,
    shape: AttentionShape,
    blocks: Blocks,
    grid: tuple[int, int, int],
) -> "torch.Tensor":
    """Run the programs; `grid` is the number of blocks, the queries of each, and the splits."""
    from . import triton_programs as programs  # noqa: PLC0415 - triton is not everywhere

    (query, keys, values), (count, queries, splits) = tensors, grid
    (tokens, heads, key_size), value_size = query.shape, values.shape[-1]
    out = query.new_empty(tokens, heads, value_size)
    parts, lse = out, out
    if splits > 1:
        parts = out.new_empty(splits, tokens, heads, value_size, dtype=_float32())
        lse = parts.new_empty(splits, tokens, heads)
    widths = max(16, _power_of_two(key_size)), max(16, _power_of_two(value_size))
    # fmt: off
    programs.attend_pages[(count, keys.shape[2], splits)](
        parts, lse, query, keys, values, rows.cu_seqlens, rows.seqused, rows.block_table,
        query if shape.sinks is None else shape.sinks, query if shape.alibi_slopes is None else shape.alibi_slopes,
        shape.scale, shape.softcap or 1.0, shape.window or 0, rows.count, tokens, splits,
        *query.stride()[:2], *keys.stride()[:3], *values.stride()[:3], rows.block_table.stride(0),
        heads=heads, group=heads // keys.shape[2], key_size=key_size, value_size=value_size,
        key_width=widths[0], value_width=widths[1], page=keys.shape[1],
        block=blocks.block, queries=queries, tile=blocks.tile, decode=rows.is_decode, partial=splits > 1,
        has_window=shape.window is not None, has_softcap=shape.softcap is not None,
        has_sinks=shape.sinks is not None, has_alibi=shape.alibi_slopes is not None,
        num_warps=blocks.warps, num_stages=blocks.stages,
    )
    # fmt: on
    if splits > 1:
        pairs = tokens * heads
        programs.merge_splits[(pairs,)](out, parts, lse, pairs, splits, value_size, widths[1], num_warps=1)
    return out


def _float32() -> "torch.dtype":
    import torch  # noqa: PLC0415 - heavy

    return torch.float32
