"""The kernels on a GPU: right for every kind of rows, in a CUDA graph too; skipped without one.

The triton kernel passed these on an H100 with torch 2.11 and triton 3.6, by hand (docs/benchmarks-gpu.md). The varlen
kernel has not been run yet, for that torch's `varlen_attn` has no pages.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from importlib import import_module
from typing import Any

import pytest
import torch

KERNELS = import_module("xlingual.plugins.models.hf.paged.kernels")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

ERRORS = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1e-2}
"""Most of the norm of the answer."""
ROWS = {
    "decode": [(1, 1), (1, 64), (1, 65), (1, 1300)],
    "many that decode": [(1, 1 + 37 * row % 300) for row in range(150)],
    "prompts": [(5, 5), (64, 64), (150, 150)],
    "chunks": [(3, 19), (1, 533), (100, 700), (2, 2)],
    "drafts": [(5, 400), (3, 20), (5, 300)],
}
GEOMETRIES = {
    "8 of 128 in bfloat16": (8, 2, 128, torch.bfloat16),
    "8 of 64 in float16": (8, 8, 64, torch.float16),
    "8 of 64 in float32": (8, 2, 64, torch.float32),
    "4 of 256 in bfloat16": (4, 2, 256, torch.bfloat16),
    "7 of 80 in bfloat16": (7, 1, 80, torch.bfloat16),
}


def on_gpu(case: Any) -> Any:  # noqa: ANN401 - of the conftest
    """Return the case with its tensors on the GPU."""
    rows = case.rows
    moved = {each.name: getattr(rows, each.name) for each in fields(rows)}
    moved = {name: value.cuda() if isinstance(value, torch.Tensor) else value for name, value in moved.items()}
    return replace(
        case, query=case.query.cuda(), keys=case.keys.cuda(), values=case.values.cuda(), rows=type(rows)(**moved)
    )


def shapes(heads: int) -> dict[str, Any]:
    shape, sinks = KERNELS.AttentionShape, torch.linspace(-2, 3, heads).cuda()
    slopes = (2.0 ** -torch.arange(1, heads + 1).float()).cuda()
    return {
        "plain": shape(0.125),
        "window": shape(0.125, window=100),
        "softcap in a window": shape(0.125, window=33, softcap=2.0),
        "sinks in a window": shape(0.125, window=129, sinks=sinks),
        "alibi": shape(0.125, alibi_slopes=slopes),
    }


def needs(geometry: tuple[int, int, int, torch.dtype], shape: Any) -> Any:  # noqa: ANN401 - of the plugin
    heads, kv_heads, size, dtype = geometry
    return KERNELS.LayerNeeds(
        torch.device("cuda", 0), dtype, heads, kv_heads, size, window=shape.window is not None,
        softcap=shape.softcap is not None, sinks=shape.sinks is not None, alibi=shape.alibi_slopes is not None,
    )  # fmt: skip


@pytest.mark.parametrize("splits", [None, 1])
@pytest.mark.parametrize("kind", ["TritonKernel", "VarlenKernel"])
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=list(GEOMETRIES))
def test_kernels_are_the_textbook(
    geometry: tuple[int, int, int, torch.dtype],
    kind: str,
    splits: int | None,
    paged_case: Callable[..., Any],
) -> None:
    heads, kv_heads, size, dtype = geometry
    kernel = getattr(KERNELS, kind)(num_splits=splits)
    for name, shape in shapes(heads).items():
        if kernel.refusal(needs(geometry, shape)) is not None:
            continue
        for rows, lengths in ROWS.items():
            made = {"heads": heads, "kv_heads": kv_heads, "size": size, "page": kernel.page_size, "dtype": dtype}
            case = on_gpu(paged_case(lengths, **made))
            wanted = case.attend(KERNELS.ReferenceKernel(), shape).double()
            error = (case.attend(kernel, shape).double() - wanted).norm() / wanted.norm()
            assert float(error) < ERRORS[dtype], (name, rows)


@pytest.mark.parametrize("kind", ["TritonKernel", "VarlenKernel"])
def test_a_graph_reads_contexts_that_have_grown(kind: str, paged_case: Callable[..., Any]) -> None:
    kernel, shape = getattr(KERNELS, kind)(), KERNELS.AttentionShape(0.125)
    geometry = (8, 2, 128, torch.bfloat16)
    if (reason := kernel.refusal(needs(geometry, shape))) is not None:
        pytest.skip(reason)
    made = {"heads": 8, "kv_heads": 2, "size": 128, "page": kernel.page_size, "dtype": torch.bfloat16}
    case = on_gpu(paged_case([(1, 1000)] * 12, **made))
    used = torch.arange(1, 13, dtype=torch.int32).cuda()
    width = case.rows.block_table.shape[1] * kernel.page_size
    case = replace(case, rows=replace(case.rows, seqused=used, max_keys=width))
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # of torch
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        case.attend(kernel, shape)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        answer = case.attend(kernel, shape)
    for grown in (0, 400, 900):
        used.copy_(torch.arange(1, 13) + grown)
        graph.replay()
        wanted = case.attend(KERNELS.ReferenceKernel(), shape).float()
        assert float((answer.float() - wanted).norm() / wanted.norm()) < ERRORS[torch.bfloat16]


@pytest.mark.parametrize("kind", ["TritonKernel", "VarlenKernel"])
def test_a_row_alone_is_the_row_in_company(kind: str, paged_case: Callable[..., Any]) -> None:
    kernel, shape = getattr(KERNELS, kind)(num_splits=1), KERNELS.AttentionShape(0.125)
    if (reason := kernel.refusal(needs((8, 2, 64, torch.bfloat16), shape))) is not None:
        pytest.skip(reason)
    made = {"heads": 8, "kv_heads": 2, "size": 64, "page": kernel.page_size, "dtype": torch.bfloat16}
    case = on_gpu(paged_case([(1, 700), (1, 33), (1, 1900), *[(1, 50)] * 40], **made))
    rows = case.rows
    first = rows.cu_seqlens[:2]
    alone = KERNELS.QueryRows(first, rows.seqused[2:3], rows.block_table[2:3].contiguous(), 1, 1900)
    together = case.attend(kernel, shape)[2:3]
    assert torch.equal(kernel(case.query[2:3], case.keys, case.values, alone, shape), together)
