"""`vllm:NAME` with server processes: a stand-in with the command line and API of vLLM, killed in several ways."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from xlingual.errors import EnvironmentFault, UsageError
from xlingual.plugin import Model, ModelOptions, SupportsNotes, SupportsPromptProof
from xlingual.records import Form, Message, Request, Response, Role
from xlingual.registry import MODELS

from .fake_environment import make_environment

pytest.importorskip("openai", reason="needs the extra `openai`")
MakeRequest = Callable[..., Request]
CANARY = "canary-0123456789"


class FakeServer:
    """An environment with the stand-in, and what it logs."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.python = make_environment(folder)
        self.model = model
        self.notes = folder / "notes"
        self.notes.mkdir()

    def lines(self, name: str) -> list[str]:
        path = self.notes / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def launches(self) -> list[tuple[int, int, list[str]]]:
        return [tuple(json.loads(line)) for line in self.lines("launched")]

    def open(self, *arguments: str) -> Model:
        return MODELS.get("vllm")(str(self.model), ModelOptions(dtype="float32", server_args=arguments))


@pytest.fixture
def fake(tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    made = FakeServer(tmp_path, tiny_llama)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("XLINGUAL_VLLM_PYTHON", str(made.python))
    monkeypatch.setenv("FAKE_VLLM_NOTES", str(made.notes))
    monkeypatch.setenv("XLINGUAL_SERVER_START_SECONDS", "120")  # on a busy machine, a start takes its time
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    return made


def are_gone(pids: list[int], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(lives(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # at any moment, between two looks too
        return False


def asked(text_request: MakeRequest, count: int) -> list[Request]:
    return [text_request(f"question {each}") for each in range(count)]


def expected(request: Request) -> str:
    """Return what the stand-in answers, whose tokens are characters."""
    prompt = request.messages[0].text
    return "".join(["\n\n", *prompt, " ", *prompt][: min(12 + len(prompt), request.max_new_tokens)])


def test_a_server_is_started_asked_and_ended(fake: FakeServer, text_request: MakeRequest, tmp_path: Path) -> None:
    model = fake.open("--tensor-parallel-size=2", "--max-num-seqs", "7")
    requests = asked(text_request, 20)
    assert fake.launches() == []
    found = {each.key: each.text for each in model.answer(requests)}
    assert found == {each.key: expected(each) for each in requests}
    assert len(list(model.answer(requests[:2]))) == 2
    [(pid, child, arguments)] = fake.launches()
    assert arguments[:2] == ["serve", str(fake.model)]
    assert arguments[-3:] == ["--tensor-parallel-size=2", "--max-num-seqs", "7"]
    for words in ("--enable-prefix-caching", "--generation-config vllm", "--dtype float32", "--host 127.0.0.1"):
        assert f" {words} " in " ".join(arguments)
    assert "OPENAI_API_KEY" not in fake.lines("environment")[0].split()
    model.close()
    model.close()
    assert are_gone([pid, child])
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_the_server_reads_is_proved_by_the_tokenizer_that_it_loads(
    fake: FakeServer, text_request: MakeRequest
) -> None:
    model = fake.open()
    inner = MODELS.get("hf")(str(fake.model), ModelOptions(device="cpu"))
    assert isinstance(model, SupportsPromptProof)
    assert isinstance(inner, SupportsPromptProof)
    requests = [*asked(text_request, 3), text_request("Which river?", form=Form.CHAT)]
    assert model.prove_prompts(requests) == inner.prove_prompts(requests)
    assert [model.show_prompt(each) for each in requests] == [inner.show_prompt(each) for each in requests]
    assert model.show_prompt(requests[-1]) == "<|user|>Which river?</s><|assistant|>"
    assert fake.launches() == []
    model.close()


def test_a_server_that_reads_less_than_was_proved_is_noted(fake: FakeServer, text_request: MakeRequest) -> None:
    """The stand-in leaves the chat template out: ten demonstrations have twenty special tokens."""
    turns = tuple(Message(role=Role.USER if turn % 2 == 0 else Role.ASSISTANT, text="a") for turn in range(21))
    model, notes = fake.open(), list[str]()
    assert isinstance(model, SupportsNotes)
    model.on_note(notes.append)
    [response] = model.answer([replace(text_request("x", form=Form.CHAT), messages=turns, max_new_tokens=4)])
    model.close()
    assert response.failure is None
    assert any("perhaps cut by the server: it read" in note for note in notes), notes


def test_after_a_crash_the_server_is_restarted_and_nothing_is_lost(
    fake: FakeServer, text_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "crash-once-12")
    model = fake.open()
    requests = asked(text_request, 40)
    found = list(model.answer(requests))
    model.close()
    assert sorted(each.key for each in found) == sorted(each.key for each in requests)
    assert all(each.failure is None for each in found)
    assert len(fake.launches()) == 2
    ports = {arguments[arguments.index("--port") + 1] for _, _, arguments in fake.launches()}
    assert len(ports) == 2
    assert 40 <= len(fake.lines("asked")) <= 40 + 9  # those in flight, and no more


def test_a_server_that_keeps_crashing_ends_the_run_with_the_end_of_its_log(
    fake: FakeServer, text_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "crash-3")
    model = fake.open()
    found: list[Response] = []
    with pytest.raises(EnvironmentFault, match="has crashed 4 times") as caught:
        found.extend(model.answer(asked(text_request, 40)))
    model.close()
    assert 1 <= len(found) <= 8
    assert all(each.failure is None for each in found)
    assert "its log is" in caught.value.hint
    assert len(fake.launches()) == 4
    assert are_gone([pid for launch in fake.launches() for pid in launch[:2]])


@pytest.mark.parametrize(
    ("manner", "words"), [("fail", "ended with code 1 before it was ready"), ("sleep", "was not ready after 2 seconds")]
)
def test_a_server_that_does_not_start_says_why(
    manner: str, words: str, fake: FakeServer, text_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM", manner)
    monkeypatch.setenv("XLINGUAL_SERVER_START_SECONDS", "120" if manner == "fail" else "2")
    monkeypatch.setenv("FAKE_CANARY", "sk-another-canary-9876543210")
    model = fake.open()
    with pytest.raises(EnvironmentFault, match=words) as caught:
        list(model.answer(asked(text_request, 1)))
    model.close()
    assert are_gone([pid for launch in fake.launches() for pid in launch[:2]])
    if manner == "fail":
        assert "RuntimeError: no GPU found; key ***" in caught.value.hint
    assert "canary" not in caught.value.hint


def start_run(fake: FakeServer, out: Path) -> subprocess.Popen[str]:
    """Start a run and return once its server has been asked."""
    command = ["eval", "-m", f"vllm:{fake.model}", "-t", "xquad/en", "--data", "sample", "--batch-size", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "xlingual", *command, "--max-new-tokens", "8", "-o", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not fake.launches() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    if not fake.launches():
        process.kill()
        pytest.fail(process.communicate()[1])
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_its_run(
    number: signal.Signals, fake: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "sleep")
    process = start_run(fake, tmp_path / "out")
    [(pid, child, _)] = fake.launches()
    watchdog = psutil.Process(pid).ppid()
    assert psutil.Process(watchdog).ppid() == process.pid
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == (143 if number is signal.SIGTERM else -signal.SIGKILL), error
    assert are_gone([pid, child, watchdog])


def test_the_server_does_not_outlive_its_watchdog(fake: FakeServer, text_request: MakeRequest) -> None:
    model = fake.open()
    stream = model.answer(asked(text_request, 30))
    next(stream)
    pid = fake.launches()[0][0]
    os.kill(psutil.Process(pid).ppid(), signal.SIGKILL)
    assert are_gone([pid])
    assert len(list(stream)) == 29  # a new server has answered the rest
    assert len(fake.launches()) == 2
    model.close()
    assert are_gone([fake.launches()[1][0]])
    os.kill(fake.launches()[0][1], signal.SIGKILL)  # it has left the server's session, so nothing else ends it


def test_where_it_is_not_installed_the_command_is_given(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path))
    for name in ("vllm", "sglang"):
        with pytest.raises(EnvironmentFault, match="is not installed") as caught:
            MODELS.get(name)(str(tiny_llama), ModelOptions())
        assert f"python3 -m venv {tmp_path}/environments/{name}" in caught.value.hint
    assert "XLINGUAL_SGLANG_PYTHON=PATH" in caught.value.hint
    with pytest.raises(EnvironmentFault, match="nowhere has no package vllm"):
        MODELS.get("vllm")(str(tiny_llama), ModelOptions(server_python="nowhere"))
    home = tmp_path / "environments" / "vllm"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").symlink_to(make_environment(tmp_path / "made"))
    assert MODELS.get("vllm")(str(tiny_llama), ModelOptions()).spec.backend == "vllm"


def test_what_is_part_of_the_fingerprint(fake: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = fake.open().spec
    assert spec.word == f"vllm:{fake.model}"
    assert (spec.context_length, spec.template, spec.dtype) == (256, "chat", "float32")
    hf = MODELS.get("hf")(str(fake.model), ModelOptions(dtype="float32", device="cpu")).spec
    assert spec.fingerprint != hf.fingerprint
    assert fake.open("--tensor-parallel-size", "4", "--gpu-memory-utilization=0.5").spec == spec
    other = {
        fake.open("--quantization", "fp8").spec.fingerprint,
        fake.open("--tensor-parallel-size", "4", "--max-model-len", "99").spec.fingerprint,
        MODELS.get("vllm")(str(fake.model), ModelOptions()).spec.fingerprint,
    }
    monkeypatch.setenv("XLINGUAL_VLLM_PYTHON", str(make_environment(tmp_path / "newer", "0.34.0")))
    other.add(fake.open().spec.fingerprint)
    assert len(other | {spec.fingerprint}) == 5
    assert MODELS.get("vllm")(str(fake.model), ModelOptions()).spec.dtype == "bfloat16"


@pytest.mark.parametrize("name", ["vllm", "sglang", "serve"])
def test_a_name_is_needed(name: str) -> None:
    with pytest.raises(UsageError, match="no model is named"):
        MODELS.get(name)("", ModelOptions())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sglang", "-m sglang.launch_server --model-path /m --host 127.0.0.1 --port 7 --served-model-name n "
                   "--dtype bfloat16 --random-seed 0 --sampling-defaults openai --trust-remote-code --tp 2"),
        ("serve", "-m transformers.cli.transformers serve /m --host 127.0.0.1 --port 7 --dtype bfloat16 --device cpu "
                  "--trust-remote-code --tp 2"),
    ],
)  # fmt: skip
def test_command_lines(name: str, words: str) -> None:
    MODELS.get(name)
    module: Any = sys.modules[MODELS.origin(name)]
    launch = module.LaunchOptions(
        max_model_len=None,
        python="python", model=Path("/m"), name="n", port=7, dtype="bfloat16", device="cpu", trust_remote_code=True,
        extra_arguments=("--tp", "2"),
    )  # fmt: skip
    assert " ".join(module.PROGRAM.command(launch)) == f"python {words}"
