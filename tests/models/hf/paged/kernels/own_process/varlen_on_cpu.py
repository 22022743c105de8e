"""The varlen kernel over the strict twin of `varlen_attn`, registered for this process: see `test_own_process`."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any, Protocol

import pytest
import torch

from ...varlen_twin import CALLS, FlashAttention, install

VARLEN = import_module("xlingual.plugins.models.hf.paged.kernels.varlen")
INTERFACE = import_module("xlingual.plugins.models.hf.paged.kernels.interface")


class PagedCase(Protocol):
    query: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    rows: Any


KERNEL = VARLEN.VarlenKernel(device_types=("cpu",))
ROWS = {
    "decode": [(1, 1), (1, 256), (1, 257), (1, 300)],
    "prefill of whole prompts": [(5, 5), (16, 16), (33, 33)],
    "chunks behind a prefix": [(3, 19), (1, 33), (16, 300), (2, 2)],
    "a row without queries": [(0, 8), (4, 20)],
}
SINKS = torch.linspace(-2, 3, 4)
SHAPES = {
    "plain": INTERFACE.AttentionShape(0.25),
    "window of one": INTERFACE.AttentionShape(0.25, window=1),
    "window": INTERFACE.AttentionShape(0.25, window=20),
    "window longer than all": INTERFACE.AttentionShape(0.25, window=4096),
    "sinks": INTERFACE.AttentionShape(0.25, sinks=SINKS),
    "sinks in a window": INTERFACE.AttentionShape(0.25, window=9, sinks=SINKS),
}


@pytest.fixture(params=["FA2", "FA3"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FlashAttention:
    install(request.param, float32=True)
    monkeypatch.setattr(VARLEN, "flash_attention", lambda: request.param)
    return "FA2" if request.param == "FA2" else "FA3"


@pytest.mark.parametrize("splits", [None, 1])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
@pytest.mark.parametrize("lengths", ROWS.values(), ids=list(ROWS))
@pytest.mark.usefixtures("implementation")
def test_varlen_is_the_textbook(
    lengths: list[tuple[int, int]],
    shape: object,
    kv_heads: int,
    splits: int | None,
    paged_case: Callable[..., Any],
    expected: Callable[..., Any],
) -> None:
    case = paged_case(lengths, kv_heads=kv_heads, page=256)
    answer = case.attend(replace(KERNEL, num_splits=splits), shape)
    torch.testing.assert_close(answer.double(), expected(case, shape), atol=3e-6, rtol=3e-5)


def test_decoding_takes_the_fast_path_every_time(paged_case: Callable[..., Any]) -> None:
    install(float32=True)
    for seed in range(3):
        paged_case(ROWS["decode"], page=256, seed=seed).attend(KERNEL, SHAPES["plain"])
    paged_case(ROWS["decode"], page=256).attend(KERNEL, SHAPES["window"])
    paged_case(ROWS["chunks behind a prefix"], page=256).attend(KERNEL, SHAPES["plain"])
    assert CALLS == {"folded": 3, "plain": 2}


def test_more_keys_than_the_table_holds_are_never_asked_for(paged_case: Callable[..., Any]) -> None:
    install(float32=True)
    case = paged_case([(1, 256), (1, 20)], page=256, slack=0)
    grown = replace(case, rows=replace(case.rows, max_keys=1 << 20))
    assert torch.equal(grown.attend(KERNEL, SHAPES["plain"]), case.attend(KERNEL, SHAPES["plain"]))


def trap(case: PagedCase, **changes: object) -> torch.Tensor:
    """Call `varlen_attn` itself, as someone might who does not know its rules."""
    rows = case.rows
    call: dict[str, Any] = {
        "cu_seq_q": rows.cu_seqlens,
        "cu_seq_k": rows.cu_seqlens,
        "max_q": rows.max_query,
        "max_k": rows.max_keys,
        "seqused_k": rows.seqused,
        "block_table": rows.block_table,
        "num_splits": 1,
        "window_size": (-1, 0),
        "enable_gqa": True,
    }
    answer = torch.nn.attention.varlen.varlen_attn(case.query, case.keys, case.values, **call | changes)
    assert isinstance(answer, torch.Tensor)
    return answer


def test_the_twin_splits_as_wrongly_as_the_kernel(paged_case: Callable[..., Any]) -> None:
    install(float32=True)
    case = paged_case(ROWS["chunks behind a prefix"], page=256)
    assert not trap(case).isnan().any()
    assert trap(case, num_splits=None)[3:].isnan().all()


def test_the_twin_drops_the_newest_keys_of_a_small_maximum(paged_case: Callable[..., Any]) -> None:
    install(float32=True)
    case = paged_case(ROWS["decode"], page=256)
    short, whole = trap(case, max_k=256), trap(case)
    assert torch.equal(short[:2], whole[:2])
    assert not torch.isclose(short[2:], whole[2:]).all()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "small pages": ({"page": 16}, "divisible by 256"),
    "float32": ({}, "fp16 and bf16"),
    "odd heads": ({"page": 256, "size": 12}, "multiples of 8"),
}


@pytest.mark.parametrize(("made", "message"), WRONG.values(), ids=list(WRONG))
def test_the_twin_refuses_pools(made: dict[str, Any], message: str, paged_case: Callable[..., Any]) -> None:
    install(float32="fp16" not in message)
    case = paged_case(ROWS["decode"], **made)
    with pytest.raises(RuntimeError, match=message):
        trap(case)


def test_the_twin_refuses_rows(paged_case: Callable[..., Any]) -> None:
    install(float32=True)
    case = paged_case(ROWS["decode"], page=256)
    rows = case.rows
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"seqused_k": rows.seqused.long()}, "int32"),
        ({"block_table": rows.block_table.t().contiguous().t()}, "contiguous last dimension"),
        ({"cu_seq_k": None}, "both set or both not set"),
        ({"seqused_k": rows.seqused * 0}, "0 keys"),
        ({"seqused_k": rows.seqused + 4096}, "more than its"),
        ({"block_table": rows.block_table * 0 - 1}, "not in the pool"),
        ({"seqused_k": rows.seqused[:-1]}, "4 rows by cu_seq_q, 3 by seqused_k"),
        ({"cu_seq_q": rows.cu_seqlens[:-1].contiguous(), "window_size": (-1, -1)}, "3 rows by cu_seq_q"),
    ]
    for changes, message in wrong:
        with pytest.raises(RuntimeError, match=message):
            trap(case, **changes)
