"""Words for GPUs, and the names that drivers give them."""

import pytest

from xlingual.errors import UsageError
from xlingual.gpus import GPUS, find_gpu, peak_of_card


@pytest.mark.parametrize(("word", "found"), [("H100", (1, "H100")), ("8xa100", (8, "A100")), ("2 x L40S", (2, "L40S"))])
def test_names(word: str, found: tuple[int, str]) -> None:
    assert find_gpu(word) == found


@pytest.mark.parametrize("word", ["H10", "0xH100", "", "8x", "-1xH100"])
def test_no_such_gpu(word: str) -> None:
    with pytest.raises(UsageError, match="no such GPU"):
        find_gpu(word)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100-PCIE"),
        ("NVIDIA H100 NVL", "H100-NVL"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A100-PCIE-40GB", "A100-40"),
        ("NVIDIA A800-SXM4-80GB", "A800"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("NVIDIA GeForce RTX 3090", "RTX3090"),
    ],
)
def test_names_of_drivers(name: str, word: str) -> None:
    assert peak_of_card(name) == GPUS[word].peak


@pytest.mark.parametrize("name", ["NVIDIA L40", "Tesla V100-SXM2-16GB", "AMD Instinct MI300X", ""])
def test_a_card_that_is_not_in_the_table_has_no_peak(name: str) -> None:
    assert peak_of_card(name) is None
