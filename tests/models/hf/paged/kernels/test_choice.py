"""The first kernel that takes every layer is chosen, and the record says why not a better one."""

from dataclasses import dataclass, replace
from importlib import import_module
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
