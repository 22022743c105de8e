"""Which models are found and which refused, and what is part of a fingerprint."""

import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from tokenizers import processors
from transformers import AutoTokenizer

from xlingual.errors import AuthError, EnvironmentFault, ModelError, UsageError, XlingualError
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Failure, Form, Request
from xlingual.registry import MODELS

MakeRequest = Callable[..., Request]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def open_hf(name: str | Path, options: ModelOptions | None = None) -> Model:
    return MODELS.get("hf")(str(name), options or ModelOptions(device="cpu"))


@pytest.fixture
def copy(tiny_llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_llama, tmp_path / "copy"))


def edit(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_folder_is_described_without_its_weights(tiny_llama: Path) -> None:
    model = open_hf(f"{tiny_llama}/")
    spec = model.spec
    assert (spec.backend, spec.name, spec.revision, spec.dtype) == ("hf", "tiny-llama", None, "float32")
    assert (spec.template, spec.context_length, spec.parent) == ("chat", 256, None)
    assert len(spec.fingerprint) == 64
    assert getattr(model, "loaded", "no such field") is None


@pytest.mark.parametrize(
    "name", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all", "a/b/c", "gone.gguf", "x" * 5000, "~no-such-user/x"]
)
def test_a_path_that_does_not_exist_is_a_usage_error_and_not_looked_up(name: str) -> None:
    with pytest.raises(UsageError, match="no such model") as caught:
        open_hf(name)
    assert caught.value.hint


def test_a_misspelt_folder_gets_a_suggestion(tiny_llama: Path) -> None:
    with pytest.raises(UsageError) as caught:
        open_hf(tiny_llama.with_name("tiny-lama"))
    assert "tiny-llama" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("FOLDER", ModelOptions(dtype="int4")),
        ("FOLDER", ModelOptions(device="abacus")),
        ("FOLDER", ModelOptions(batch_size=0)),
        ("FOLDER", ModelOptions(revision="main")),
        ("FOLDER/config.json", ModelOptions()),
        ("", ModelOptions()),
        ("org/name@v1", ModelOptions(revision="v2")),
        ("org/name@main", ModelOptions(trust_remote_code=True)),
        ("org/..", ModelOptions(offline=True)),
    ],
)
def test_wrong_names_and_options_are_usage_errors(tiny_llama: Path, name: str, options: ModelOptions) -> None:
    with pytest.raises(UsageError):
        open_hf(name.replace("FOLDER", str(tiny_llama)), options)


def test_pickled_weights_are_refused_and_never_opened(copy: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "marker",)

    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    torch.save({"bomb": Bomb()}, copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickle") as caught:
        open_hf(copy)
    assert "save_pretrained" in caught.value.hint
    assert not (tmp_path / "marker").exists()
    torch.save(weights, copy / "pytorch_model.bin")
    assert open_hf(copy, ModelOptions(allow_pickle=True, device="cpu")).spec.dtype == "float32"


def test_pickled_weights_answer_when_they_are_allowed(copy: Path, tiny_llama: Path, text_request: MakeRequest) -> None:
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    [response] = open_hf(copy, ModelOptions(allow_pickle=True)).answer([text_request("fox")])
    assert [response] == list(open_hf(tiny_llama).answer([text_request("fox")]))


@pytest.mark.parametrize("kept", [4, 100, -10])
def test_a_truncated_shard_is_named_before_any_work(copy: Path, kept: int) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError) as caught:
        open_hf(copy)
    assert caught.value.where.endswith("model.safetensors")


def test_a_missing_shard_is_named(copy: Path) -> None:
    index = {"metadata": {}, "weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="missing") as caught:
        open_hf(copy)
    assert caught.value.where.endswith("model-00002-of-00002.safetensors")


def test_weights_that_lack_a_tensor_are_refused(copy: Path, text_request: MakeRequest) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"model\.layers\.1\.mlp\.up_proj\.weight"):
        list(open_hf(copy).answer([text_request("fox")]))


