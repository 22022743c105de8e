"""Bases of every kind: trained as transformers would, or refused from the configuration, with exit code 3."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    BertConfig,
    BloomConfig,
    CohereConfig,
    FalconConfig,
    Gemma3Config,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    MambaConfig,
    Mistral3Config,
    MixtralConfig,
    NemotronConfig,
    OPTConfig,
    PreTrainedConfig,
    StableLmConfig,
    T5Config,
    XLMConfig,
)

from xlingual.cli import run_command
from xlingual.decoder.loading import auto_class
from xlingual.training import attention
from xlingual.training.batches import build_batch, loss_normalizer
from xlingual.training.loading import choose_forward
from xlingual.training.loss import ModelWithLoss
from xlingual.training.parallel import World
from xlingual.training.structure import freeze_other_parts
from xlingual.tune.recipe_records import Norm

from .conftest import largest_difference, make_rows, run_folder, tune_run

ALONE = World(rank=0, size=1, device=torch.device("cpu"), dtype=torch.float32)
SHAPE: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 256, "initializer_range": 0.12, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
GROUPED = {**SHAPE, "num_key_value_heads": 2}
VISION = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
GPT2 = {**SHAPE, "n_embd": 32, "n_layer": 2, "n_head": 4}


def _gemma3() -> PreTrainedConfig:
    text = {**GROUPED, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 5, "tie_word_embeddings": True}
    return Gemma3Config(
        text_config=text, vision_config={**VISION, "image_size": 28, "patch_size": 14}, mm_tokens_per_image=4
    )


def _mistral3() -> PreTrainedConfig:
    text = {**GROUPED, "model_type": "mistral", "head_dim": 8}
    vision = {**VISION, "model_type": "pixtral", "head_dim": 16, "image_size": 28, "patch_size": 14}
    return Mistral3Config(text_config=text, vision_config=vision)


PACKED: dict[str, Callable[[], PreTrainedConfig]] = {
    "cohere, scaled logits": lambda: CohereConfig(**GROUPED, logit_scale=0.25),
    "granite, scaled logits": lambda: GraniteConfig(**GROUPED, logits_scaling=3.0, embedding_multiplier=2.0),
    "gpt2": lambda: GPT2Config(**GPT2, **NO_DROPOUT),
    "stablelm": lambda: StableLmConfig(**GROUPED),
    "nemotron": lambda: NemotronConfig(**GROUPED),
    "gpt_neox": lambda: GPTNeoXConfig(**SHAPE),
    "opt": lambda: OPTConfig(**SHAPE, ffn_dim=48, word_embed_proj_dim=32, dropout=0.0),
    "gemma3, with images": _gemma3,
    "mistral3, with images": _mistral3,
}
PADDED: dict[str, Callable[[], PreTrainedConfig]] = {
    "bloom": lambda: BloomConfig(**SHAPE, n_layer=2, n_head=4),
    "falcon": lambda: FalconConfig(**SHAPE, multi_query=True),
    "falcon, alibi": lambda: FalconConfig(**SHAPE, alibi=True),
    "mamba": lambda: MambaConfig(vocab_size=320, hidden_size=32, num_hidden_layers=2, state_size=4),
}
TRAINED = {**PACKED, **PADDED}


def _model(config: PreTrainedConfig) -> Any:  # noqa: ANN401 - of transformers
    torch.manual_seed(5)
    model: Any = auto_class(config).from_config(copy.deepcopy(config), attn_implementation="eager").train()
    freeze_other_parts(model)
    return model


def _gradient_norm(model: torch.nn.Module) -> float:
    squares = [each.grad.double().square().sum() for each in model.parameters() if each.grad is not None]
    return float(torch.stack(squares).sum().sqrt())


@pytest.mark.parametrize("family", TRAINED)
def test_loss_and_gradient_are_those_of_a_padded_batch(family: str) -> None:
    config, rows = TRAINED[family](), make_rows(5)
    model, oracle = ModelWithLoss(_model(config)), _model(config)
    attention.register()
    assert choose_forward(model, ALONE)
    assert model.padded == (family in PADDED)
    longest = int(rows.lengths.max())
    ids, mask, labels = (torch.full((len(rows), longest), value) for value in (0, 0, -100))
    for row, length in enumerate(rows.lengths.tolist()):
        tokens = torch.from_numpy(rows.tokens[rows.offsets[row] : rows.offsets[row + 1]].astype("int64"))
        first = int(rows.answer_starts[row])
        ids[row, :length], mask[row, :length], labels[row, first:length] = tokens, 1, tokens[first:]
    more = {"token_type_ids": torch.zeros_like(ids)} if family.startswith("gemma3") else {}
    logits = oracle(input_ids=ids, attention_mask=mask, use_cache=False, **more).logits
    expected = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
    torch.autograd.backward(expected)
    normalizer = loss_normalizer((labels[:, 1:] != -100).sum(1).tolist(), Norm.TOKEN, 2)
    found = torch.zeros(())
    for chosen in ([3, 0, 2], [1, 4]):  # two packs, as on two ranks or in two micro-batches
        batch = build_batch(rows, chosen, normalizer, ALONE.device)
        found = found + (model(batch) * batch.loss_weights).sum()
    torch.autograd.backward(found)
    assert float(found.detach()) == pytest.approx(float(expected.detach()), abs=2e-6)
    assert _gradient_norm(model) == pytest.approx(_gradient_norm(oracle), rel=1e-5)
    assert _gradient_norm(model) > 0.01


def make_base(folder: Path, byte_base: Path, config: PreTrainedConfig) -> Path:
    """Write a random model of a configuration, with the tokenizer of `byte_base`."""
    shutil.copytree(byte_base, folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    torch.manual_seed(5)
    auto_class(config).from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", ["bloom", "falcon", "gpt2", "stablelm", "cohere, scaled logits", "mamba"])
def test_tune_run_trains(family: str, data_folder: Path, byte_base: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", byte_base, TRAINED[family]())
    assert run_command([*tune_run(data_folder, "full"), "--base", f"hf:{base}"]) == 0
    folder = run_folder(data_folder)
    losses = [json.loads(line)["loss"] for line in (folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
    assert losses[-1] < losses[0]
    _expect_the_same_names(folder / "mine", base)


def _expect_the_same_names(model: Path, base: Path) -> None:
    """The exported weights have the names of the base's, and others than its values."""
    ours, theirs = load_file(model / "model.safetensors"), load_file(base / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert largest_difference(ours, theirs) > 1e-4


@pytest.mark.parametrize("family", ["bloom", "gpt2", "gemma3, with images", "mistral3, with images"])
def test_tune_run_trains_an_adapter_and_merges_it(
    family: str, data_folder: Path, byte_base: Path, tmp_path: Path
) -> None:
    base = make_base(tmp_path / "base", byte_base, TRAINED[family]())
    assert run_command([*tune_run(data_folder, "lora", "--merge"), "--base", f"hf:{base}"]) == 0
    folder = run_folder(data_folder)
    _expect_the_same_names(folder / "mine", base)
    adapter = load_file(folder / "mine-adapter" / "adapter_model.safetensors")
    assert not [name for name in adapter if "vision" in name or "projector" in name]


def test_what_peft_refuses_is_a_fault_of_the_recipe(
    data_folder: Path, byte_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = make_base(tmp_path / "base", byte_base, TRAINED["mamba"]())
    assert run_command([*tune_run(data_folder, "lora"), "--base", f"hf:{base}"]) == 3
    assert "peft refuses the adapter" in capsys.readouterr().err


REFUSED: dict[str, tuple[Callable[[], PreTrainedConfig], str]] = {
    "experts": (lambda: MixtralConfig(**GROUPED), "experts with a loss of their own"),
    "too short": (lambda: OPTConfig(**{**SHAPE, "max_position_embeddings": 64}), "64 positions"),
    "skipped layers": (lambda: OPTConfig(**SHAPE, layerdrop=0.1), "layerdrop"),
    "attends to later tokens": (lambda: BertConfig(**SHAPE), "attention to later tokens"),
    "attends to all tokens": (lambda: XLMConfig(vocab_size=320, emb_dim=32, n_layers=2, n_heads=4), "later tokens"),
    "encoder": (lambda: T5Config(**SHAPE, d_model=32, num_layers=2, num_heads=4), "an encoder"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_what_cannot_be_tuned_is_refused_from_the_configuration(
    what: str, command: str, data_folder: Path, byte_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = REFUSED[what]
    base = tmp_path / "base"
    shutil.copytree(byte_base, base)
    (base / "config.json").unlink()
    make().save_pretrained(base)
    recipe = str(data_folder / "full" / "mine.toml")
    arguments = ["tune", command, recipe, "--data", str(data_folder), "--offline", "--base", f"hf:{base}"]
    if command == "run":
        arguments += ["--out", str(data_folder / "out"), "--device", "cpu"]
    assert run_command(arguments) == 3
    error = capsys.readouterr().err
    assert words in error
    assert "encoding" not in error
    assert not (data_folder / "out").exists()


def test_plan_names_targets_that_the_base_does_not_have(
    data_folder: Path, byte_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = make_base(tmp_path / "base", byte_base, TRAINED["gpt2"]())
    recipe = data_folder / "lora" / "mine.toml"
    text = recipe.read_text(encoding="utf-8").replace('kind = "lora"', 'kind = "lora"\ntargets = ["q_proj"]')
    recipe.write_text(text, encoding="utf-8")
    arguments = ["tune", "plan", str(recipe), "--data", str(data_folder), "--offline", "--base", f"hf:{base}"]
    assert run_command(arguments) == 3
    error = capsys.readouterr().err
    assert "no linear layer is named 'q_proj'" in error
    assert "c_attn" in error
