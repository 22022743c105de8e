"""`hf:BASE+ADAPTER` against peft's own forward pass without a merge, and the base after unmerging."""

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from xlingual.errors import ModelError, UsageError
from xlingual.plugin import ModelOptions
from xlingual.records import Request
from xlingual.registry import MODELS

peft = pytest.importorskip("peft", reason="needs the extra `tune`")
MakeRequest = Callable[..., Request]
PROMPTS = ("The quick brown fox", "中国的首都是", "Where is it?", "Αθήνα είναι", "a", "fox fox")
OPTIONS = ModelOptions(device="cpu", dtype="float32")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # peft makes the adapters by the old names


@pytest.fixture(scope="module")
def adapters(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random adapters of three kinds, far enough from zero to change every answer."""
    kinds = {
        "lora": peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"]),
        "head": peft.LoraConfig(r=2, target_modules=["o_proj"], modules_to_save=["lm_head"]),
        "dora": peft.LoraConfig(r=4, target_modules="all-linear", use_dora=True),
    }
    made = {}
    warnings.simplefilter("ignore", FutureWarning)  # peft uses names that transformers gives up
    for seed, (name, config) in enumerate(kinds.items()):
        torch.manual_seed(seed)
        model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_llama), config)
        for each in model.parameters():
            if each.requires_grad:
                each.data += torch.randn_like(each) * 0.3
        made[name] = tmp_path_factory.mktemp("adapters") / name
        model.save_pretrained(made[name])
    return made


def reference(base: Path, adapter: Path | None) -> list[str]:
    """Return what transformers and peft generate, one by one and unmerged."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter is not None:
        model = peft.PeftModel.from_pretrained(model, adapter)
    inner = model if adapter is None else model.get_base_model()
    # The model ships sampling defaults, which no argument of `generate` would take back.
    inner.eval().generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, max_new_tokens=12, do_sample=False
    )
    found = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt")
        found.append(tokenizer.decode(inner.generate(**ids)[0, ids.input_ids.shape[1] :], skip_special_tokens=True))
    return found


def merged_answers(word: str, text_request: MakeRequest) -> list[str | None]:
    model = MODELS.get("hf")(word, OPTIONS)
    found = {each.key: each.text for each in model.answer([text_request(each) for each in PROMPTS])}
    model.close()
    return [found[each] for each in PROMPTS]


def test_answers_are_peft_s_and_the_base_is_loaded_once_and_left_as_it_was(
    tiny_llama: Path, adapters: dict[str, Path], text_request: MakeRequest
) -> None:
    shared = importlib.import_module("xlingual.plugins.models.hf.checkpoint.adapters").SHARED
    plain = reference(tiny_llama, None)
    used = set()
    for name in ("lora", "head", "dora", "lora"):
        expected = reference(tiny_llama, adapters[name])
        assert expected != plain
        assert merged_answers(f"{tiny_llama}+{adapters[name]}", text_request) == expected, name
        used.add(id(shared.model))
        fresh = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
        left = shared.model.state_dict()
        assert left.keys() == fresh.state_dict().keys()
        assert all(torch.equal(left[key], value) for key, value in fresh.state_dict().items())
    assert len(used) == 1
    assert merged_answers(str(tiny_llama), text_request) == plain


def test_two_adapters_that_are_open_at_once_do_not_mix(
    tiny_llama: Path, adapters: dict[str, Path], text_request: MakeRequest
) -> None:
    words = [f"{tiny_llama}+{adapters[name]}" for name in ("lora", "dora")]
    models = [MODELS.get("hf")(word, OPTIONS) for word in words]
    for _ in range(2):
        for model, name in zip(models, ("lora", "dora"), strict=True):
            found = {each.key: each.text for each in model.answer([text_request(each) for each in PROMPTS])}
            assert [found[each] for each in PROMPTS] == reference(tiny_llama, adapters[name])
    for model in models:
        model.close()


def test_the_description_names_base_and_adapter(tiny_llama: Path, adapters: dict[str, Path]) -> None:
    base = MODELS.get("hf")(str(tiny_llama), OPTIONS).spec
    specs = [MODELS.get("hf")(f"{tiny_llama}+{path}", OPTIONS).spec for path in adapters.values()]
    assert specs[0].name == "tiny-llama+lora"
    assert specs[0].parent == "tiny-llama"
    assert len({base.fingerprint, *(spec.fingerprint for spec in specs)}) == 4


