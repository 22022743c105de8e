"""How many tokens a model reads, where its configuration, its tokenizer and the user say different numbers."""

import json
import shutil
from pathlib import Path

import pytest

from xlingual.errors import UsageError
from xlingual.plugin import ModelOptions
from xlingual.records import ModelSpec
from xlingual.registry import MODELS


def describe(
    folder: Path, config: dict[str, object], tokenizer: dict[str, object], wanted: int | None = None
) -> ModelSpec:
    for name, fields in (("config.json", config), ("tokenizer_config.json", tokenizer)):
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return MODELS.get("hf")(str(folder), ModelOptions(device="cpu", max_model_len=wanted)).spec


@pytest.fixture
def copy(tiny_llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_llama, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("config", "tokenizer", "wanted", "window", "noted"),
    [
        (4096, 512, None, 4096, True),
        (4096, 128, None, 4096, True),
        (4096, 4096, None, 4096, False),
        (4096, 10**6, None, 4096, False),
        (4096, 10**30, None, 4096, False),
        (4096, 1, None, 4096, False),
        (4096, 512, 1000, 1000, True),
        (4096, 10**30, 4096, 4096, False),
        (4096, 10**30, 1, 1, True),
    ],
)
def test_the_configurations_window_wins(
    copy: Path, config: int, tokenizer: int, wanted: int | None, window: int, noted: bool
) -> None:
    spec = describe(copy, {"max_position_embeddings": config}, {"model_max_length": tokenizer}, wanted)
    assert spec.context_length == window
    assert ("window" in (spec.details or {})) == noted


@pytest.mark.parametrize("wanted", [4097, 0, -5])
def test_no_more_than_the_configuration_allows(copy: Path, wanted: int) -> None:
    with pytest.raises(UsageError, match="4096") as caught:
        describe(copy, {"max_position_embeddings": 4096}, {}, wanted)
    assert caught.value.where == "--max-model-len"
    assert caught.value.hint


def test_a_window_that_cuts_otherwise_is_another_model(copy: Path) -> None:
    plain = describe(copy, {"max_position_embeddings": 4096}, {"model_max_length": 10**30})
    lowered = describe(copy, {}, {}, 1000)
    same = describe(copy, {}, {}, 4096)
    assert plain.fingerprint == same.fingerprint != lowered.fingerprint


@pytest.mark.parametrize(
    ("limit", "wanted", "window"), [(2048, None, 2048), (10**30, None, None), (10**30, 700, 700), (2048, 9000, 9000)]
)
def test_where_the_configuration_does_not_say(copy: Path, limit: int, wanted: int | None, window: int | None) -> None:
    """Mamba has no positions: the tokenizer's limit is all there is, and the user may say another."""
    mamba = {"model_type": "mamba", "architectures": ["MambaForCausalLM"], "vocab_size": 320, "rope_parameters": None}
    path = copy / "config.json"
    path.write_text(json.dumps({**mamba, "eos_token_id": 2}))
    assert describe(copy, {}, {"model_max_length": limit}, wanted).context_length == window


def test_relative_positions_have_no_window(copy: Path) -> None:
    """T5 reads texts of any length, whatever its tokenizer says; the user may still say how many."""
    t5 = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "vocab_size": 320, "d_model": 32}
    (copy / "config.json").write_text(json.dumps({**t5, "decoder_start_token_id": 0, "eos_token_id": 2}))
    assert describe(copy, {}, {"model_max_length": 512}).context_length is None
    assert describe(copy, {}, {}, 700).context_length == 700
