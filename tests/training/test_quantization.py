"""QLoRA: refused with a reason where it cannot be; with bitsandbytes, trained, resumed, exported."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from xlingual.cli import run_command
from xlingual.errors import DataError
from xlingual.training.parallel import World
from xlingual.training.quantization import refuse_quantization
from xlingual.tune.recipe import find_recipe

from .conftest import largest_difference, run_folder, tune_run
from .worker import STAND_IN

NF4 = ("--set", "method.quantize=nf4", "--set", "method.dropout=0.1", "--merge")
needs_bitsandbytes = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")


def test_several_processes_are_refused(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("bitsandbytes") is None:
        monkeypatch.syspath_prepend(str(STAND_IN))
    recipe = find_recipe(str(data_folder / "lora" / "mine.toml"), ["method.quantize=nf4"])
    two = World(rank=0, size=2, device=torch.device("cpu"), dtype=torch.float32)
    with pytest.raises(DataError, match=r"method.quantize: 4-bit weights are not sharded, and these are 2 processes"):
        refuse_quantization(recipe, two)
    for name in [each for each in sys.modules if each.partition(".")[0] == "bitsandbytes"]:
        if "stand_in" in str(sys.modules[name].__file__):
            monkeypatch.delitem(sys.modules, name)


def _adapter(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "mine-adapter" / "adapter_model.safetensors")


def _checkpoint_size(folder: Path) -> int:
    return sum(each.stat().st_size for each in (folder / "checkpoints" / "step-00000008").iterdir())


@needs_bitsandbytes
def test_it_trains_and_resumes_to_the_bit(data_folder: Path, byte_base: Path) -> None:
    assert run_command(tune_run(data_folder, "lora", *NF4)) == 0
    for more in (["--max-steps", "3"], []):
        assert run_command(tune_run(data_folder, "lora", *NF4, *more, out="parts")) == 0
    whole, parts = run_folder(data_folder), run_folder(data_folder, "parts")
    assert whole.name == parts.name
    assert largest_difference(_adapter(whole), _adapter(parts)) == 0.0
    assert all(each.dtype == torch.float32 for each in _adapter(whole).values())
    assert run_command(tune_run(data_folder, "lora", *NF4[2:], out="plain")) == 0
    plain = run_folder(data_folder, "plain")
    assert plain.name != whole.name
    assert _checkpoint_size(whole) < 1.05 * _checkpoint_size(plain)  # adapter and moments, nothing of the base
    assert largest_difference(_adapter(plain), _adapter(whole)) > 0.0
    base = load_file(byte_base / "model.safetensors")
    merged = load_file(whole / "mine" / "model.safetensors")
    unchanged = [name for name in base if "embed" in name or "norm" in name]
    assert all(torch.equal(base[name], merged[name]) for name in unchanged)
    assert 0.0 < largest_difference(base, merged) < 0.1
    AutoModelForCausalLM.from_pretrained(whole / "mine")


@needs_bitsandbytes
def test_with_activation_checkpointing_and_8_bits(data_folder: Path) -> None:
    words = (*NF4, "--set", "schedule.optimizer=adamw-8bit")
    assert run_command(tune_run(data_folder, "lora", *words)) == 0
    assert run_command(tune_run(data_folder, "lora", *words, "--activation-checkpointing", out="less")) == 0
    folders = run_folder(data_folder), run_folder(data_folder, "less")
    assert largest_difference(*(_adapter(each) for each in folders)) == 0.0
