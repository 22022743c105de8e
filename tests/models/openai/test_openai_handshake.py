"""The first words with a server: who it is enters the identity of the model, before any question."""

import importlib
import os
import socket
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from xlingual.cli import run_command
from xlingual.errors import AuthError, EnvironmentFault, ModelError, UsageError
from xlingual.plugin import Model, ModelOptions, SupportsNotes
from xlingual.records import Form, Message, ModelSpec, Request, Response, Role
from xlingual.registry import MODELS

from ..fault_server import Asked, Reply, answer, document, error, serve

pytest.importorskip("openai", reason="needs the extra `openai`")
KEY = "sk-canary-0123456789"
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}<think>{{ x }}</think>"


@pytest.fixture(autouse=True)
def no_openai_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "XLINGUAL_KEY_", "SSL_CERT"))]:
        monkeypatch.delenv(name)


def well(asked: Asked) -> Reply:
    return answer(f"re {asked.prompt}")


def named(name: str, **more: object) -> Reply:
    """The answer of a server that calls its model `name`."""
    content = {"message": {"content": "Hi"}, "finish_reason": "length"}
    return document({"model": name, "choices": [content], "usage": {"completion_tokens": 1}, **more})


def listing(*rows: Mapping[str, object]) -> Reply:
    return document({"object": "list", "data": list(rows)})


def ask(text: str, form: Form = Form.CHAT) -> Request:
    message = Message(role=Role.USER, text=text)
    return Request(key=text, form=form, messages=(message,), stop=(), max_new_tokens=12)


def opened(url: str, name: str = "m", **options: Any) -> Model:  # noqa: ANN401 - fields of ModelOptions
    return MODELS.get("openai")(f"{name}@{url}", ModelOptions(**options))


def spec_of(tells: Mapping[str, Any], name: str = "m", port: int = 0) -> ModelSpec:
    with serve(well, tells=tells, port=port) as server:
        return opened(server.url, name).spec


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


VLLM = {"id": "m", "object": "model", "created": 1, "owned_by": "vllm", "root": "org/a", "max_model_len": 600}
LLAMA = {"id": "own.gguf", "owned_by": "llamacpp", "meta": {"n_params": 7, "n_ctx_train": 9000}}
TELLING: dict[str, tuple[Mapping[str, Any], int | None, dict[str, str]]] = {
    "vLLM": ({"/v1/models": listing({**VLLM, "id": "other"}, VLLM)}, 600, {"server program": "vllm", "root": "org/a"}),
    "a bare list": ({"/v1/models": document([{"id": "m", "context_length": 4096}])}, 4096, {}),
    "an alias": ({"/v1/models": listing({"id": "x", "aliases": ["m"], "context_window": 77})}, 77, {}),
    "Google's prefix": ({"/v1/models": listing({"id": "models/m"})}, None, {}),
    "SGLang": (
        {"/v1/models": listing({"id": "m", "owned_by": "sglang", "max_model_len": 32}),
         "/get_model_info": document({"model_path": "org/s", "weight_version": "default"})},
        32, {"server program": "sglang", "model path": "org/s"},
    ),
    "llama.cpp": (
        {"/v1/models": listing(LLAMA),
         "/props": document({"default_generation_settings": {"n_ctx": 512}, "model_path": "own.gguf",
                             "chat_template": TEMPLATE, "build_info": "b1"})},
        512, {"server program": "llama.cpp", "server's name": "own.gguf", "file": "own.gguf", "build": "b1"},
    ),
    "Ollama": (
        {"/v1/models": listing({"id": "m:latest", "owned_by": "library"}),
         "/api/show": document({"template": TEMPLATE, "parameters": "stop x\nnum_ctx    2048", "details": {},
                                "model_info": {"llama.context_length": 8192}}),
         "/api/tags": document({"models": [{"name": "m:latest", "digest": "sha256:1"}]})},
        2048, {"server program": "ollama", "digest": "sha256:1"},
    ),
    "Ollama without num_ctx": (
        {"/api/show": document({"details": {"family": "f"}, "model_info": {"llama.context_length": 8192}})},
        8192, {"server program": "ollama", "family": "f"},
    ),
    "TGI": (
        {"/info": document({"model_id": "org/t", "model_sha": "abc", "max_total_tokens": 99})},
        99, {"server program": "tgi", "model id": "org/t", "model sha": "abc"},
    ),
    "nothing": ({}, None, {}),
    "pages": ({name: Reply(body=b"<html>") for name in ("/v1/models", "/props", "/info")}, None, {}),
    "senseless": ({"/v1/models": listing({"id": "m", "max_model_len": True, "root": 3, "meta": []})}, None, {}),
}  # fmt: skip


