"""The first kernel that takes every layer is chosen, and the record says why not a better one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from types import SimpleNamespace
from typing import Protocol

import pytest
import torch

CHOICE = import_module("xlingual.plugins.models.hf.paged.kernels.choice")
INTERFACE = import_module("xlingual.plugins.models.hf.paged.kernels.interface")
REFERENCE = import_module("xlingual.plugins.models.hf.paged.kernels.reference")

PLAIN = INTERFACE.LayerNeeds(torch.device("cpu"), torch.float32, heads=4, kv_heads=2, head_size=16)


class Needs(Protocol):
    softcap: bool


@dataclass(frozen=True)
class NoSoftcap:
    name: str = "no softcap"
    page_size: int = 256
    page_sizes: str = "multiples of 256"

    def takes_page_size(self, tokens: int) -> bool:
        return tokens % 256 == 0

    def refusal(self, needs: Needs) -> str | None:
        return "softcap is not computed" if needs.softcap else None


KERNELS = (NoSoftcap(), REFERENCE.ReferenceKernel())


def test_the_best_kernel_comes_with_its_pages() -> None:
    choice = CHOICE.choose_kernel([PLAIN], KERNELS)
    assert choice.said == "attention kernel: no softcap, pages of 256 tokens"


def test_one_layer_that_is_refused_decides_for_all_and_is_said() -> None:
    choice = CHOICE.choose_kernel([PLAIN, replace(PLAIN, softcap=True)], KERNELS)
    assert choice.said == "attention kernel: reference, pages of 16 tokens; not no softcap: softcap is not computed"


def test_pages_that_are_asked_for_decide_too() -> None:
    choice = CHOICE.choose_kernel([PLAIN], KERNELS, page_size=32)
    assert (choice.kernel.name, choice.page_size) == ("reference", 32)
    assert choice.passed_over == ("no softcap: pages have multiples of 256 tokens",)


def test_heads_that_cannot_be_shared_have_no_kernel() -> None:
    with pytest.raises(ValueError, match="reference: 5 query heads cannot share 2 KV heads evenly"):
        CHOICE.choose_kernel([replace(PLAIN, heads=5)], (REFERENCE.ReferenceKernel(),))


def test_a_cpu_has_the_reference_kernel() -> None:
    assert CHOICE.choose_kernel([PLAIN]).kernel == REFERENCE.ReferenceKernel()


CUDA = replace(PLAIN, device=torch.device("cuda", 0), dtype=torch.bfloat16, head_size=64)
REFUSED = {
    "softcap": (replace(CUDA, softcap=True), "it has no softcap"),
    "alibi": (replace(CUDA, alibi=True), "it has no ALiBi"),
    "float32": (replace(CUDA, dtype=torch.float32), "float32 is not computed"),
    "long heads": (replace(CUDA, head_size=512), "heads of 512: it takes multiples of 8 up to 256"),
    "odd heads": (replace(CUDA, head_size=100), "heads of 100: it takes multiples of 8 up to 256"),
    "values": (replace(CUDA, head_size=192, value_size=128), "keys of 192 and values of 128 differ"),
    "another device": (replace(CUDA, device=torch.device("xpu")), "it needs a CUDA GPU"),
}


@pytest.mark.parametrize(("needs", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_varlen_says_what_it_cannot_do(needs: object, reason: str) -> None:
    assert import_module("xlingual.plugins.models.hf.paged.kernels.varlen").VarlenKernel().refusal(needs) == reason


@pytest.mark.parametrize(
    ("capability", "implementation", "reason"),
    [
        ((7, 5), "FA2", "a GPU of compute capability 7.5 has no FlashAttention"),
        ((8, 0), "FA2", None),
        ((9, 0), "FA2", None),
        ((9, 0), "FA3", None),
        ((9, 0), "FA4", "FA4 has no pages on a GPU of compute capability 9.0"),
        ((10, 0), "FA4", None),
        ((10, 0), "FA3", "FA3 has no pages on a GPU of compute capability 10.0"),
    ],
)
def test_varlen_by_gpu(
    capability: tuple[int, int], implementation: str, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    varlen = import_module("xlingual.plugins.models.hf.paged.kernels.varlen")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    monkeypatch.setattr(varlen, "flash_attention", lambda: implementation)
    assert varlen.VarlenKernel().refusal(CUDA) == reason
    assert varlen.VarlenKernel().name == f"varlen_attn, {implementation}"


def test_older_torch_is_told_by_the_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    varlen = import_module("xlingual.plugins.models.hf.paged.kernels.varlen")
    monkeypatch.setattr(varlen, "missing_parameters", lambda: ("block_table", "num_splits"))
    assert varlen.VarlenKernel().refusal(CUDA) == "varlen_attn of this torch has no block_table"


@pytest.mark.parametrize(
    ("capability", "dtype", "reason"),
    [
        ((6, 1), torch.float32, "a GPU of compute capability 6.1 is too old for triton"),
        ((7, 5), torch.bfloat16, "a GPU of compute capability 7.5 has no bfloat16"),
        ((7, 5), torch.float16, None),
        ((9, 0), torch.float32, None),
        ((9, 0), torch.float64, "float64 is not computed"),
    ],
)
def test_triton_by_gpu(
    capability: tuple[int, int], dtype: torch.dtype, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    triton = import_module("xlingual.plugins.models.hf.paged.kernels.triton_kernel")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    monkeypatch.setattr(triton, "installed", lambda: True)
    monkeypatch.setattr(triton, "has_compiler", lambda: True)
    assert triton.TritonKernel().refusal(replace(CUDA, dtype=dtype, softcap=True, alibi=True)) == reason


def test_triton_needs_a_c_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    triton = import_module("xlingual.plugins.models.hf.paged.kernels.triton_kernel")
    monkeypatch.setattr(triton, "installed", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(triton.shutil, "which", lambda name: "/bin/gcc" if name == "gcc" else None)
    assert triton.TritonKernel().refusal(CUDA) is None
    monkeypatch.setenv("CC", "absent")
    assert str(triton.TritonKernel().refusal(CUDA)).startswith("triton finds no C compiler")


def test_long_heads_do_not_fit_an_old_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    triton = import_module("xlingual.plugins.models.hf.paged.kernels.triton_kernel")
    monkeypatch.setattr(triton, "installed", lambda: True)
    monkeypatch.setattr(triton, "has_compiler", lambda: True)
    long = replace(CUDA, dtype=torch.float16, head_size=512)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (7, 5))
    assert triton.TritonKernel().refusal(long) == "heads of 512 do not fit a GPU of compute capability 7.5"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (8, 6))
    assert triton.TritonKernel().refusal(long) is None


def test_batch_invariant_forms_are_named_so() -> None:
    kernels = CHOICE.kernels_for("cuda", batch_invariant=True)
    assert [kernel.name for kernel in kernels] == ["varlen_attn, FA2, 1 split(s)", "triton, 1 split(s)", "reference"]
    assert [kernel.batch_invariant for kernel in kernels] == [True, True, False]


@pytest.mark.parametrize(("index", "entered"), [(0, []), (1, [1])])
def test_triton_launches_where_the_tensors_are(index: int, entered: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its launches go to the current GPU: with `--device cuda:1` that is another one."""
    triton = import_module("xlingual.plugins.models.hf.paged.kernels.triton_kernel")
    seen: list[int] = []

    @contextmanager
    def current(device: torch.device) -> Iterator[None]:
        seen.append(device.index)
        yield

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "device", current)
    with triton.on_device_of(SimpleNamespace(is_cuda=True, device=torch.device("cuda", index))):
        pass
    assert seen == entered
