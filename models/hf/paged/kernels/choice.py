"""Which attention kernel serves a model on a device: the first of the list that takes all its layers.

attention kernel: reference, pages of 16 tokens
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .interface import AttentionKernel, LayerNeeds
from .reference import ReferenceKernel
from .triton_kernel import TritonKernel
from .varlen import VarlenKernel


@dataclass(frozen=True)
class KernelChoice:
    """A kernel, the size of pages it is used with, and why the better ones were passed over."""

    kernel: AttentionKernel
    page_size: int
    passed_over: tuple[str, ...] = ()
    """A line for each kernel that stands before it in the list: `varlen: float32 is not computed`."""

    @property
    def said(self) -> str:
        """One line for the user and the record of a run."""
        line = f"attention kernel: {self.kernel.name}, pages of {self.page_size} tokens"
        return "; not ".join([line, *self.passed_over])


def choose_kernel(
    needs: Sequence[LayerNeeds], kernels: Sequence[AttentionKernel] | None = None, page_size: int | None = None
) -> KernelChoice:
    """Return the first of `kernels` (the best first; those of this machine) that serves every layer.

    `page_size` asks for pages of that many tokens. The reference kernel serves everything, so that there is an answer.
    ValueError where none does, or where there is no attention.
    """
    if not needs:
        raise ValueError("a model without attention layers needs no attention kernel")
    passed_over: list[str] = []
    candidates = kernels_for(needs[0].device.type) if kernels is None else tuple(kernels)
    for kernel in candidates:
        reason = _reason_against(kernel, needs, page_size)
        if reason is None:
            return KernelChoice(kernel, page_size or kernel.page_size, tuple(passed_over))
        passed_over.append(f"{kernel.name}: {reason}")
    raise ValueError("no attention kernel serves this model: " + "; ".join(passed_over))


def kernels_for(device_type: str, *, batch_invariant: bool = False) -> tuple[AttentionKernel, ...]:
    """Return the kernels worth trying on a device such as "cuda", the best first.

    `batch_invariant` asks for the forms whose rows do not depend on each other, where there are such forms.
    """
    if device_type != "cuda":
        return (ReferenceKernel(),)
    splits = 1 if batch_invariant else None
    return VarlenKernel(num_splits=splits), TritonKernel(num_splits=splits), ReferenceKernel()


def _reason_against(kernel: AttentionKernel, needs: Sequence[LayerNeeds], page_size: int | None) -> str | None:
    if page_size is not None and not kernel.takes_page_size(page_size):
        return f"pages have {kernel.page_sizes} tokens"
    return next((reason for each in needs if (reason := kernel.refusal(each)) is not None), None)
