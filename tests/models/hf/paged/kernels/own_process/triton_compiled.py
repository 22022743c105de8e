"""triton compiles the programs for GPUs that are not here, and their tiles fit the shared memory there."""

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TRITON = import_module("xlingual.plugins.models.hf.paged.kernels.triton_kernel")

SHARED_MEMORY = {75: 65_536, 80: 166_912, 86: 101_376, 90: 232_448}
"""Bytes that a block of a GPU of each compute capability may have."""
NAMES = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32"}
POINTERS = {"cu_seqlens": "*i32", "seqused": "*i32", "table": "*i32", "lse": "*fp32", "slopes": "*fp32"}
CASES = [
    (75, torch.float16, 128), (75, torch.float32, 256), (80, torch.bfloat16, 64), (86, torch.bfloat16, 128),
    (86, torch.bfloat16, 256), (86, torch.bfloat16, 512), (86, torch.float32, 512), (90, torch.bfloat16, 128),
]  # fmt: skip


def compiled(capability: int, dtype: torch.dtype, size: int, pairs: int, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - of triton
    programs = import_module("xlingual.plugins.models.hf.paged.kernels.triton_programs")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: divmod(capability, 10))
    TRITON._has_async_copies.cache_clear()
    device, group, decode = SimpleNamespace(index=0), 4, pairs == 4
    query = SimpleNamespace(shape=(1, 32, size), element_size=lambda: dtype.itemsize, is_cuda=True, device=device)
    blocks = TRITON.blocks_for(query, pairs, group)
    width = max(16, 1 << (size - 1).bit_length())
    fixed = {
        "heads": 32, "group": group, "key_size": size, "value_size": size, "key_width": width, "value_width": width,
        "page": 64, "block": blocks.block, "queries": 1 if decode else blocks.block // group, "tile": blocks.tile,
        "decode": decode, "partial": decode, "has_window": True, "has_softcap": True, "has_sinks": True,
        "has_alibi": True,
    }  # fmt: skip
    names = programs.attend_pages.arg_names
    kinds = dict.fromkeys(names, "i32") | {"scale": "fp32", "softcap": "fp32"} | POINTERS
    kinds |= dict.fromkeys(("query", "keys", "values", "sinks"), f"*{NAMES[dtype]}")
    kinds |= {"out": "*fp32" if decode else f"*{NAMES[dtype]}"} | dict.fromkeys(fixed, "constexpr")
    source = ASTSource(
        fn=programs.attend_pages,
        signature={name: kinds[name] for name in names},
        constexprs={(names.index(name),): value for name, value in fixed.items()},
    )
    options = {"num_warps": blocks.warps, "num_stages": blocks.stages}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


@pytest.mark.parametrize("pairs", [4, 4096], ids=["decode", "prefill"])
@pytest.mark.parametrize(("capability", "dtype", "size"), CASES)
def test_programs_fit(
    capability: int, dtype: torch.dtype, size: int, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = compiled(capability, dtype, size, pairs, monkeypatch)
    assert made.metadata.shared <= SHARED_MEMORY[capability]
