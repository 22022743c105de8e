"""The words that [method] and [schedule] of a recipe choose from."""

from enum import StrEnum


class Quantization(StrEnum):
    """The format that the frozen weights of a base are kept in."""

    NF4 = "nf4"
    """4-bit NormalFloat with double quantization: QLoRA."""


class LrScheduler(StrEnum):
    """How the learning rate goes on from its peak, at the end of the warm-up."""

    COSINE = "cosine"
    """Half a cosine down to the least rate."""
    LINEAR = "linear"
    """A straight line down to the least rate."""
    CONSTANT = "constant"
    """It stays."""
    WSD = "wsd"
    """It stays until the last steps, `decay_ratio` of all: these are a straight line down to the least rate."""


class OptimizerName(StrEnum):
    """The optimizer, and how it keeps its two moments of each trained weight."""

    ADAMW = "adamw"
    """In float32."""
    ADAMW_8BIT = "adamw-8bit"
    """In 8 bits, by blocks of 256: bitsandbytes."""
    PAGED_ADAMW_8BIT = "paged-adamw-8bit"
    """The same, in memory that moves to the host where the GPU's is full."""