def test_no_weights_no_configuration_no_json(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no weights"):
        open_hf(copy)
    (copy / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not JSON"):
        open_hf(copy)
    (copy / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        open_hf(copy)
    (copy / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError) as caught:
        open_hf(copy)
    assert "x.gguf" in caught.value.hint


def test_an_unknown_architecture_is_a_model_error(copy: Path) -> None:
    edit(copy / "config.json", model_type="abacus")
    with pytest.raises(ModelError, match="cannot be loaded"):
        open_hf(copy)


@pytest.mark.parametrize("field", ["max_position_embeddings", "num_hidden_layers", "vocab_size"])
def test_a_field_of_the_wrong_type_is_one_line(copy: Path, field: str) -> None:
    edit(copy / "config.json", **{field: "many"})
    with pytest.raises(ModelError, match=field) as caught:
        open_hf(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["vit", "clip", "whisper", "vision-encoder-decoder"])
def test_a_model_of_anything_but_text_is_a_model_error(copy: Path, text_request: MakeRequest, kind: str) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(ModelError) as caught:
        list(open_hf(copy).answer([text_request("fox")]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_models_own_code_never_runs_unless_allowed(copy: Path, tmp_path: Path, file: str) -> None:
    marker = tmp_path / "marker"
    (copy / "evil.py").write_text(f"import pathlib; pathlib.Path({str(marker)!r}).touch()\n")
    edit(copy / file, auto_map={"AutoConfig": "evil.C", "AutoTokenizer": ["evil.T", None]}, model_type="evil")
    with pytest.raises(ModelError, match="auto_map"):
        open_hf(copy)
    assert not marker.exists()


@pytest.mark.parametrize("tokenizer", [{}, {"tokenizer_class": "GPT2TokenizerFast"}])
def test_code_beside_a_model_that_transformers_knows_is_not_needed(
    copy: Path, tiny_llama: Path, tmp_path: Path, text_request: MakeRequest, tokenizer: dict[str, str]
) -> None:
    """As folders from before transformers had the architecture: its own class answers, and no code runs."""
    marker = tmp_path / "marker"
    (copy / "evil.py").write_text(f"import pathlib; pathlib.Path({str(marker)!r}).touch()\n")
    auto_map = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}
    edit(copy / "config.json", auto_map=auto_map)
    if tokenizer:
        edit(copy / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", None]}, **tokenizer)
    [response] = open_hf(copy).answer([text_request("fox")])
    assert [response] == list(open_hf(tiny_llama).answer([text_request("fox")]))
    assert not marker.exists()


def test_the_fingerprint_changes_with_all_that_changes_answers(copy: Path) -> None:
    first = open_hf(copy).spec.fingerprint
    same = [
        ModelOptions(batch_size=3, device="cpu"),
        ModelOptions(offline=True),
        ModelOptions(dtype="float32"),
    ]
    assert [open_hf(copy, each).spec.fingerprint for each in same] == [first] * 3
    seen = {first, open_hf(copy, ModelOptions(dtype="bfloat16")).spec.fingerprint}
    (copy / "README.md").write_text("words")
    assert open_hf(copy).spec.fingerprint == first
    (copy / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    seen.add(open_hf(copy).spec.fingerprint)
    edit(copy / "generation_config.json", eos_token_id=[2, 9])
    seen.add(open_hf(copy).spec.fingerprint)
    edit(copy / "config.json", rope_parameters={"rope_theta": 5.0, "rope_type": "default"})
    seen.add(open_hf(copy).spec.fingerprint)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    seen.add(open_hf(copy).spec.fingerprint)
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("name", "provenance", "chat", "expected"),
    [
        ("copy", None, True, "chat"),
        ("copy", None, False, "raw"),
        ("x-llama-zh-7b", None, False, "alpaca"),
        ("M_LLaMA-7b", None, False, "alpaca"),
        ("chinese-alpaca", None, False, "alpaca"),
        ("vlm-llama", None, False, "raw"),
        ("copy", "alpaca", False, "alpaca"),
        ("copy", "alpaca", True, "alpaca"),
        ("alpaca", None, True, "chat"),
    ],
)
def test_the_template_that_suits_a_model(
    copy: Path, name: str, provenance: str | None, chat: bool, expected: str
) -> None:
    folder = copy.rename(copy.with_name(name))
    if provenance:
        (folder / "provenance.json").write_text(json.dumps({"template": provenance, "parent": "org/base"}))
    if not chat:
        (folder / "chat_template.jinja").unlink()
    spec = open_hf(folder).spec
    assert (spec.template, spec.parent) == (expected, "org/base" if provenance else None)


def test_auto_takes_the_stored_dtype(copy: Path) -> None:
    edit(copy / "config.json", dtype="bfloat16")
    assert open_hf(copy, ModelOptions(dtype="auto")).spec.dtype == "bfloat16"
    assert open_hf(copy).spec.dtype == "float32"


def test_a_text_may_begin_but_not_end_with_a_special_token(copy: Path, text_request: MakeRequest) -> None:
    bare = open_hf(copy).count_tokens([text_request("The fox")])
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    tokenizer.save_pretrained(copy)
    assert AutoTokenizer.from_pretrained(copy)("The fox").input_ids[-1] == 2
    model = open_hf(copy)
    assert bare is not None
    assert model.count_tokens([text_request("The fox")]) == [bare[0] + 1]
    chat = AutoTokenizer.from_pretrained(copy).encode("<|user|>The fox</s><|assistant|>", add_special_tokens=False)
    assert model.count_tokens([text_request("The fox", form=Form.CHAT)]) == [len(chat)]


@pytest.mark.parametrize(
    ("template", "match"),
    [
        ("{{ raise_exception('no users') }}", "no users"),
        ("{{ ''.__class__.__mro__ }}", "sandbox"),
        ("{% for %}", "chat template"),
        ("", "no chat template|none of"),
    ],
)
def test_a_chat_template_that_refuses_every_request(
    copy: Path, text_request: MakeRequest, template: str, match: str
) -> None:
    (copy / "chat_template.jinja").write_text(template)
    with pytest.raises(ModelError, match=match):
        open_hf(copy).count_tokens([text_request("a", form=Form.CHAT), text_request("b", form=Form.CHAT)])


def test_a_chat_template_that_refuses_one_request_fails_it_alone(copy: Path, text_request: MakeRequest) -> None:
    (copy / "chat_template.jinja").write_text(
        "{% if messages[0]['content'] == 'bad' %}{{ raise_exception('not this') }}{% endif %}"
        "x{{ messages[0]['content'] }}"
    )
    requests = [text_request("bad", form=Form.CHAT), text_request("good", form=Form.CHAT)]
    model = open_hf(copy)
    assert model.count_tokens(requests) == [0, len(AutoTokenizer.from_pretrained(copy).encode("xgood"))]
    bad, good = model.answer(requests)
    assert bad.failure == Failure(kind="chat template", message="TemplateError: not this")
    assert (bad.key, good.failure) == ("bad", None)


def test_an_empty_prompt_and_a_token_without_embedding_fail_alone(copy: Path, text_request: MakeRequest) -> None:
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_tokens(["NEW"])
    tokenizer.save_pretrained(copy)
    found = {each.key: each for each in open_hf(copy).answer([text_request(text) for text in ("", "NEW", "fox")])}
    kinds = {key: each.failure.kind if each.failure else None for key, each in found.items()}
    assert kinds == {"": "empty prompt", "NEW": "token outside the vocabulary", "fox": None}


@pytest.fixture
def hub_cache(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub library's cache with one model in it."""
    repository = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(tiny_llama, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return repository


@pytest.mark.parametrize("name", ["org/tiny", "org/tiny@main", f"org/tiny@{COMMIT}"])
def test_offline_a_hub_model_comes_from_the_cache_at_its_commit(
    hub_cache: Path, tiny_llama: Path, text_request: MakeRequest, name: str
) -> None:
    model = open_hf(name, ModelOptions(offline=True))
    assert (model.spec.name, model.spec.revision) == ("org/tiny", COMMIT)
    assert list(model.answer([text_request("fox")])) == list(open_hf(tiny_llama).answer([text_request("fox")]))


def test_offline_without_cache_is_a_fault_of_the_environment(hub_cache: Path) -> None:
    for name in ("org/other", "org/tiny@v9", "plain"):
        with pytest.raises(EnvironmentFault, match="not in the cache") as caught:
            open_hf(name, ModelOptions(offline=True))
        assert caught.value.hint
    (hub_cache / "snapshots" / COMMIT / "model.safetensors").unlink()
    with pytest.raises(EnvironmentFault, match="no weights"):
        open_hf("org/tiny", ModelOptions(offline=True))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, str | int]]:
    """A hub on this machine that refuses everything, as the dictionary says."""
    answer: dict[str, str | int] = {"status": 404, "code": ""}

    class Refuse(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(answer["status"]))
            self.send_header("X-Error-Code", str(answer["code"]))
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(
            self,
            format: str,  # noqa: A002 - the name of the base class
            *args: object,
        ) -> None:
            """Stay silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield answer
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "GatedRepo", AuthError),
        (403, "GatedRepo", AuthError),
        (401, "", AuthError),
        (404, "RepoNotFound", UsageError),
        (404, "RevisionNotFound", UsageError),
        (503, "", EnvironmentFault),
    ],
)
def test_what_the_hub_refuses(hub: dict[str, str | int], status: int, code: str, error: type[XlingualError]) -> None:
    hub.update(status=status, code=code)
    with pytest.raises(error) as caught:
        open_hf("org/name@v1")
    assert type(caught.value) is error
    assert caught.value.hint


def test_without_the_hub_the_cache_is_used(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert open_hf("org/tiny").spec.revision == COMMIT
    with pytest.raises(EnvironmentFault, match="cannot be reached"):
        open_hf("org/other")
