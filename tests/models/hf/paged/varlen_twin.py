"""`varlen_attn` for the CPU, as strict as FlashAttention 2 and 3 on a GPU, for tests without one.

What the real kernel refuses is an error here. What it does wrongly without a word is wrong here too: rows unwritten
when keys are split where that is not implemented, the newest keys dropped when `max_k` is too small. What it leaves
unread may hold anything: table entries behind a row's last key are never looked at. Read from torch's flash_api.cpp.

`install` registers it for the whole process: tests that use it run in one of their own.
"""

import math
from collections import Counter
from typing import Literal

import torch
from torch.nn.attention import varlen

FlashAttention = Literal["FA2", "FA3"]

CALLS: Counter[str] = Counter()
"""Calls since `install`: "folded" (the decode path that folds query heads into rows), "plain"."""
_ACTIVE: list[FlashAttention] = []
_FLOAT32: list[bool] = []


def install(implementation: FlashAttention = "FA2", *, float32: bool = False) -> None:
    """Register the twin for CPU tensors; `float32` lets tests compare exactly what the real one does not compute."""
    _ACTIVE[:], _FLOAT32[:] = [implementation], [float32]
    CALLS.clear()
    varlen._varlen_attn.register_kernel("cpu")(_twin)


def _twin(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor | None,
    max_q: int,
    max_k: int,
    is_causal: bool = False,
    scale: float | None = None,
    window_size: list[int] | None = None,
    enable_gqa: bool = False,
    seqused_k: torch.Tensor | None = None,
    block_table: torch.Tensor | None = None,
    num_splits: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    left, right = window_size or (-1, -1)
    if seqused_k is None or block_table is None:
        raise RuntimeError("the twin is paged: seqused_k and block_table must be given")
    _check_tensors(query, key, value)
    _check_rows(cu_seq_q, cu_seq_k, seqused_k, block_table)
    if is_causal != ((left, right) == (-1, 0)):
        raise RuntimeError("is_causal disagrees with the window")
    heads, kv_heads, rows = query.shape[1], key.shape[2], len(cu_seq_q) - 1
    folded = _ACTIVE[0] == "FA2" and max_q == 1 and heads > kv_heads and left < 0 and right < 0
    if folded and len(query) != rows:
        raise RuntimeError(f"shape '[{rows}, ...]' is invalid for {len(query)} queries: each row must have exactly one")
    CALLS["folded" if folded else "plain"] += 1
    broken = _ACTIVE[0] == "FA2" and num_splits != 1 and not folded
    out = torch.full_like(query, math.nan)
    lse = torch.full((heads, len(query)), math.nan, dtype=torch.float32)
    for row in range(1 if broken else rows):
        begins, ends, used = int(cu_seq_q[row]), int(cu_seq_q[row + 1]), int(seqused_k[row])
        if ends - begins > max_q:
            ends = begins + max_q
        table = block_table[row]
        _check_row(row, ends - begins, used, table, key.shape)
        # FlashAttention 3 takes the width of the table where 2 takes max_k.
        known = min(used, max_k) if _ACTIVE[0] == "FA2" else used
        numbers = table[: -(-used // key.shape[1])].long()
        pair = key[numbers].flatten(0, 1)[:known], value[numbers].flatten(0, 1)[:known]
        answer, sums = _row(query[begins:ends].float(), pair, used, (left, right), scale)
        out[begins:ends], lse[:, begins:ends] = answer.to(query.dtype), sums
    return out, lse, torch.zeros(2, dtype=torch.uint64)


def _row(
    query: torch.Tensor,
    pair: tuple[torch.Tensor, torch.Tensor],
    used: int,
    window: tuple[int, int],
    scale: float | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the answer and the log-sum-exps of one row; its last query sees key `used - 1` where it is causal."""
    key, value = (side.float().repeat_interleave(query.shape[1] // side.shape[1], 1) for side in pair)
    scores = torch.einsum("qhd,khd->hqk", query, key) * (query.shape[-1] ** -0.5 if scale is None else scale)
    distance = torch.arange(len(key)) - torch.arange(used - len(query), used)[:, None]
    left, right = window
    hidden = torch.zeros_like(distance, dtype=torch.bool)
    if right >= 0:
        hidden |= distance > right
    if left >= 0:
        hidden |= distance < -left
    scores = scores.masked_fill(hidden, -math.inf)
    weights = scores.softmax(-1).nan_to_num(0.0)
    return torch.einsum("hqk,khd->qhd", weights, value), scores.logsumexp(-1)


def _check_tensors(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
    allowed = [torch.float16, torch.bfloat16, *([torch.float32] if _FLOAT32[0] else [])]
    if query.dtype not in allowed:
        raise RuntimeError("FlashAttention only support fp16 and bf16 data type")
    if not query.dtype == key.dtype == value.dtype:
        raise RuntimeError("query and key must have the same dtype")
    if any(tensor.stride(-1) != 1 for tensor in (query, key, value)):
        raise RuntimeError("Input tensor must have contiguous last dimension")
    size = query.shape[-1]
    if size % 8 or size > 256 or key.shape[-1] != size or value.shape[-1] != size:
        raise RuntimeError(f"heads of {size}: multiples of 8 up to 256, the same for query, key and value")
    if _ACTIVE[0] == "FA2" and key.shape[1] % 256:
        raise RuntimeError("Paged KV cache block size must be divisible by 256")
    if query.shape[1] % key.shape[2]:
        raise RuntimeError("Number of heads in key/value must divide number of heads in query")


def _check_rows(
    cu_seq_q: torch.Tensor, cu_seq_k: torch.Tensor | None, seqused_k: torch.Tensor, block_table: torch.Tensor
) -> None:
    if _ACTIVE[0] == "FA2" and cu_seq_k is None:
        raise RuntimeError(
            "cumulative_sequence_length_q and cumulative_sequence_length_k must be both set or both not set"
        )
    if _ACTIVE[0] == "FA3" and cu_seq_k is not None:
        raise RuntimeError("cu_seqlens_k must be None with a page table")
    given = {"cu_seq_q": cu_seq_q, "seqused_k": seqused_k, "block_table": block_table}
    if cu_seq_k is not None:
        given["cu_seq_k"] = cu_seq_k
    for name, tensor in given.items():
        if tensor.dtype != torch.int32:
            raise RuntimeError(f"{name} must have dtype torch.int32")
        if name == "block_table" and tensor.stride(-1) != 1:
            raise RuntimeError("page_table must have contiguous last dimension")
        if name != "block_table" and not tensor.is_contiguous():
            raise RuntimeError(f"{name} must be contiguous")
    rows = len(cu_seq_q) - 1
    if rows < 1 or seqused_k.shape != (rows,) or len(block_table) != rows:
        raise RuntimeError(f"{rows} rows by cu_seq_q, {len(seqused_k)} by seqused_k, {len(block_table)} by block_table")


def _check_row(row: int, queries: int, used: int, table: torch.Tensor, pool: torch.Size) -> None:
    """Refuse what the real kernel does not check and what would be memory of others, or nonsense, there."""
    if used < queries or (queries and used < 1):
        raise RuntimeError(f"row {row} has {queries} queries and {used} keys")
    if used > len(table) * pool[1]:
        raise RuntimeError(f"row {row} has {used} keys, more than its {len(table)} pages hold")
    numbers = table[: -(-used // pool[1])]
    if used and not bool(((numbers >= 0) & (numbers < pool[0])).all()):
        raise RuntimeError(f"row {row} has pages that are not in the pool of {pool[0]}: {numbers.tolist()}")
