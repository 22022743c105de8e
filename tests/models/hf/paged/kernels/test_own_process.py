"""Tests that change a whole process, each in one of its own: triton's interpreter, a CPU kernel for `varlen_attn`."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "own_process"


def passes(file: str, **environment: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FOLDER / file)]
    finished = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=280
    )
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-2000:]


@pytest.mark.slow
def test_varlen_kernel_over_its_twin() -> None:
    passes("varlen_on_cpu.py")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_triton_kernel_in_the_interpreter() -> None:
    passes("triton_interpreted.py", TRITON_INTERPRET="1")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_fused_operations_in_the_interpreter() -> None:
    passes("fused_interpreted.py", TRITON_INTERPRET="1")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_triton_kernel_compiled_for_gpus(tmp_path: Path) -> None:
    passes("triton_compiled.py", TRITON_CACHE_DIR=str(tmp_path))