def test_adapters_that_do_not_load_or_fit_are_refused(
    tiny_llama: Path, adapters: dict[str, Path], tmp_path: Path, text_request: MakeRequest
) -> None:
    with pytest.raises(UsageError, match="no such adapter"):
        MODELS.get("hf")(f"{tiny_llama}+{tmp_path}/nothing", OPTIONS)
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "adapter_config.json").write_bytes((adapters["lora"] / "adapter_config.json").read_bytes())
    (pickled / "adapter_model.bin").write_bytes(b"anything")
    with pytest.raises(ModelError, match="pickle"):
        MODELS.get("hf")(f"{tiny_llama}+{pickled}", OPTIONS)
    weights = (adapters["lora"] / "adapter_model.safetensors").read_bytes()
    (pickled / "adapter_model.safetensors").write_bytes(weights[:-9])
    with pytest.raises(ModelError, match="instead of"):
        MODELS.get("hf")(f"{tiny_llama}+{pickled}", OPTIONS)
    config = (pickled / "adapter_config.json").read_text(encoding="utf-8")
    (pickled / "adapter_config.json").write_text(config.replace("q_proj", "nowhere_proj").replace("v_proj", "k_proj"))
    (pickled / "adapter_model.safetensors").write_bytes(weights)
    model = MODELS.get("hf")(f"{tiny_llama}+{pickled}", OPTIONS)
    with pytest.raises(ModelError, match="does not fit the base"):
        list(model.answer([text_request("a")]))


EMBEDDED: dict[str, dict[str, Any]] = {
    "lora on the head": {"target_modules": ["lm_head"]},
    "lora on the embedding": {"target_modules": ["embed_tokens"]},
    "head": {"target_modules": ["o_proj"], "modules_to_save": ["lm_head"]},
    "embedding": {"target_modules": ["o_proj"], "modules_to_save": ["embed_tokens"]},
    "both": {"target_modules": ["o_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "two tokens": {"target_modules": ["o_proj"]},
    "two tokens and both": {"target_modules": ["o_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
}
"""Adapters that change embedding or head; two add tokens, so that peft stores both whole."""
ADDED = ["<extra>", "<more>"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # peft on tied embeddings
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("name", EMBEDDED)
def test_adapters_on_embedding_and_head_answer_as_by_peft(
    tiny_llama: Path, tmp_path: Path, text_request: MakeRequest, name: str, tied: bool
) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    torch.manual_seed(3)
    config = AutoModelForCausalLM.from_pretrained(tiny_llama).config
    config.tie_word_embeddings = tied
    AutoModelForCausalLM.from_config(config).save_pretrained(base)
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.save_pretrained(base)
    model: Any = AutoModelForCausalLM.from_pretrained(base)
    if name.startswith("two"):
        tokenizer.add_tokens(ADDED)
        tokenizer.save_pretrained(adapter)
        model.resize_token_embeddings(len(tokenizer))
    model = peft.get_peft_model(model, peft.LoraConfig(r=2, **EMBEDDED[name]))
    for each in model.parameters():
        if each.requires_grad:
            each.data += torch.randn_like(each) * 0.3
    model.save_pretrained(adapter)
    fresh: Any = AutoModelForCausalLM.from_pretrained(base)
    if name.startswith("two"):
        fresh.resize_token_embeddings(len(tokenizer))
    inner = peft.PeftModel.from_pretrained(fresh, adapter).get_base_model().eval()
    inner.generation_config = GenerationConfig(eos_token_id=2, pad_token_id=0, max_new_tokens=12, do_sample=False)
    expected = []
    prompts = [*PROMPTS, f"The {ADDED[1]} fox {ADDED[0]}"]
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt")
        new = inner.generate(**ids)[0, ids.input_ids.shape[1] :]
        expected.append(tokenizer.decode(new, skip_special_tokens=True))
    plain = MODELS.get("hf")(str(base), OPTIONS)
    before = [each.text for each in plain.answer([text_request(each) for each in PROMPTS])]
    plain.close()
    tuned: Any = MODELS.get("hf")(f"{base}+{adapter}", OPTIONS)
    for _ in range(2):
        found = {each.key: each.text for each in tuned.answer([text_request(each) for each in prompts])}
        assert [found[each] for each in prompts] == expected
        tuned.close()
    shared = importlib.import_module("xlingual.plugins.models.hf.checkpoint.adapters").SHARED
    left, untouched = shared.model.state_dict(), AutoModelForCausalLM.from_pretrained(base).state_dict()
    assert left.keys() == untouched.keys()
    assert all(torch.equal(left[key], value) for key, value in untouched.items())
    assert (shared.model.config.vocab_size, shared.model.config.tie_word_embeddings) == (config.vocab_size, tied)
    assert (shared.model.lm_head.weight is shared.model.model.embed_tokens.weight) == tied
    again = MODELS.get("hf")(str(base), OPTIONS)
    assert [each.text for each in again.answer([text_request(each) for each in PROMPTS])] == before
    again.close()
