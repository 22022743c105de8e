"""Weights & Biases and MLflow: real runs by the real clients, offline, and what no failure of theirs may do."""

import importlib.util
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xlingual.cli import run_command
from xlingual.errors import AuthError, EnvironmentFault, UsageError
from xlingual.store import walk_runs
from xlingual.tracking import TRACKERS, backends, open_tracker, spool
from xlingual.tracking.spool import KEPT_SUFFIX, SUFFIX

CANARIES = {"WANDB_API_KEY": "canary-wandb-0123456789", "HF_TOKEN": "canary-hub-0123456789"}
WORDS = ("wandb", "mlflow")
Read = Callable[[Path], dict[str, Any]]


def _records(log: bytes) -> Iterator[bytes]:
    """Yield the records of a log in LevelDB's format: blocks of 32 KiB, each record with checksum, length and kind."""
    place, parts = 7, b""
    while place + 7 <= len(log):
        left = -place % 32768 or 32768
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", log[place + 4 : place + 7])
        if kind == 0:
            place += left
            continue
        parts += log[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def read_wandb(folder: Path) -> dict[str, Any]:
    """Return what the one offline run below `folder` holds, by wandb's own record types."""
    from wandb.proto import wandb_internal_pb2  # noqa: PLC0415 - optional

    [run] = folder.glob("wandb/offline-run-*")
    [log] = run.glob("run-*.wandb")
    found: dict[str, Any] = {"params": {}, "metrics": [], "summary": {}, "files": {}, "raw": log.read_bytes()}
    for data in _records(found["raw"]):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        is_run = record.WhichOneof("record_type") == "run"
        if is_run:
            found["id"], found["name"] = record.run.run_id, record.run.display_name
        for item in (record.run.config if is_run else record.config).update:
            found["params"][item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        for item in record.summary.update:
            found["summary"][item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        values = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        step = values.pop("_step", None)
        found["metrics"] += [(key, value, step) for key, value in values.items() if not key.startswith("_")]
    for path in (run / "files").rglob("*"):
        if path.is_file() and path.name not in ("config.yaml", "wandb-summary.json", "wandb-metadata.json"):
            found["files"][path.relative_to(run / "files").as_posix()] = path.read_text(encoding="utf-8")
    return found


def read_mlflow(folder: Path) -> dict[str, Any]:
    """Return what the one run below `folder` holds, read with mlflow's own client."""
    from mlflow import MlflowClient  # noqa: PLC0415 - optional

    store = folder / "mlruns"
    client = MlflowClient(tracking_uri=store.as_uri())
    experiment = client.get_experiment_by_name("xlingual")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    metrics = [
        (each.key, each.value, each.step)
        for key in run.data.metrics
        for each in client.get_metric_history(run.info.run_id, key)
    ]
    artifacts = next(store.glob(f"*/{run.info.run_id}/artifacts"), store / "none")
    files = {
        path.relative_to(artifacts).as_posix(): path.read_text(encoding="utf-8")
        for path in artifacts.rglob("*")
        if path.is_file()
    }
    raw = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    return {
        "params": dict(run.data.params), "metrics": metrics, "files": files, "raw": raw, "id": run.info.run_id,
        "tags": dict(run.data.tags), "name": run.info.run_name, "status": run.info.status,
    }  # fmt: skip


READERS: dict[str, Read] = {"wandb": read_wandb, "mlflow": read_mlflow}


@pytest.fixture(autouse=True)
def folders_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own client reads them only if it is told so."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(params=WORDS)
def word(request: pytest.FixtureRequest) -> str:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"needs the extra `{request.param}`")
    return str(request.param)


def _name(word: str, key: str) -> str:
    return key.replace("/", ".") if word == "mlflow" else key


def _run(program: str, folder: Path, *, environment: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own: the clients start threads and processes."""
    head = "import os, signal, sys; from pathlib import Path; from xlingual.tracking import open_tracker\n"
    return subprocess.run(
        [sys.executable, "-c", head + program, str(folder)],
        env={**_bare(), **environment}, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip


def _bare() -> dict[str, str]:
    """The environment of a user who has told MLflow nothing."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}


CURVE = """
tracker = open_tracker('{word}', Path(sys.argv[1]), 'tune x|y', print)
tracker.params({{'rate': 2e-5, 'api_key': 'short', 'url': 'https://me:pw@host/v1', 'unset': None, 'odd': float('nan')}})
for step, loss in enumerate((3.5, float('nan'), 2.25, float('inf'), 1.0), start=1):
    tracker.metrics({{'loss': loss, 'loss/source/en|x': float(step)}}, step)
tracker.metrics({{'xquad/en/f1': 50.0}})
tracker.table('mix', ('part', 'share'), [('en', 0.75), ('zh', 0.25)])
tracker.file(Path(sys.argv[1]) / 'recipe.toml', 'parts/recipe.toml')
tracker.close(); tracker.close()
"""


def test_a_curve_a_table_and_a_file(word: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(f"token = {CANARIES['HF_TOKEN']}\nrate = 2e-5\n", encoding="utf-8")
    done = _run(CURVE.format(word=word), tmp_path, environment={**CANARIES, "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert done.stdout == "tracking: loss is nan and was left out\n", done.stdout + done.stderr
    assert not list(tmp_path.glob(f"*{SUFFIX}"))
    held = READERS[word](tmp_path)
    assert [each for each in held["metrics"] if each[0] == "loss"] == [
        ("loss", 3.5, 1), ("loss", 2.25, 3), ("loss", 1.0, 5),
    ]  # fmt: skip
    part = "loss.source.en_x" if word == "mlflow" else "loss/source/en|x"
    assert [value for key, value, _ in held["metrics"] if key == part] == [1.0, 2.0, 3.0, 4.0, 5.0]
    whole = held["summary"] if word == "wandb" else {key: value for key, value, _ in held["metrics"]}
    assert whole[_name(word, "xquad/en/f1")] == 50.0
    assert float(held["params"]["rate"]) == 2e-5
    assert held["params"]["api_key"] == "***"
    assert held["params"]["url"] == "https://***@host/v1"
    assert not {"unset", "odd"} & set(held["params"])
    assert held["files"]["mix.csv"] == "part,share\nen,0.75\nzh,0.25\n"
    assert held["files"]["parts/recipe.toml"] == "token = ***\nrate = 2e-5\n"
    assert held["name"] == "tune x|y"
    everything = b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "recipe.toml"
    )
    for secret in CANARIES.values():
        assert secret.encode() not in everything
        assert secret not in done.stdout + done.stderr
    host = os.uname().nodename.encode()
    assert len(host) < 6 or host not in held["raw"]


def test_an_evaluation_is_tracked(word: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "xlingual", "eval", "-m", "echo", "-t", "xquad/en,xquad/zh", "--data", "sample"]
    finished = subprocess.run(
        [*command, "-o", str(out), "--track", word],
        env={**_bare(), **CANARIES}, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert "tracking:" not in finished.stderr
    held = READERS[word](out / "tracking")
    assert held["params"]["model"] == "echo"
    numbers = held["summary"] if word == "wandb" else {key: value for key, value, _ in held["metrics"]}
    results = [path for path in walk_runs(out) if path.name == "results.json"]
    assert len(results) == 2
    assert len(list(out.rglob("results.json"))) == 4  # and the tracker's copies
    for each in results:
        record = json.loads(each.read_text(encoding="utf-8"))
        task = record["protocol"]["task"]
        for score in record["estimates"]:
            assert numbers.get(_name(word, f"{task}/{score['metric']}")) == score["value"]
        assert json.loads(held["files"][f"{task}/results.json"])["estimates"] == record["estimates"]
        assert f"{task}/samples.jsonl" not in held["files"]
    assert "scores.csv" in held["files"]


PART = """
tracker = open_tracker('{word}', Path(sys.argv[1]), 'mine', print)
tracker.continue_run('{key}', {start})
tracker.params({{'start': {start}, 'seed': 7}})
for step in range({start} + 1, {end} + 1): tracker.metrics({{'loss': 100.0 - step}}, step)
{ending}
"""


@pytest.mark.parametrize("ending", ["tracker.close()", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_resumed_training_goes_on_with_its_run(word: str, ending: str, tmp_path: Path) -> None:
    """The first part ends at step 6, by a signal or a kill; the checkpoint is of step 4."""
    key = "ab" * 32
    first = _run(PART.format(word=word, key=key, start=0, end=6, ending=ending), tmp_path)
    assert first.stdout == "", first.stdout + first.stderr
    earlier = READERS[word](tmp_path)["id"] if ending == "tracker.close()" else None
    second = _run(PART.format(word=word, key=key, start=4, end=9, ending="tracker.close()"), tmp_path)
    assert (second.returncode, second.stdout) == (0, ""), second.stderr
    held = READERS[word](tmp_path)
    assert [each for each in held["metrics"] if each[0] == "loss"] == [
        ("loss", 100.0 - step, step) for step in range(1, 10)
    ]
    assert earlier in (None, held["id"])
    assert str(held["params"]["seed"]) == "7"
    assert len(list(tmp_path.glob(f"*{KEPT_SUFFIX}"))) == 1
    assert not list(tmp_path.glob(f"*{SUFFIX}"))


def test_a_training_that_starts_over_is_a_new_run(word: str, tmp_path: Path) -> None:
    for _ in range(2):
        done = _run(PART.format(word=word, key="cd" * 32, start=0, end=2, ending="tracker.close()"), tmp_path)
        assert done.stdout == "", done.stderr
    pattern = "wandb/offline-run-*" if word == "wandb" else "mlruns/*/*/params/seed"
    assert len(list(tmp_path.glob(pattern))) == 2


@pytest.mark.parametrize(
    "break_it",
    [
        "for name in ('wandb', 'mlruns'): (Path(sys.argv[1]) / name).write_text('in the way')",
        "sys.modules['wandb'] = sys.modules['mlflow'] = None",
    ],
)
def test_a_failure_is_a_warning_and_the_lines_stay(word: str, break_it: str, tmp_path: Path) -> None:
    program = (
        f"tracker = open_tracker('{word}', Path(sys.argv[1]), 'mine', print)\n"
        f"tracker.metrics({{'loss': 1.0}}, 1)\n{break_it}\ntracker.close(); print('went on')"
    )
    done = _run(program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("tracking: ") == 1, done.stdout
    assert done.stdout.endswith("; the run is not affected\nwent on\n")
    assert len(list(tmp_path.glob(f"*{SUFFIX}"))) == 1


def test_online_is_refused_or_becomes_offline(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = {"HOME": str(tmp_path), "WANDB_API_KEY": "", "MLFLOW_TRACKING_URI": "", "NETRC": str(tmp_path / "none")}
    unset = _run(f"open_tracker('{word}:online', Path(sys.argv[1]), 'x', print)", tmp_path, environment=home)
    assert (
        "AuthError: wandb: needs a key" in unset.stderr
        or "UsageError: --track mlflow:online: which server" in unset.stderr
    )
    nowhere = {
        "WANDB_API_KEY": "0" * 40,
        "WANDB_BASE_URL": "http://127.0.0.1:9",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    }
    program = (
        f"tracker = open_tracker('{word}:online', Path(sys.argv[1]), 'x', print)\n"
        "tracker.metrics({'loss': 1.0}, 1); tracker.close()"
    )
    done = _run(program, tmp_path, environment={**home, **nowhere})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "cannot be reached" in done.stdout
    assert ("loss", 1.0, 1) in READERS[word](tmp_path)["metrics"]


def test_mlflow_online_goes_on_with_its_run_in_a_store_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="needs the extra `mlflow`")
    environment = {"MLFLOW_TRACKING_URI": (tmp_path / "mlruns").as_uri()}
    for start, end in ((0, 6), (4, 9)):
        program = PART.format(word="mlflow:online", key="ef" * 32, start=start, end=end, ending="tracker.close()")
        done = _run(program, tmp_path / "spools", environment=environment)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    held = read_mlflow(tmp_path)
    assert [each for each in held["metrics"] if each[0] == "loss"] == [
        ("loss", 100.0 - step, step) for step in range(1, 10)
    ]
    assert (held["params"]["start"], held["tags"]["start"], held["status"]) == ("0", "4", "FINISHED")


def test_words_and_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(TRACKERS) == ["comet-ml", "comet-ml:online", "wandb", "wandb:online", "mlflow", "mlflow:online"]
    with pytest.raises(UsageError, match="no such tracker"):
        open_tracker("wand", tmp_path, "x", print)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    for each in WORDS:
        with pytest.raises(EnvironmentFault, match=f"the package {each} is not installed"):
            open_tracker(each, tmp_path, "x", print)
        command = ["eval", "-m", "echo", "-t", "xquad/en", "--data", "sample", "-o", str(tmp_path), "--track", each]
        assert run_command(command) == 5


def test_a_tracker_that_does_not_come_up_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in: neither client can be sent to here."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)

    def fail(*_: object, **__: object) -> Any:  # noqa: ANN401 - whatever is asked for
        raise RuntimeError("no")

    broken = replace(backends.BACKENDS["wandb"], is_reachable=lambda _: True, start_online=fail, make_offline=fail)
    for module in (backends, spool):
        monkeypatch.setattr(module, "BACKENDS", {**backends.BACKENDS, "wandb": broken})
    warnings: list[str] = []
    tracker = open_tracker("wandb:online", tmp_path, "x", warnings.append)
    tracker.continue_run("ab" * 32, 0)
    tracker.metrics({"loss": 1.0}, 1)
    tracker.metrics({"loss": 2.0}, 2)
    tracker.close()
    assert [line.split(";")[0] for line in warnings] == ["tracking: RuntimeError", "tracking: RuntimeError: no"]


def test_authentication_is_asked_for_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> bool:
        raise AuthError("needs a key", where="wandb")

    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    refusing = replace(backends.BACKENDS["wandb"], is_reachable=refuse)
    monkeypatch.setattr(backends, "BACKENDS", {"wandb": refusing})
    command = ["eval", "-m", "echo", "-t", "xquad/en", "--data", "sample", "-o", str(tmp_path)]
    assert run_command([*command, "--track", "wandb:online"]) == 4
    assert not list(tmp_path.rglob("journal.jsonl"))
