"""`ray:N:SPEC` with worker processes that are killed."""

import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from xlingual import open_model, plugins
from xlingual.data import file_hashes
from xlingual.errors import AuthError, EnvironmentFault, ModelError, PluginError, UsageError, XlingualError
from xlingual.plugin import DataSource, ExampleAware, Model, ModelOptions, SupportsNotes
from xlingual.records import Form, Message, Request, Role
from xlingual.registry import MODELS
from xlingual.selection import select_tasks

ray = pytest.importorskip("ray", reason="needs the extra `ray`")

PLUGIN = '''
"""A model that does as its name says; requests are answered in upper case."""
import os, time
from xlingual import ModelSpec, Response, register_model
from pathlib import Path
from xlingual.data import file_hashes, hash_file
from xlingual import errors

class Testing:
    def __init__(self, name):
        fingerprint = str(os.getpid()) if name == "other" else "f" * 64
        self.reads = []
        if name.startswith("weights="):
            file_hashes.hash_file = lambda path: self.reads.append(path) or hash_file(path)
            fingerprint = file_hashes.hash_once(Path(name.removeprefix("weights=")))
            file_hashes.hash_file = hash_file
        self.name = name
        self.spec = ModelSpec(word=f"testing:{name}", backend="testing", name="testing", revision=None,
            fingerprint=fingerprint, dtype=None, template="raw", context_length=None, parent=None)
    def count_tokens(self, requests):
        return None
    def on_note(self, note):
        self.note = note
    def answer(self, requests):
        for request in requests:
            text = request.messages[0].text
            if self.name == "poison" and text == "17":
                os._exit(1)
            if self.name == "noting" and text == "17":
                self.note("memory was short")
            if self.name.startswith("broken="):
                raise getattr(errors, self.name[7:])("does not fit", where="testing", hint="buy a bigger one")
            if self.name == "silent" and text == "17":
                continue
            time.sleep(0.01 if self.name == "slow" else 0)
            if self.name.startswith("weights="):
                text = f"{len(self.reads)} files read"
            yield Response(key=request.key, text=f"{text.upper()} {os.environ.get('OMP_NUM_THREADS')}", failure=None,
                finish=None, prompt_tokens=None, tokens=None)
    def close(self):
        pass

@register_model("testing")
def open_testing(name, options):
    return Testing(name)
'''


def requests(count: int) -> list[Request]:
    return [
        Request(
            key=f"key-{each}", form=Form.TEXT, messages=(Message(role=Role.USER, text=str(each)),), stop=(),
            max_new_tokens=8,
        )
        for each in range(count)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cluster for the tests in this process, whose workers find a plugin of the user's."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "models").mkdir()
    (folder / "models" / "testing.py").write_text(PLUGIN, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLINGUAL_PLUGINS", str(folder))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setattr(plugins, "__path__", [*plugins.__path__, str(folder)])
        before = signal.getsignal(signal.SIGTERM)
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20)
        yield
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)
    MODELS._items.pop("testing", None)
    sys.modules.pop("xlingual.plugins.models.testing", None)


