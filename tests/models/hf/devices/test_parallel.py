"""A model on several devices: the same answers in shares, dead workers replaced, no process left."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from xlingual.data import file_hashes, hash_file
from xlingual.errors import EnvironmentFault, ModelError, UsageError, XlingualError
from xlingual.plugin import ModelOptions
from xlingual.records import Choice, Form, Message, Request, Response, Role
from xlingual.registry import MODELS

MakeRequest = Callable[..., Request]


def part(name: str) -> ModuleType:
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


@pytest.fixture
def texts() -> list[str]:
    return [f"the {'quick brown fox ' * (number % 4)}jumps {number}" for number in range(12)]


def answers(model: Any, requests: Sequence[Request]) -> dict[str, str | None]:  # noqa: ANN401 - of the plugin
    found: list[Response] = list(model.answer(requests))
    assert len(found) == len({each.key for each in found}) == len(requests)
    return {each.key: each.text if each.failure is None else each.failure.kind for each in found}


def test_tokens_are_counted_as_by_one_process(tiny_llama: Path, text_request: MakeRequest) -> None:
    plain = text_request("the quick brown fox")
    chosen = replace(plain, choices=(Choice(before="", text="jumps"), Choice(before=" ", text="over the dog")))
    counts = [
        MODELS.get("hf")(str(tiny_llama), ModelOptions(device=device)).count_tokens([plain, chosen, plain])
        for device in ("cpu", "cpu,cpu")
    ]
    assert counts[0] == counts[1]
    assert counts[0] is not None
    assert counts[0][1] != counts[0][0] == counts[0][2], "what is scored counts too"


@pytest.mark.slow
def test_two_processes_give_the_answers_of_one_and_end_with_the_model(
    tiny_llama: Path, texts: list[str], text_request: MakeRequest
) -> None:
    requests = [text_request(each, max_new_tokens=6) for each in texts]
    single: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu"))
    expected = answers(single, requests)
    model: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu,cpu"))
    assert model.spec == single.spec
    notes: list[str] = []
    model.on_note(notes.append)
    assert answers(model, requests) == expected
    assert len(model.workers) == 2
    first, second = (each.process for each in model.workers)
    os.kill(first.pid, signal.SIGKILL)
    # What the dead one would have had to answer is asked of a new one.
    assert answers(model, requests) == expected
    assert [note for note in notes if "died" in note and "asked again" in note]
    assert second.is_alive()
    pids = [each.process.pid for each in model.workers]
    model.close()
    model.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.slow
def test_a_request_that_kills_workers_is_the_only_one_that_fails(
    tiny_llama: Path, text_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real processes, which kill themselves at one request."""
    monkeypatch.setattr(part("devices.workers"), "run_worker", run_crashing_worker)
    requests = [text_request(f"the fox {number}", max_new_tokens=2) for number in range(4)]
    model: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu,cpu"))
    notes: list[str] = []
    model.on_note(notes.append)
    try:
        found = answers(model, requests)
    finally:
        model.close()
    assert found["the fox 2"] == "process died"
    assert sorted(found.values(), key=str) == ["fine", "fine", "fine", "process died"]
    assert notes[-1].endswith("1 requests failed")


def run_crashing_worker(_setup: object, pipe: Any) -> None:  # noqa: ANN401 - a connection
    """Answer as `run_worker` does, and die at one request."""
    all_answered = part("devices.workers").AllAnswered
    try:
        while True:
            requests = [each.request for each in pipe.recv()]
            for request in requests:
                if request.key == "the fox 2":
                    os.kill(os.getpid(), signal.SIGKILL)
            for request in requests:
                pipe.send(Response(key=request.key, text="fine", failure=None, finish=None, prompt_tokens=1, tokens=1))
            pipe.send(all_answered())
    except (EOFError, OSError):
        return


