"""What an attention kernel over paged keys and values is given, and what it says about itself.

Keys and values of a layer lie in a pool of pages, (pages, page size, KV heads, head size). A row is a sequence in a
step: its queries are the tokens that the step computes, its keys all tokens up to them, found through its line of the
block table. The names are those of FlashAttention and vLLM.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class QueryRows:
    """The rows of one attention call; all tensors are int32, contiguous, on the device of the pool.

    A row that only pads a CUDA graph has one query and one key on a page that no sequence owns.
    """

    cu_seqlens: "torch.Tensor"
    """(rows + 1,): where each row's queries begin in the packed tokens; the last entry is their number."""
    seqused: "torch.Tensor"
    """(rows,): keys of each row, the new tokens included; at least as many as its queries."""
    block_table: "torch.Tensor"
    """(rows, pages of the longest row): page of each `page size` keys. Entries behind the last key are never read."""
    max_query: int
    """At least the longest row's queries; 1 says that every row has exactly one, and takes the decode path."""
    max_keys: int
    """At least the longest `seqused`: kernels may drop keys beyond it. In a CUDA graph it is the pool's maximum."""

    @property
    def count(self) -> int:
        """The number of rows, padding included."""
        return self.block_table.shape[0]

    @property
    def is_decode(self) -> bool:
        """Whether every row has exactly one query."""
        return self.max_query == 1


@dataclass(frozen=True)
class AttentionShape:
    """What a layer does between scores and weights; causal in any case."""

    scale: float
    """What the products of queries and keys are multiplied by."""
    window: int | None = None
    """As transformers' `sliding_window`: a query sees itself and the `window - 1` keys before it. None: all."""
    softcap: float | None = None
    """Scaled scores become `softcap * tanh(scores / softcap)`, as in Gemma 2. None: they stay."""
    sinks: "torch.Tensor | None" = None
    """(heads,): a score a head that takes part in the softmax and has no value, as in GPT-OSS."""
    alibi_slopes: "torch.Tensor | None" = None
    """(heads,), float32: `slope * (key position - query position)` is added to the scores, as in BLOOM and MPT."""


@dataclass(frozen=True)
class LayerNeeds:
    """What a model's layers ask of a kernel; layers that differ (Gemma 4's head sizes) have an entry each."""

    device: "torch.device"
    dtype: "torch.dtype"
    heads: int
    kv_heads: int
    head_size: int
    value_size: int | None = None
    """Of the values' heads, where it differs, as in DeepSeek's MLA. None: `head_size`."""
    window: bool = False
    softcap: bool = False
    sinks: bool = False
    alibi: bool = False


class AttentionKernel(Protocol):
    """Attention of a step's queries over the pages of their rows."""

    @property
    def name(self) -> str:
        """Goes into the fingerprint of a run: another name, another arithmetic."""
        ...

    @property
    def page_size(self) -> int:
        """Tokens of a page, as this kernel is fastest."""
        ...

    @property
    def page_sizes(self) -> str:
        """Which page sizes it takes, in words."""
        ...

    @property
    def capturable(self) -> bool:
        """Whether a CUDA graph may hold it: no wait of the host, a grid that depends on shapes and maxima only."""
        ...

    @property
    def batch_invariant(self) -> bool:
        """Whether a row's answer is the same to the bit whatever rows are beside it."""
        ...

    def takes_page_size(self, tokens: int) -> bool:
        """Whether the pool may have pages of so many tokens."""
        ...

    def refusal(self, needs: LayerNeeds) -> str | None:
        """Return why it cannot serve such a layer here, in words; None if it can."""
        ...

    def __call__(
        self,
        query: "torch.Tensor",
        key_pages: "torch.Tensor",
        value_pages: "torch.Tensor",
        rows: QueryRows,
        shape: AttentionShape,
    ) -> "torch.Tensor":
        """Return the attention of `query`, (tokens, heads, head size): (tokens, heads, values' head size), its dtype.

        The keys and values of all queries are in the pages already. Query i of a row's n sees keys up to
        `seqused - n + i`. What pages hold behind a row's keys must not matter, NaN included.
        """
        ...