def open_in(word: str, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    return open_model(word, ModelOptions())


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_workers_find_plugins_and_threads_and_answer_each_request_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_in("ray:2:testing:plain", monkeypatch)
    assert not isinstance(model, ExampleAware)
    assert model.spec == open_model("testing:plain", ModelOptions()).spec
    found = Counter((each.key, each.text) for each in model.answer(requests(100)))
    assert found == Counter((f"key-{each}", f"{each} 3") for each in range(100))
    model.close()
    assert ray.is_initialized()


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_request_that_kills_workers_is_the_only_one_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_in("ray:2:testing:poison", monkeypatch)
    notes: list[str] = []
    assert isinstance(model, SupportsNotes)
    model.on_note(notes.append)
    found = {each.key: each for each in model.answer(requests(60))}
    model.close()
    assert len(found) == 60
    failures = {key: each.failure for key, each in found.items() if each.failure is not None}
    assert list(failures) == ["key-17"]
    assert failures["key-17"].kind == "worker died"
    assert all(note.startswith("a worker died and was replaced (") for note in notes)
    assert [note.rpartition("; ")[2] for note in notes][-1] == "one request failed"
    assert notes[0].endswith(" requests are asked again")


@pytest.mark.usefixtures("cluster")
def test_the_notes_of_a_workers_model_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_in("ray:2:testing:noting", monkeypatch)
    notes: list[str] = []
    assert isinstance(model, SupportsNotes)
    model.on_note(notes.append)
    assert len(list(model.answer(requests(40)))) == 40
    model.close()
    assert notes in (["worker 1: memory was short"], ["worker 2: memory was short"])


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("kind", [ModelError, EnvironmentFault, AuthError])
def test_what_the_model_raises_is_raised(monkeypatch: pytest.MonkeyPatch, kind: type[XlingualError]) -> None:
    model = open_in(f"ray:1:testing:broken={kind.__name__}", monkeypatch)
    with pytest.raises(XlingualError, match="does not fit") as caught:
        list(model.answer(requests(3)))
    assert type(caught.value) is kind
    assert (caught.value.where, caught.value.hint) == ("testing", "buy a bigger one")
    model.close()


@pytest.mark.usefixtures("cluster")
def test_what_the_model_leaves_out_is_a_fault_of_its_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_in("ray:1:testing:silent", monkeypatch)
    with pytest.raises(PluginError, match=r"testing.py:\d+: model 'testing:silent': answer ended after 19 of 20"):
        list(model.answer(requests(20)))
    model.close()


@pytest.mark.usefixtures("cluster")
def test_workers_with_another_model_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_in("ray:1:testing:other", monkeypatch)
    with pytest.raises(EnvironmentFault, match="another model than the driver"):
        list(model.answer(requests(1)))
    model.close()


def test_of_drawn_fingerprints_only_the_driver_s_own_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    pool = importlib.import_module("xlingual.plugins.models.ray.pool")
    monkeypatch.setattr("ray.get", lambda opened: opened)
    chance = random.Random(20261126)
    for _ in range(200):
        own = "".join(chance.choices("0123456789abcdef", k=64))
        place = chance.randrange(64)
        changed = own[:place] + chance.choice("ghij") + own[place + 1 :]
        driver = SimpleNamespace(config=SimpleNamespace(fingerprint=own, word="ray:2:m"))
        pool.WorkerPool._check_fingerprint(driver, own)
        for other in (changed, own[:place], own + "0", ""):
            with pytest.raises(EnvironmentFault, match="another model than the driver"):
                pool.WorkerPool._check_fingerprint(driver, other)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_workers_on_this_machine_do_not_read_the_weights_for_their_hash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The driver has. Weights that have changed since are read, and refused."""
    monkeypatch.setattr(file_hashes, "FRESH_NS", -(10**12))
    weights = tmp_path / "weights"
    weights.write_bytes(b"0123")
    model = open_in(f"ray:2:testing:weights={weights}", monkeypatch)
    assert {each.text for each in model.answer(requests(8))} == {"0 FILES READ 3"}
    model.close()
    model = open_in(f"ray:2:testing:weights={weights}", monkeypatch)
    weights.write_bytes(b"3210")
    with pytest.raises(EnvironmentFault, match="another model than the driver"):
        list(model.answer(requests(1)))
    model.close()


@pytest.mark.usefixtures("cluster")
def test_an_iterator_that_is_left_early_cancels_its_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_in("ray:2:testing:slow", monkeypatch)
    stream = model.answer(requests(400))
    next(stream)
    del stream
    start = time.monotonic()
    assert len(list(model.answer(requests(4)))) == 4
    assert time.monotonic() - start < 1.0  # the two cancelled chunks would have taken a second each
    model.close()


@pytest.mark.usefixtures("cluster")
def test_too_few_gpus_are_an_error_before_workers_start(monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_in("ray:4@0.5:testing:plain", monkeypatch)
    with pytest.raises(EnvironmentFault, match=r"4 workers with 0.5 GPUs each, and the cluster has 0"):
        list(model.answer(requests(1)))
    model.close()


@pytest.mark.parametrize("word", ["ray", "ray:", "ray:2", "ray:0:echo", "ray:-1:echo", "ray:x:echo", "ray:2@x:echo",
                                  "ray:2:ray:2:echo", "ray:2:", "ray:2:nothing-like-it"])  # fmt: skip
def test_wrong_names(word: str) -> None:
    with pytest.raises(UsageError):
        open_model(word, ModelOptions())


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nonsense"])
def test_a_cluster_that_does_not_answer(address: str) -> None:
    program = (
        "import sys; from xlingual import open_model, ModelOptions; from xlingual.records import *\n"
        "from xlingual.errors import EnvironmentFault\n"
        "request = Request(key='k', form=Form.TEXT, messages=(), stop=(), max_new_tokens=1)\n"
        "try: list(open_model('ray:1:echo', ModelOptions()).answer([request]))\n"
        "except EnvironmentFault as error: print(error)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "RAY_ADDRESS": address}, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert finished.stdout.startswith(f"$RAY_ADDRESS={address}: "), finished.stderr


PAUSE = 0.05


def start(folder: Path, word: str) -> subprocess.Popen[str]:
    script = folder / "script.jsonl"
    if not script.exists():
        sample = DataSource(folder=None, sample=True, offline=True)
        rows = select_tasks(["xquad/en"], [])[0].examples("test", sample).rows
        lines = [json.dumps({"id": row.id, "prediction": f"{row.id} said", "seconds": PAUSE}) for row in rows]
        script.write_text("\n".join(lines), encoding="utf-8")
    command = ["eval", "-m", f"{word}:{script}", "-t", "xquad/en,xquad/zh,xquad/ar", "--data", "sample"]
    return subprocess.Popen(
        [sys.executable, "-m", "xlingual", *command, "-o", str(folder / word.replace(":", "-"))],
        env={**os.environ, "XLINGUAL_SCRIPTED_LOG": str(folder / "asked.log")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def asked(folder: Path) -> list[str]:
    log = folder / "asked.log"
    return log.read_text(encoding="utf-8").split() if log.exists() else []


def wait_for(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(asked(folder)) < count and time.monotonic() < deadline:
        time.sleep(0.01)


def results(folder: Path) -> list[dict[str, object]]:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("results.json"))]
    times = ("finished_at", "hashes")
    return [{name: value for name, value in record.items() if name not in times} for record in found]


def processes_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    plain = start(tmp_path, "scripted")
    plain.communicate(timeout=60)
    assert plain.returncode == 0
    (tmp_path / "asked.log").unlink()
    process = start(tmp_path, "ray:2:scripted")
    wait_for(tmp_path, 12)
    workers = [each for each in processes_of(process) if each.name().startswith("ray::ModelWorker")]
    assert len(workers) == 2
    workers[0].kill()
    _, error = process.communicate(timeout=90)
    assert process.returncode == 0, error
    assert results(tmp_path / "ray-2-scripted") == results(tmp_path / "scripted")
    assert len(results(tmp_path / "scripted")) == 3
    again = len(asked(tmp_path)) - 72
    assert 0 <= again <= 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_driver_that_ends_keeps_its_answers_and_leaves_no_process(number: signal.Signals, tmp_path: Path) -> None:
    process = start(tmp_path, "ray:2:scripted")
    wait_for(tmp_path, 12)
    others = processes_of(process)
    if number is signal.SIGKILL:  # two small agents of Ray's wait a minute for their dead head before they end
        others = [each for each in others if not each.name().endswith("Agent")]
    assert len([each for each in others if each.name().startswith("ray::ModelWorker")]) == 2
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (143 if number is signal.SIGTERM else -signal.SIGKILL)
    _, alive = psutil.wait_procs(others, timeout=15)
    assert not alive, [each.name() for each in alive]
    journals = list((tmp_path / "ray-2-scripted").rglob("journal.jsonl"))
    kept = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in journals)
    assert kept >= 8
    again = start(tmp_path, "scripted" if number is signal.SIGTERM else "ray:2:scripted")
    _, error = again.communicate(timeout=90)
    assert again.returncode == 0, error
    if number is signal.SIGKILL:
        assert f"{kept} of them answered before" in error
