"""Pools of pages with NaN wherever no key lies, and attention over them as a textbook has it, row by row in float64."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import pytest
import torch

INTERFACE = import_module("xlingual.plugins.models.hf.paged.kernels.interface")


class Shape(Protocol):
    """The fields of `AttentionShape`."""

    scale: float
    window: int | None
    softcap: float | None
    sinks: torch.Tensor | None
    alibi_slopes: torch.Tensor | None


@dataclass(frozen=True)
class Case:
    """A call of a kernel; `lengths` are (queries, keys) of each row."""

    query: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    rows: Any
    lengths: tuple[tuple[int, int], ...]

    def attend(self, kernel: Callable[..., torch.Tensor], shape: Shape) -> torch.Tensor:
        return kernel(self.query, self.keys, self.values, self.rows, shape)


def make_case(
    lengths: Sequence[tuple[int, int]],
    *,
    heads: int = 4,
    kv_heads: int = 2,
    size: int = 16,
    page: int = 16,
    dtype: torch.dtype = torch.float32,
    slack: int = 3,
    seed: int = 0,
) -> Case:
    """Return random rows whose pages lie in any order; the table is `slack` pages too wide, its tail out of range."""
    generator = torch.Generator().manual_seed(seed)
    counts = [-(-keys // page) for _, keys in lengths]
    pool = sum(counts) + 2
    order = torch.randperm(pool, generator=generator).tolist()
    keys, values = (torch.full((pool, page, kv_heads, size), float("nan")) for _ in range(2))
    table = torch.full((len(lengths), max(counts) + slack), 1 << 30, dtype=torch.int32)
    for row, (count, (_, used)) in enumerate(zip(counts, lengths, strict=True)):
        for index in range(count):
            number = order.pop()
            table[row, index] = number
            filled = min(page, used - index * page)
            for side in (keys, values):
                side[number, :filled] = torch.randn(filled, kv_heads, size, generator=generator)
    queries = torch.tensor([0, *(count for count, _ in lengths)]).cumsum(0).int()
    rows = INTERFACE.QueryRows(
        queries,
        torch.tensor([used for _, used in lengths], dtype=torch.int32),
        table,
        max(count for count, _ in lengths),
        max(used for _, used in lengths),
    )
    query = torch.randn(int(queries[-1]), heads, size, generator=generator)
    return Case(query.to(dtype), keys.to(dtype), values.to(dtype), rows, tuple(lengths))


def textbook(case: Case, shape: Shape) -> torch.Tensor:
    """Return the attention of each query by itself, in float64."""
    page, kv_heads = case.keys.shape[1:3]
    group = case.query.shape[1] // kv_heads
    out = torch.zeros(case.query.shape, dtype=torch.float64)
    token = 0
    for row, (queries, used) in enumerate(case.lengths):
        numbers = case.rows.block_table[row, : -(-used // page)].long()
        key, value = (side[numbers].flatten(0, 1)[:used].double() for side in (case.keys, case.values))
        for position in range(used - queries, used):
            first = 0 if shape.window is None else max(0, position + 1 - shape.window)
            seen = torch.arange(first, position + 1)
            for head in range(case.query.shape[1]):
                scores = key[seen, head // group] @ case.query[token, head].double() * shape.scale
                if shape.softcap is not None:
                    scores = shape.softcap * torch.tanh(scores / shape.softcap)
                if shape.alibi_slopes is not None:
                    scores = scores + shape.alibi_slopes[head].double() * (seen - position)
                weights = scores.exp()
                sink = 0.0 if shape.sinks is None else shape.sinks[head].double().exp()
                out[token, head] = weights @ value[seen, head // group] / (weights.sum() + sink)
            token += 1
    return out


@pytest.fixture
def paged_case() -> Callable[..., Case]:
    return make_case


@pytest.fixture
def expected() -> Callable[[Case, Shape], torch.Tensor]:
    return textbook


def shapes_of(heads: int, scale: float) -> dict[str, Shape]:
    """Return the shapes of attention that models have, by name."""
    shape = INTERFACE.AttentionShape
    sinks = torch.linspace(-2, 3, heads)
    slopes = 2.0 ** -torch.arange(1, heads + 1).float()
    return {
        "plain": shape(scale),
        "window of one": shape(scale, window=1),
        "window of a page and one": shape(scale, window=17),
        "window longer than all": shape(scale, window=4096),
        "softcap": shape(scale, softcap=5.0),
        "softcap in a window": shape(scale, window=20, softcap=2.0),
        "sinks": shape(scale, sinks=sinks),
        "sinks in a window": shape(scale, window=9, sinks=sinks),
        "alibi": shape(scale, alibi_slopes=slopes),
    }


@pytest.fixture(params=list(shapes_of(4, 0.25)))
def attention_shape(request: pytest.FixtureRequest) -> Shape:
    return shapes_of(4, 0.25)[str(request.param)]
