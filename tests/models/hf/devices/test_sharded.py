"""One model over two simulated devices, where an operation over both is an error: the answers of one device."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from ..architectures import build, dense, experts_and_wrappers, static, windowed

ROOT = Path(__file__).resolve().parents[4]
EVERY = {each.name: each for each in [*dense(), *windowed(), *experts_and_wrappers(), *static()]}


@pytest.fixture
def saved(tiny_llama: Path, tmp_path: Path) -> Callable[[str], Path]:
    def save(name: str) -> Path:
        folder = tmp_path / "model"
        build(EVERY[name]).save_pretrained(folder)
        AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(folder)
        return folder

    return save


def run(folder: Path, engine: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.models.hf.devices.generate_sharded", str(folder), engine]
    path = os.pathsep.join([str(ROOT), str(ROOT / "harness")])
    # transformers loads in threads, which the simulated devices do not follow.
    environment = os.environ | {"PYTHONPATH": path, "HF_DEACTIVATE_ASYNC_LOAD": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("Llama", "paged"),
        pytest.param("Gemma 4 (shared keys)", "paged", marks=pytest.mark.slow),
        pytest.param("Llama", "static", marks=pytest.mark.slow),
        pytest.param("Gemma 3", "static", marks=pytest.mark.slow),
        pytest.param("gpt-oss", "paged", marks=pytest.mark.slow),
        pytest.param("Gemma 3n", "paged", marks=pytest.mark.slow),
        pytest.param("DeepSeek V3", "paged", marks=pytest.mark.slow),
        pytest.param("Phi-3 (longrope)", "paged", marks=pytest.mark.slow),
    ],
)
def test_answers_and_likelihoods_are_those_of_one_device(saved: Callable[[str], Path], name: str, engine: str) -> None:
    found = run(saved(name), engine)
    assert found["found"] == found["expected"]
    assert found["failures"] == ["None"]
    assert found["devices"] == ["npu:0", "npu:1"]
    assert found["same fingerprint"]
    assert found["before"] == "over npu:0, npu:1"
    placed = "and what is no layer on npu:0; layer"
    assert placed in found["details"]["placement"]
    assert found["after"] == found["details"]
    assert found["between"] > 20
    if engine == "paged":
        assert sorted(set(found["pages"])) == ["npu:0", "npu:1"]
        assert "steps are no CUDA graphs: the layers are on several devices" in found["notes"]
        assert found["details"]["engine"].startswith("paged")
    else:
        assert found["pages"] == []
