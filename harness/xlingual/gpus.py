"""One table of GPUs: what training is planned on, and what its speed is measured against."""

import re
from dataclasses import dataclass

from .errors import UsageError
from .text import did_you_mean


@dataclass(frozen=True, slots=True)
class Gpu:
    """One kind of GPU."""

    card: str
    """Words that are in the name which the driver gives it: "H100 PCIe" of "NVIDIA H100 PCIe"."""
    peak: float
    """Dense bfloat16 FLOP/s."""
    memory: float
    """Bytes."""
    utilization: float
    """Share of the peak that a good training run reaches, in useful tokens."""


_GB = 1e9
GPUS = {
    "A100": Gpu("A100", 312e12, 80 * _GB, 0.50),
    "A100-40": Gpu("A100", 312e12, 40 * _GB, 0.50),
    "A800": Gpu("A800", 312e12, 80 * _GB, 0.50),
    "A10": Gpu("A10", 125e12, 24 * _GB, 0.45),
    "A10G": Gpu("A10G", 70e12, 24 * _GB, 0.45),
    "H100": Gpu("H100", 989e12, 80 * _GB, 0.40),
    "H100-NVL": Gpu("H100 NVL", 835e12, 94 * _GB, 0.40),
    "H100-PCIE": Gpu("H100 PCIe", 756e12, 80 * _GB, 0.40),
    "H200": Gpu("H200", 989e12, 141 * _GB, 0.40),
    "GH200": Gpu("GH200", 989e12, 96 * _GB, 0.40),
    "B200": Gpu("B200", 2250e12, 180 * _GB, 0.40),
    "L4": Gpu("L4", 121e12, 24 * _GB, 0.40),
    "L40S": Gpu("L40S", 362e12, 48 * _GB, 0.40),
    "RTX3090": Gpu("3090", 71e12, 24 * _GB, 0.50),
    "RTX4090": Gpu("4090", 165e12, 24 * _GB, 0.50),
}
"""By the word for it, SXM variants where none is named; peaks from the vendor's data sheets, utilization from published
runs with packed rows (50% on A100 and 40% on H100 are good, 60% and 46% excellent)."""

_WORD = re.compile(r"(?:(\d+)\s*[xX*]\s*)?([A-Za-z0-9-]+)")


def find_gpu(word: str) -> tuple[int, str]:
    """Return how many GPUs of which kind `word` means: "H100", "8xA100"; UsageError with close names."""
    found = _WORD.fullmatch(word.strip())
    count, name = (int(found[1] or 1), found[2].upper()) if found else (0, word)
    if name not in GPUS or count < 1:
        raise UsageError(f"no such GPU: {word!r}", where="--gpu", hint=did_you_mean(name, GPUS))
    return count, name


def peak_of_card(name: str) -> float | None:
    """Return the bfloat16 peak, in FLOP/s, of the GPU that the driver calls `name`; None where it is not known."""
    words = set(re.split(r"[^A-Za-z0-9]+", name))
    known = [gpu for gpu in GPUS.values() if words.issuperset(gpu.card.split())]
    return max(known, key=lambda gpu: len(gpu.card.split())).peak if known else None