@pytest.mark.parametrize("server", TELLING)
def test_what_servers_tell_is_recorded(server: str) -> None:
    tells, window, details = TELLING[server]
    spec = spec_of(tells)
    assert spec.context_length == window
    assert details.items() <= (spec.details or {}).items()
    assert (spec.details is None) == (window is None and not details)
    assert spec.name == "m"
    if "chat_template" in str([reply.body for reply in tells.values() if isinstance(reply, Reply)]):
        assert spec.thinking is not None
        assert spec.thinking.end == "</think>"


REPLACED: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "another root": ({"/v1/models": listing(VLLM)}, {"/v1/models": listing({**VLLM, "root": "org/b"})}),
    "another program": ({"/v1/models": listing(VLLM)}, {"/v1/models": listing({**VLLM, "owned_by": "sglang"})}),
    "another file": (
        TELLING["llama.cpp"][0], {**TELLING["llama.cpp"][0], "/props": document({"model_path": "b.gguf"})},
    ),
    "another template": (
        {"/props": document({"model_path": "a", "chat_template": "1"})},
        {"/props": document({"model_path": "a", "chat_template": "2"})},
    ),
    "another name": (
        {"/v1/models": listing({**LLAMA, "meta": 0})}, {"/v1/models": listing({**LLAMA, "meta": 0, "id": "b.gguf"})},
    ),
    "another digest": (
        TELLING["Ollama"][0],
        {**TELLING["Ollama"][0], "/api/tags": document({"models": [{"name": "m:latest", "digest": "sha256:2"}]})},
    ),
    "another commit": (
        TELLING["TGI"][0], {"/info": document({"model_id": "org/t", "model_sha": "abd", "max_total_tokens": 99})},
    ),
    "only the answers tell": ({"token": named("a")}, {"token": named("b")}),
    "only a fingerprint tells": ({"token": named("m", system_fingerprint="b12-x")}, {"token": named("m")}),
    "from nothing to a name": ({}, {"token": named("b")}),
    "a list of the same name": (
        {"/v1/models": listing({"id": "m"}), "token": named("m")},
        {"/v1/models": listing({"id": "m"}), "token": named("b")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", REPLACED)
def test_a_server_that_was_replaced_has_a_run_of_its_own(how: str) -> None:
    """P8: same URL, same name, another model."""
    port = free_port()
    first, second = (spec_of(tells, port=port) for tells in REPLACED[how])
    again = spec_of(REPLACED[how][0], port=port)
    assert first.word == second.word
    assert first.fingerprint == again.fingerprint != second.fingerprint


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"/v1/models": listing({**VLLM, "created": 2, "permission": [1]})}, {"/v1/models": listing(VLLM)}),
        # OpenAI's fingerprints change with its machines, behind a proxy on this machine as well.
        tuple({"token": named("m", system_fingerprint=mark)} for mark in ("fp_0123456789", "fp_a1b2c3d4e5")),
    ],
)
def test_what_changes_by_itself_is_no_identity(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    port = free_port()
    assert spec_of(first, port=port).fingerprint == spec_of(second, port=port).fingerprint


def evaluate(url: str, out: Path, *words: str) -> int:
    command = ["eval", "-m", f"openai:m@{url}", "-t", "xquad/en", "--data", "sample", "--limit", "3", "--out", str(out)]
    return run_command([*command, "--progress", "none", *words])


def test_the_same_command_never_gives_old_scores_to_another_model(tmp_path: Path) -> None:
    port = free_port()
    asked = []
    for root in ("org/a", "org/b", "org/a"):
        tells = {"/v1/models": listing({**VLLM, "root": root})}
        with serve(lambda _: answer("Warsaw"), tells=tells, port=port) as server:
            assert evaluate(server.url, tmp_path) == 0
            asked.append(len(server.asked))
    assert asked == [3, 3, 0]


def test_a_server_that_ignores_names_is_recorded_under_its_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """P9."""
    for tells in (
        {"/v1/models": listing({"id": "own.gguf"}), "token": named("own.gguf")},
        {"/v1/models": listing({"id": "own.gguf"}), "token": named("m")},
        {"/v1/models": listing(LLAMA)},
        {"token": named("own.gguf")},
    ):
        with serve(well, tells=tells) as server:
            model = opened(server.url)
            assert (model.spec.details or {})["server's name"] == "own.gguf"
            notes: list[str] = []
            assert isinstance(model, SupportsNotes)
            model.on_note(notes.append)
            assert [each.text for each in model.answer([ask("a")])] == ["re a"]
            assert notes == ["the server calls the model 'own.gguf'"]


@pytest.mark.parametrize(
    "token",
    [
        error(404, "The model `m` does not exist."),
        named("m"),
        document({"error": {"code": "model_not_found"}}, status=400),
    ],
)
def test_a_name_that_the_server_lacks_is_refused(token: Reply) -> None:
    tells = {"/v1/models": listing({"id": "a"}, {"id": "b"}), "token": token}
    with serve(well, tells=tells) as server:
        with pytest.raises(ModelError, match="the server has no model 'm'") as caught:
            opened(server.url)
        assert caught.value.hint == "the server offers a, b"
        assert server.asked == []


def test_a_model_that_is_replaced_while_it_is_asked_ends_the_run() -> None:
    def script(asked: Asked) -> Reply:
        return named("a" if asked.number < 9 else "b")

    found: list[Response] = []
    with serve(script, tells={"/v1/models": listing(VLLM)}) as server:
        stream = opened(server.url, batch_size=2).answer([ask(str(each)) for each in range(40)])
        with pytest.raises(ModelError, match="answers now come from the model 'b'"):
            found.extend(stream)
    assert 6 <= len(found) <= 8


@pytest.mark.slow
def test_a_server_that_is_not_there_is_no_hang_and_no_error_yet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    assert evaluate(url, tmp_path, "--dry-run") == 0
    assert "3 samples" in capfd.readouterr().out
    assert evaluate(url, tmp_path) == 5
    assert "cannot be reached" in capfd.readouterr().err


def test_a_server_that_starts_after_the_plan_is_not_asked_by_it() -> None:
    """Its window and name were not known; what it would answer is stored nowhere."""
    port = free_port()
    model = opened(f"http://127.0.0.1:{port}/v1")
    with serve(well, tells={"/v1/models": listing(VLLM)}, port=port) as server:
        with pytest.raises(EnvironmentFault, match="started only now") as caught:
            list(model.answer([ask("a")]))
        assert caught.value.hint == "the same command again"
        assert server.asked == []
    with serve(well, port=port):  # it tells nothing: nothing was missed
        assert [each.text for each in model.answer([ask("a")])] == ["re a"]


@pytest.mark.slow
def test_a_server_that_loads_is_waited_for_and_a_broken_one_is_not() -> None:
    loading = iter([error(503, "Loading model"), error(503, "Loading model")])
    tells = {"/v1/models": lambda _: next(loading, listing(VLLM))}
    with serve(well, tells=tells) as server:
        assert opened(server.url).spec.context_length == 600
    with (
        serve(well, tells={"/v1/models": error(500, "broken")}) as server,
        pytest.raises(EnvironmentFault, match="500 to the question for its models: broken"),
    ):
        opened(server.url)


def test_openai_itself_is_asked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    spec = MODELS.get("openai")("gpt-x", ModelOptions()).spec
    assert (spec.details, spec.context_length) == (None, None)


def test_a_window_of_the_users_is_a_window() -> None:
    with serve(well, tells={"/v1/models": listing(VLLM)}) as server:
        plain, less, more = (opened(server.url, max_model_len=most).spec for most in (None, 500, 700))
    assert [each.context_length for each in (plain, less, more)] == [600, 500, 600]
    assert len({each.fingerprint for each in (plain, less, more)}) == 3


def part(name: str) -> Any:  # noqa: ANN401 - a module of the plugin, which is none of the public names
    return importlib.import_module(f"xlingual.plugins.models.openai.{name}")


def test_a_key_goes_to_the_host_that_it_is_meant_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """P13."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("MY_KEY", "my-key-0123456789")

    def sent(**options: Any) -> str:  # noqa: ANN401
        with serve(well) as server:
            list(opened(server.url, **options).answer([ask("a")]))
            assert len({each.headers.get("Authorization", "") for each in server.greeted}) == 1
            return server.asked[0].headers["authorization"]

    assert sent() == "Bearer none"
    assert sent(key_env="MY_KEY") == "Bearer my-key-0123456789"
    assert sent(key_env="OPENAI_API_KEY") == f"Bearer {KEY}"
    monkeypatch.setenv("XLINGUAL_KEY_127_0_0_1", "host-key-0123456789")
    assert sent() == "Bearer host-key-0123456789"
    assert sent(key_env="MY_KEY") == "Bearer my-key-0123456789"
    assert sent(headers=("Authorization: Token abc",)) == "Token abc"


@pytest.mark.parametrize(
    ("url", "names", "openai"),
    [
        ("https://api.openai.com/v1", ("XLINGUAL_KEY_API_OPENAI_COM",), True),
        ("https://eu.api.openai.com/v1", ("XLINGUAL_KEY_EU_API_OPENAI_COM",), True),
        ("http://api.openai.com/v1", ("XLINGUAL_KEY_API_OPENAI_COM",), False),
        ("https://api.openai.com.evil.example/v1", ("XLINGUAL_KEY_API_OPENAI_COM_EVIL_EXAMPLE",), False),
        ("https://evilapi.openai.com/v1", ("XLINGUAL_KEY_EVILAPI_OPENAI_COM",), False),
        ("http://gpu-7.lan:8000/v1", ("XLINGUAL_KEY_GPU_7_LAN_8000", "XLINGUAL_KEY_GPU_7_LAN"), False),
        ("http://[::1]:80/v1", ("XLINGUAL_KEY_1_80", "XLINGUAL_KEY_1"), False),
    ],
)
def test_hosts_and_their_variables(url: str, names: tuple[str, ...], openai: bool) -> None:
    address = part("address").read_address(f"m@{url}")
    assert part("credentials").host_variables(address) == names
    assert address.openai == openai


def test_a_missing_key_says_where_it_would_be_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serve(well, tells={"/v1/models": error(401, "who are you?")}) as server:
        with pytest.raises(AuthError) as caught:
            opened(server.url)
        assert "XLINGUAL_KEY_127_0_0_1" in caught.value.hint
        assert "OPENAI_API_KEY is not sent to other hosts" in caught.value.hint
        assert len(server.greeted) == 1
        with pytest.raises(AuthError, match=r"\$NO_SUCH_KEY is not set"):
            opened(server.url, key_env="NO_SUCH_KEY")


def test_headers_are_sent_and_never_shown() -> None:
    with serve(lambda _: error(400, "bad header canary-value")) as server:
        model = opened(server.url, headers=("X-Team: canary-value", "x-empty:"))
        [response] = model.answer([ask("a")])
    assert server.asked[0].headers["x-team"] == "canary-value"
    assert "canary" not in f"{response} {model!r}".replace("X-Team: canary-value", "")
    for wrong in ("no colon canary", ": canary", "bad name: canary", "X: can\nary"):
        with pytest.raises(UsageError) as caught:
            opened("http://127.0.0.1:9/v1", headers=(wrong,))
        assert "canary" not in str(caught.value)


@pytest.mark.slow
def test_certificates_of_the_environment_are_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-keyout", str(key), "-out", str(certificate), "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    try:
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs openssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serve(well, tls=context) as server:
        model = opened(server.url)
        with pytest.raises(EnvironmentFault, match="cannot be reached") as caught:
            list(model.answer([ask("a")]))
        assert "SSL_CERT_FILE" in caught.value.hint
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert [each.text for each in opened(server.url).answer([ask("a")])] == ["re a"]
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        with pytest.raises(EnvironmentFault, match="certificates cannot be read"):
            opened(server.url)
