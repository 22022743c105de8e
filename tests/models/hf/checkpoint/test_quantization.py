"""Quantized checkpoints: one line names the package that is lacking, before any weight is read."""

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.quantizers import auto

from xlingual.errors import EnvironmentFault, ModelError
from xlingual.plugin import ModelOptions
from xlingual.records import Request
from xlingual.registry import MODELS

quantization = importlib.import_module("xlingual.plugins.models.hf.checkpoint.quantization")


@pytest.fixture
def copy(tiny_llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_llama, tmp_path / "copy"))


def describe(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": fields}))
    MODELS.get("hf")(str(folder), ModelOptions(device="cpu"))


@pytest.mark.parametrize(
    ("fields", "package"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"load_in_8bit": True}, "bitsandbytes"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptqmodel"),
        ({"quant_method": "awq", "bits": 4, "zero_point": True}, "gptqmodel"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized"}, "compressed-tensors"),
        ({"quant_method": "hqq"}, "hqq"),
        ({"quant_method": "quanto", "weights": "int8"}, "optimum-quanto"),
        ({"quant_method": "torchao"}, "torchao"),
        ({"quant_method": "quark"}, "amd-quark"),
    ],
)
def test_the_package_that_is_lacking_is_named(
    copy: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, object], package: str
) -> None:
    installed = quantization._is_installed
    monkeypatch.setattr(quantization, "_is_installed", lambda name: name == "accelerate" and installed(name))
    with pytest.raises(EnvironmentFault, match=f"{package}.* is not installed") as caught:
        describe(copy, **fields)
    assert package in caught.value.hint
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 5


def test_an_unknown_method_and_none(copy: Path) -> None:
    with pytest.raises(ModelError, match="'bitsandbites'") as caught:
        describe(copy, quant_method="bitsandbites")
    assert "bitsandbytes" in caught.value.hint
    with pytest.raises(ModelError, match="quant_method"):
        describe(copy, bits=4)


@pytest.mark.parametrize("found", ["awq", ["awq"], 4])
def test_a_quantization_that_is_no_object(found: object) -> None:
    with pytest.raises(ModelError, match="must be an object") as caught:
        quantization.quantization_method({"quantization_config": found})
    assert caught.value.where == "quantization_config"


def test_every_method_of_transformers_is_in_the_table() -> None:
    """Names with a number of bits are bitsandbytes'; GGUF files are converted."""
    apart = {"bitsandbytes_4bit", "bitsandbytes_8bit", "gguf", "gemma", "fouroversix"}
    assert set(auto.AUTO_QUANTIZER_MAPPING) - apart <= set(quantization.PACKAGES)


def test_weights_in_fp8_answer_as_what_they_stand_for(
    copy: Path, tmp_path: Path, text_request: Callable[..., Request]
) -> None:
    """transformers makes plain weights of them where there is no GPU."""
    plain: dict[str, torch.Tensor] = load_file(copy / "model.safetensors")
    quantized = dict(plain)
    for name in [each for each in plain if each.endswith("proj.weight")]:
        scale = plain[name].abs().max() / 448
        quantized[name] = (plain[name] / scale).to(torch.float8_e4m3fn)
        quantized[f"{name}_scale_inv"] = scale.reshape(1, 1)
        plain[name] = quantized[name].float() * scale
    twin = Path(shutil.copytree(copy, tmp_path / "twin"))
    save_file(plain, twin / "model.safetensors", metadata={"format": "pt"})
    save_file(quantized, copy / "model.safetensors", metadata={"format": "pt"})
    describe(copy, quant_method="fp8", activation_scheme="dynamic", weight_block_size=[128, 128])
    request = text_request("The fox")
    found, expected = (
        list(MODELS.get("hf")(str(folder), ModelOptions(device="cpu", dtype="float32")).answer([request]))
        for folder in (copy, twin)
    )
    assert found == expected