@pytest.mark.slow
def test_no_worker_reads_the_weights_for_their_hash(
    tiny_llama: Path, text_request: MakeRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The parent has; and where it describes the model again, it does not either."""
    monkeypatch.setattr(file_hashes, "FRESH_NS", -(10**12))
    log = tmp_path / "read"
    monkeypatch.setenv("READ_LOG", str(log))
    monkeypatch.setattr(file_hashes, "_known", {})
    monkeypatch.setattr(file_hashes, "hash_file", hash_and_log)
    monkeypatch.setattr(part("devices.workers"), "run_worker", run_logging_worker)
    model: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu,cpu"))
    names = log.read_text(encoding="utf-8").split()
    assert "model.safetensors" in names
    assert len(names) == len(set(names))
    try:
        answers(model, [text_request(f"the fox {number}", max_new_tokens=2) for number in range(4)])
        assert len(model.workers) == 2
    finally:
        model.close()
    assert MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu")).spec == model.spec
    assert log.read_text(encoding="utf-8").split() == names


def hash_and_log(path: Path) -> str:
    """Hash a file as `hash_file` does, and log its name."""
    with Path(os.environ["READ_LOG"]).open("a", encoding="utf-8") as stream:
        stream.write(f"{path.name}\n")
    return hash_file(path)


def run_logging_worker(setup: Any, pipe: Any) -> None:  # noqa: ANN401 - of the plugin
    """Log the names of the files that a worker reads for their hashes."""
    file_hashes.hash_file = hash_and_log  # type: ignore[attr-defined]  # in a process of its own
    part("devices.workers").run_worker(setup, pipe)


def failure_of(model: Any, requests: Sequence[Request]) -> tuple[object, ...]:  # noqa: ANN401 - of the plugin
    """Return all that the command line shows of the error that answering ends with."""
    with pytest.raises(XlingualError) as caught:
        list(model.answer(requests))
    model.close()
    error = caught.value
    return type(error), error.exit_code, error.what, error.where, error.hint


def full_memory(*_arguments: object, **_named: object) -> None:
    raise MemoryError


def run_worker_in_full_memory(setup: Any, pipe: Any) -> None:  # noqa: ANN401 - of the plugin
    AutoModelForCausalLM.from_pretrained = full_memory
    part("devices.workers").run_worker(setup, pipe)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "error"), [("memory", EnvironmentFault), ("weights", ModelError)])
def test_a_model_that_does_not_load_is_the_same_error_on_one_device_and_on_two(
    tiny_llama: Path,
    text_request: MakeRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    error: type[XlingualError],
) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "copy"))
    if fault == "memory":
        monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", full_memory)
        monkeypatch.setattr(part("devices.workers"), "run_worker", run_worker_in_full_memory)
    else:
        weights = load_file(folder / "model.safetensors")
        del weights["model.norm.weight"]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    one, two = (MODELS.get("hf")(str(folder), ModelOptions(device=device)) for device in ("cpu", "cpu,cpu"))
    requests = [text_request("a"), text_request("b")]
    expected = failure_of(one, requests)
    assert expected[0] is error
    assert failure_of(two, requests) == expected


@pytest.mark.slow
def test_workers_refuse_weights_that_are_not_those_of_their_parent(
    tiny_llama: Path, tmp_path: Path, text_request: MakeRequest
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_llama, folder)
    model: Any = MODELS.get("hf")(str(folder), ModelOptions(device="cpu,cpu"))
    weights = {name: each.neg() for name, each in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="have changed since the run began"):
        list(model.answer([text_request("the fox")]))
    model.close()


@pytest.mark.slow
def test_no_process_outlives_a_killed_parent(tiny_llama: Path) -> None:
    script = f"""
import sys
from xlingual.plugin import ModelOptions
from xlingual.records import Choice, Form, Message, Request, Role
from xlingual.registry import MODELS
if __name__ == "__main__":
    model = MODELS.get("hf")({str(tiny_llama)!r}, ModelOptions(device="cpu,cpu"))
    message = Message(role=Role.USER, text="the quick fox")
    list(model.answer([
        Request(key=str(n), form=Form.TEXT, messages=(message,), stop=(), max_new_tokens=2) for n in range(4)
    ]))
    print(*[each.process.pid for each in model.workers], flush=True)
    sys.stdin.read()
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(each) for each in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.kill()
    parent.communicate()
    end = time.monotonic() + 30
    while any(psutil.pid_exists(pid) for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("word", "devices"),
    [(None, ()), ("cpu", ("cpu",)), ("cuda:0, cuda:1", ("cuda:0", "cuda:1")), ("cpu,cpu", ("cpu",) * 2)],
)
def test_devices(word: str | None, devices: tuple[str, ...]) -> None:
    assert part("devices.parallel").devices_of(word) == devices


@pytest.mark.parametrize("word", ["cuda:0,cpu", "cuda:0,cuda:0", ",", "cpu,"])
def test_devices_that_do_not_go_together(word: str) -> None:
    with pytest.raises(UsageError):
        part("devices.parallel").devices_of(word)


def test_all_devices_of_a_machine_without_any() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has cuda devices")
    with pytest.raises(EnvironmentFault):
        part("devices.parallel").devices_of("cuda:all")


def test_shares_keep_prefixes_together_and_have_about_the_same_work() -> None:
    """Four passages of 100 tokens with 5 questions of 3: each share gets whole passages."""
    rendered = part("tokens.rendering").Rendered
    prompts = []
    for passage in range(4):
        for question in range(5):
            ids = (*range(1000 * passage, 1000 * passage + 100), 9000 + question, 1, 2)
            message = Message(role=Role.USER, text="")
            key = f"{passage}{question}"
            request = Request(key=key, form=Form.TEXT, messages=(message,), stop=(), max_new_tokens=4)
            prompts.append(rendered(request=request, ids=ids))
    shares = part("devices.parallel").split(prompts[::-1], 2)
    assert [sorted({each.request.key[0] for each in share}) for share in shares] == [["0", "1"], ["2", "3"]]
    assert [len(each) for each in part("devices.parallel").split(prompts[:1], 3)] == [1]
    assert part("devices.parallel").split([], 2) == []
