"""Whole generations on a simulated device: no wait of the host, no mixed devices, two copies a step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["Llama", "Gemma3Text", "Gemma2", "GptOss"])
def test_generations_on_a_device_that_is_not_there(architecture: str) -> None:
    """Greedy and drawn answers are those of a CPU; a replayed step is one copy in and one out, as every other is."""
    command = [sys.executable, "-m", "tests.models.hf.paged.generate_elsewhere", architecture]
    path = os.pathsep.join([str(ROOT), str(ROOT / "harness")])
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["draws"]
    assert found["moved otherwise"] == {}
    assert found["out"] == found["steps"] > 10
    assert found["in"] == found["steps"] + found["graphs"]
    assert found["graphs"] == 6
    assert found["refused"] == ["the host waits for the device", "tensors of two devices"]
