"""Paged attention by torch's own `torch.nn.attention.varlen.varlen_attn`: FlashAttention 2, or 3 and 4 where activated.

The rules of its use, each the reason of a line below:

* rows of one query over all keys go with the window (-1, -1): only then FlashAttention 2 folds the query heads of a KV
  head into rows, and only there is splitting the keys right. With (-1, 0) it would do neither;
* everywhere else `num_splits=1`: left to itself the kernel splits the keys of few rows and leaves the rows behind the
  first unwritten (pytorch issue 194167);
* `max_k` too small drops the newest keys without an error; it may be too large;
* `cu_seq_k` must be given to FlashAttention 2, which does not read it with pages, and must be None for 3 and 4;
* the log-sum-exps come as (heads, tokens), whatever the documentation says.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from .interface import AttentionShape, LayerNeeds, QueryRows
from .reference import heads_refusal

if TYPE_CHECKING:
    import torch

PAGE = 256
"""FlashAttention 2 takes pages of multiples of it."""
MAX_HEAD_SIZE = 256
PARAMETERS = ("block_table", "seqused_k", "num_splits", "window_size", "enable_gqa", "return_aux")
"""What `varlen_attn` must take; older versions of torch lack some."""


@dataclass(frozen=True)
class VarlenKernel:
    """See the module. With `num_splits=1` a row's answer does not depend on the rows beside it."""

    num_splits: int | None = None
    """None: decoding splits the keys as the kernel sees fit."""
    device_types: tuple[str, ...] = ("cuda",)
    """Where torch has such a kernel; tests register one for the CPU."""
    page_size: int = PAGE
    page_sizes: str = f"a multiple of {PAGE}"
    capturable: bool = True

    @property
    def name(self) -> str:
        """See `AttentionKernel`: FlashAttention's version is part of it."""
        splits = "" if self.num_splits is None else f", {self.num_splits} split(s)"
        return f"varlen_attn, {flash_attention()}{splits}"

    @property
    def batch_invariant(self) -> bool:
        """See `AttentionKernel`."""
        return self.num_splits == 1

    def takes_page_size(self, tokens: int) -> bool:
        """Return whether `tokens` is a multiple of 256."""
        return tokens > 0 and tokens % PAGE == 0

    def refusal(self, needs: LayerNeeds) -> str | None:
        """See `AttentionKernel`."""
        missing = missing_parameters()
        if missing:
            return f"varlen_attn of this torch has no {missing[0]}"
        if needs.device.type not in self.device_types:
            return "it needs a CUDA GPU"
        return _features_refusal(needs) or _gpu_refusal(needs) or heads_refusal(needs)

    def __call__(
        self,
        query: "torch.Tensor",
        key_pages: "torch.Tensor",
        value_pages: "torch.Tensor",
        rows: QueryRows,
        shape: AttentionShape,
    ) -> "torch.Tensor":
        """See `AttentionKernel`."""
        from torch.nn.attention.varlen import AuxRequest, varlen_attn  # noqa: PLC0415 - heavy

        grouped = query.shape[1] != key_pages.shape[2]
        window: tuple[int, int] = (-1, 0)
        splits: int | None = 1
        if shape.window is not None:
            window = (shape.window - 1, 0)
        elif rows.is_decode:
            window = (-1, -1)
            splits = self.num_splits if grouped else 1
        answer = varlen_attn(
            query,
            key_pages,
            value_pages,
            rows.cu_seqlens,
            rows.cu_seqlens if flash_attention() == "FA2" else None,
            rows.max_query,
            # A row's keys lie within its line of the table: what the kernel would read behind it is no memory of ours.
            min(rows.max_keys, rows.block_table.shape[1] * key_pages.shape[1]),
            return_aux=None if shape.sinks is None else AuxRequest(lse=True),
            scale=shape.scale,
            window_size=window,
            enable_gqa=grouped,
            seqused_k=rows.seqused,
            block_table=rows.block_table,
            num_splits=splits,
        )
        if isinstance(answer, tuple) and shape.sinks is not None:
            return with_sinks(*answer, shape.sinks)
        return answer[0] if isinstance(answer, tuple) else answer


def with_sinks(answer: "torch.Tensor", lse: "torch.Tensor", sinks: "torch.Tensor") -> "torch.Tensor":
    """Return `answer`, (tokens, heads, size), as if `sinks`, (heads,), had taken part in its softmax.

    A sink adds exp(sink) to the sum of weights, which is exp(lse): the answer shrinks by sigmoid(lse - sink). `lse` is
    (heads, tokens).
    """
    share = (lse.t() - sinks.float()).sigmoid()
    return (answer * share[..., None]).to(answer.dtype)


@cache
def missing_parameters() -> tuple[str, ...]:
    """Return what `varlen_attn` of this torch does not take; all if there is none."""
    import inspect  # noqa: PLC0415 - with torch

    if importlib.util.find_spec("torch.nn.attention.varlen") is None:
        return PARAMETERS
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - heavy

    known = inspect.signature(varlen_attn).parameters
    return tuple(name for name in PARAMETERS if name not in known)


def flash_attention() -> str:
    """Return which FlashAttention `varlen_attn` calls: FA2, unless another one was activated in this process."""
    from torch.nn import attention  # noqa: PLC0415 - heavy

    current = getattr(attention, "current_flash_attention_impl", None)
    return "FA2" if current is None else current() or "FA2"


def _features_refusal(needs: LayerNeeds) -> str | None:
    import torch  # noqa: PLC0415 - heavy

    if needs.softcap:
        return "it has no softcap"
    if needs.alibi:
        return "it has no ALiBi"
    if needs.value_size not in (None, needs.head_size):
        return f"keys of {needs.head_size} and values of {needs.value_size} differ"
    if needs.head_size % 8 or needs.head_size > MAX_HEAD_SIZE:
        return f"heads of {needs.head_size}: it takes multiples of 8 up to {MAX_HEAD_SIZE}"
    if needs.device.type == "cuda" and needs.dtype not in (torch.float16, torch.bfloat16):
        return f"{str(needs.dtype).removeprefix('torch.')} is not computed"
    return None


def _gpu_refusal(needs: LayerNeeds) -> str | None:
    import torch  # noqa: PLC0415 - heavy

    if needs.device.type != "cuda":
        return None
    if torch.version.hip:
        return "on ROCm it cannot be told not to split"
    major, minor = torch.cuda.get_device_capability(needs.device)
    if major < 8:
        return f"a GPU of compute capability {major}.{minor} has no FlashAttention"
    wanted = {"FA2": range(8, 100), "FA3": range(9, 10), "FA4": range(10, 11)}
    implementation = flash_attention()
    if major not in wanted.get(implementation, ()):
        return f"{implementation} has no pages on a GPU of compute capability {major}.{minor}"
    return None
