"""Attention kernels over paged keys and values, all behind one signature, and the choice among them.

interface      what a kernel is given (rows, block table, window, softcap, sinks) and what it says about itself
reference      plain torch in float32, for every device and feature
choice         the best kernel for a model's layers on a device, and why not a better one
"""

from .choice import KernelChoice, choose_kernel, kernels_for
from .interface import AttentionKernel, AttentionShape, LayerNeeds, QueryRows
from .reference import ReferenceKernel
from .triton_kernel import TritonKernel
from .varlen import VarlenKernel

__all__ = [
    "AttentionKernel",
    "AttentionShape",
    "KernelChoice",
    "LayerNeeds",
    "QueryRows",
    "ReferenceKernel",
    "TritonKernel",
    "VarlenKernel",
    "choose_kernel",
    "kernels_for",
]
