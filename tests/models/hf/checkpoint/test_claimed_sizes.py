"""R14: what claims an absurd size is refused in a moment, by file and field, before memory of that size is taken."""

import json
import resource
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from xlingual.decoder.loading import auto_class
from xlingual.errors import ModelError
from xlingual.plugin import ModelOptions
from xlingual.records import Request
from xlingual.registry import MODELS

from ..architectures import build, dense, experts_and_wrappers, static, windowed

CHECKPOINT = "xlingual.plugins.models.hf.checkpoint"
SECONDS = 5.0
"""A refusal takes a fraction of one; a machine may be busy."""
ROOM = 2**31
"""Bytes that may be taken beside what the process has."""


@pytest.fixture
def copy(tiny_llama: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_llama, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """What would allocate gigabytes fails, and is no ModelError then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def edit(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **fields}), encoding="utf-8")


def refusal(act: Callable[[], object]) -> ModelError:
    before = time.monotonic()
    with pytest.raises(ModelError) as caught:
        act()
    assert time.monotonic() - before < SECONDS
    assert "\n" not in str(caught.value)
    return caught.value


def answered(folder: Path | str, request: Request | None = None) -> list[object]:
    model = MODELS.get("hf")(str(folder), ModelOptions(device="cpu"))
    return [] if request is None else list(model.answer([request]))


LARGE = 10_000_000
FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"num_hidden_layers": LARGE}, "num_hidden_layers", "is over the bound of 10,000: 10000000"),
    ({"num_hidden_layers": 9_999}, "num_hidden_layers", "is 9,999, and the weights have no layer beyond number"),
    ({"num_hidden_layers": 10**400}, "num_hidden_layers", "is over the bound of 10,000"),
    ({"hidden_size": 10**12}, "hidden_size", "is over the bound of 1,048,576"),
    ({"vocab_size": 10**15}, "vocab_size", "is over the bound of 16,777,216"),
    ({"intermediate_size": 2**60}, "intermediate_size", "is over the bound of 1,048,576"),
    ({"num_attention_heads": LARGE}, "num_attention_heads", "is over the bound of 65,536"),
    ({"num_key_value_heads": LARGE}, "num_key_value_heads", "is over the bound of 65,536"),
    ({"max_position_embeddings": 10**30}, "max_position_embeddings", "is over the bound of 2,147,483,648"),
    ({"layer_types": ["full_attention"] * 20_000}, "layer_types", "has 20,000 entries, and a model at most 10,000"),
    ({"text_config": {"num_hidden_layers": LARGE}}, "text_config.num_hidden_layers", "is over the bound of 10,000"),
    ({"a": [{"b": {"hidden_size": 2**40}}]}, "a[0].b.hidden_size", "is over the bound of 1,048,576"),
    ({"num_hidden_layers": "four"}, "num_hidden_layers", "must be a whole number, got 'four'"),
    ({"num_attention_heads": None}, "num_attention_heads", "must be a whole number, got None"),
    ({"hidden_size": float("nan")}, "hidden_size", "must be a whole number, got nan"),
    ({"hidden_size": 0}, "hidden_size", "must be at least 1, got 0"),
    ({"vocab_size": -1}, "vocab_size", "must be at least 0, got -1"),
    ({"num_hidden_layers": True}, "num_hidden_layers", "must be a whole number, got True"),
    ({"num_hidden_layers": [2]}, "num_hidden_layers", "must be a whole number, got [2]"),
    ({"intermediate_size": 64.5}, "intermediate_size", "must be a whole number, got 64.5"),
]


@pytest.mark.parametrize(("fields", "name", "what"), FIELDS, ids=[f"{name} {what[:24]}" for _, name, what in FIELDS])
def test_an_absurd_size_is_refused_by_file_and_field(copy: Path, fields: dict[str, Any], name: str, what: str) -> None:
    edit(copy / "config.json", **fields)
    error = refusal(lambda: answered(copy))
    assert str(error).startswith(f"{copy / 'config.json'}: {name}: {what}")


@pytest.mark.parametrize(
    "fields",
    [{"intermediate_size": 900_000}, {"vocab_size": 16_000_000}, {"hidden_size": 900_000}, {"head_dim": 500_000}],
    ids=str,
)
def test_a_model_that_asks_for_more_than_its_weights_hold_is_refused_before_it_is_made(
    copy: Path, text_request: Callable[..., Request], fields: dict[str, Any]
) -> None:
    edit(copy / "config.json", **fields)
    error = refusal(lambda: answered(copy, text_request("fox")))
    assert "the configuration asks for" in error.what
    assert "numbers, and the weights hold" in error.what


def test_no_architecture_is_taken_for_one_that_its_weights_do_not_fill(tmp_path: Path) -> None:
    """Of all in the coverage table: what is saved of a model has what its configuration asks for."""
    sizes, headers = import_module(f"{CHECKPOINT}.sizes"), import_module(f"{CHECKPOINT}.weight_headers")
    for row in [*dense(), *windowed(), *experts_and_wrappers(), *static()][::4]:
        build(row).save_pretrained(tmp_path / row.name)
        weights = headers.summarize(sorted((tmp_path / row.name).glob("*.safetensors")))
        saved = tmp_path / row.name / "config.json"
        content = json.loads(saved.read_text(encoding="utf-8"))
        sizes.check_config(content, saved)
        sizes.check_layers(content, weights, saved)
        again = AutoConfig.from_pretrained(tmp_path / row.name)
        sizes.check_parameters(partial(auto_class(again).from_config, again), weights, row.name, packed=False)
        shutil.rmtree(tmp_path / row.name)


def header(tensors: object, data: int) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * data


SAFETENSORS = {
    "a header of an exabyte": (struct.pack("<Q", 2**60) + b"{}", "cut off within its header"),
    "a header of 90 MB in a small file": (struct.pack("<Q", 90 * 2**20) + b"{}", "cut off within its header"),
    "a tensor of an exabyte": (
        header({"a": {"dtype": "F32", "shape": [2**58], "data_offsets": [0, 2**60]}}, 8),
        "bytes instead of 1152921504606847080",
    ),
    "a shape that its bytes do not hold": (
        header({"a": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 8]}}, 8),
        "tensor 'a' claims the shape [1099511627776, 1048576] of F32, and has 8 bytes",
    ),
    "a negative shape": (
        header({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, 8), "tensor 'a' has no dtype and shape",
    ),
    "an end before its begin": (
        header({"a": {"dtype": "XX", "shape": [2], "data_offsets": [16, 8]}}, 8), "tensor 'a' claims the shape [2]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAFETENSORS)
def test_a_weight_file_that_claims_what_it_does_not_hold(case: str, copy: Path) -> None:
    content, what = SAFETENSORS[case]
    (copy / "model.safetensors").write_bytes(content)
    error = refusal(lambda: answered(copy))
    assert what in error.what
    assert error.where == str(copy / "model.safetensors")


def test_a_weight_file_that_is_none(copy: Path) -> None:
    path = copy / "model.safetensors"
    path.unlink()
    path.mkdir()
    assert str(refusal(lambda: answered(copy))) == f"{path}: is no regular file"


def gguf(values: int = 0, tensors: int = 0, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, values) + rest


def text(word: bytes) -> bytes:
    return struct.pack("<Q", len(word)) + word


LAYERS = text(b"llama.block_count") + struct.pack("<II", 4, LARGE)
GGUF = {
    "2**60 values": (gguf(values=2**60), "entries where"),
    "2**60 tensors": (gguf(tensors=2**60), "entries where"),
    "a name of 2**40 bytes": (gguf(values=1, rest=struct.pack("<Q", 2**40) + b"x" * 40), "where"),
    "a list of 2**60 bytes": (gguf(values=1, rest=text(b"a") + struct.pack("<IIQ", 9, 0, 2**60)), "entries where"),
    "a list of 2**60 texts": (gguf(values=1, rest=text(b"a") + struct.pack("<IIQ", 9, 8, 2**60)), "entries where"),
    "lists in lists without end": (
        gguf(values=1, rest=text(b"a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000), "is of the type",
    ),
    "a tensor of an exabyte": (
        gguf(tensors=1, rest=text(b"blk.0.w") + struct.pack("<IQIQ", 1, 2**58, 0, 0)), "ends at byte",
    ),
    "a tensor behind the end": (
        gguf(tensors=1, rest=text(b"blk.0.w") + struct.pack("<IQIQ", 1, 4, 0, 2**50)), "ends at byte",
    ),
    "10 million layers": (gguf(values=1, rest=LAYERS), "is over the bound of 10,000: 10000000"),
    "cut off": (gguf(values=3, rest=text(b"a") + struct.pack("<I", 4)), "cut off"),
}  # fmt: skip


@pytest.mark.parametrize("case", GGUF)
def test_a_gguf_that_claims_what_it_does_not_hold(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))
    content, what = GGUF[case]
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    error = refusal(lambda: answered(path))
    assert what in error.what
    assert error.where.startswith("model.gguf")
    assert not (tmp_path / "cache").exists()


def adapter(folder: Path, tiny_llama: Path, **fields: object) -> str:
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
    (folder / "adapter_config.json").write_text(json.dumps({**config, **fields}), encoding="utf-8")
    width = load_file(tiny_llama / "model.safetensors")["model.layers.0.self_attn.q_proj.weight"].shape
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    save_file(
        {name.format("A"): torch.zeros(2, width[1]), name.format("B"): torch.zeros(width[0], 2)},
        folder / "adapter_model.safetensors",
    )
    return f"{tiny_llama}+{folder}"


@pytest.mark.parametrize(
    ("fields", "name", "what"),
    [
        ({"r": 10**6}, "r", "is 1,000,000, and no tensor of the adapter has a dimension over"),
        ({"r": 10**12}, "r", "is over the bound of 1,048,576"),
        ({"rank_pattern": {"q_proj": 10**6}}, "rank_pattern.q_proj", "is 1,000,000, and no tensor"),
        ({"r": "four"}, "r", "must be a whole number, got 'four'"),
        ({"r": -1}, "r", "must be at least 1, got -1"),
        ({"lora_alpha": [1]}, "lora_alpha", "must be a number, got [1]"),
        ({"target_modules": 7}, "target_modules", "must be a text, a list or null, got 7"),
        ({"peft_type": None}, "peft_type", "must be a text, got None"),
        ({"rank_pattern": [1]}, "rank_pattern", "must be an object or null, got [1]"),
    ],
)
def test_an_adapter_of_an_absurd_rank(
    tiny_llama: Path, tmp_path: Path, fields: dict[str, Any], name: str, what: str
) -> None:
    pytest.importorskip("peft", reason="needs the extra `tune`")
    word = adapter(tmp_path / "adapter", tiny_llama, **fields)
    error = refusal(lambda: answered(word))
    assert str(error).startswith(f"{tmp_path / 'adapter' / 'adapter_config.json'}: {name}: {what}")


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("config.json", 2**24),
        ("generation_config.json", 2**24),
        ("tokenizer_config.json", 2**24),
        ("tokenizer.json", 2**28),
        ("chat_template.jinja", 2**20),
        ("tokenizer.model", 2**28),
    ],
)
def test_a_file_of_a_model_that_is_too_large_is_refused_unread(copy: Path, name: str, limit: int) -> None:
    with (copy / name).open("ab") as stream:
        stream.truncate(limit + 1)
    error = refusal(lambda: answered(copy))
    assert str(error) == f"{copy / name}: {limit + 1:,} bytes are over the limit of {limit:,} bytes"
