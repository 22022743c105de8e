"""Real archives of real runs, by the real client: what they hold and what not, and what no failure may do."""

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from xlingual.cli import run_command
from xlingual.errors import AuthError, DataError, EnvironmentFault, Interrupted, UsageError, XlingualError
from xlingual.redaction import environment_secrets, is_secret, redact_document, redact_settings
from xlingual.tracking import open_tracker, upload
from xlingual.tracking.spool import Spool
from xlingual.tracking.upload import find_archives

pytest.importorskip("comet_ml", reason="needs the extra `tracking`")

CANARIES = {
    "COMET_API_KEY": "canary-comet-0123456789abcdef", "OPENAI_API_KEY": "canary-openai-0123456789",
    "HF_TOKEN": "canary-hub-0123456789", "MY_DB_PASSWORD": "canary-password",
}  # fmt: skip
GREEDY = dict.fromkeys(
    (
        "COMET_AUTO_LOG_CODE", "COMET_AUTO_LOG_ENV_DETAILS", "COMET_AUTO_LOG_ENV_HOST", "COMET_AUTO_LOG_GIT_METADATA",
        "COMET_AUTO_LOG_GIT_PATCH", "COMET_AUTO_LOG_CLI_ARGUMENTS", "COMET_AUTO_LOG_ENV_NETWORK",
    ),
    "1",
)  # fmt: skip
"""Settings of a user's other projects that ask for all that ours must not gather."""


def read_archive(path: Path) -> dict[str, Any]:
    """Return what an archive holds, by Comet's own message types."""
    found: dict[str, Any] = {"params": {}, "metrics": [], "files": {}, "types": set(), "raw": b""}
    with zipfile.ZipFile(path) as opened:
        contents = {name: opened.read(name) for name in opened.namelist()}
    found["raw"] = b"\n".join(contents.values())
    for line in contents["messages.json"].decode().splitlines():
        message = json.loads(line)
        payload = message["payload"]
        found["types"].add(message["type"])
        if message["type"] == "parameter_msg":
            found["params"][payload["param"]["paramName"]] = payload["param"]["paramValue"]
        elif message["type"] == "metric_msg":
            metric = payload["metric"]
            found["metrics"].append((metric["metricName"], metric["metricValue"], metric["step"]))
        elif "file_path" in payload:
            found["files"][payload["additional_params"]["fileName"]] = contents[payload["file_path"]].decode()
    return found


def evaluate(out: Path, *more: str, environment: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xlingual", "eval", "-m", "echo", "-t", "xquad/en,xquad/zh", "--data", "sample"]
    return subprocess.run(
        [*command, "-o", str(out), "--track", "comet-ml", *more],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.slow
def test_an_archive_of_a_run_holds_its_results_and_no_secret(tmp_path: Path) -> None:
    finished = evaluate(tmp_path / "out", "--track-samples", environment={**CANARIES, **GREEDY})
    assert finished.returncode == 0, finished.stderr
    assert "COMET" not in finished.stdout + finished.stderr
    [path] = (tmp_path / "out" / "tracking").iterdir()
    held = read_archive(path)
    assert held["params"]["model"] == "echo"
    assert held["params"]["shots"] == 0
    assert held["params"]["version/sacrebleu"] == held["params"]["scored_with/sacrebleu"] == version("sacrebleu")
    assert held["params"]["xquad/zh/n"] == 24
    metrics = {name: value for name, value, _ in held["metrics"]}
    results = sorted((tmp_path / "out").rglob("results.json"))
    assert len(results) == 2
    for each in results:
        record = json.loads(each.read_text(encoding="utf-8"))
        task = record["protocol"]["task"]
        for score in record["estimates"]:
            assert metrics.get(f"{task}/{score['metric']}") == score["value"]
        assert json.loads(held["files"][f"{task}/results.json"])["estimates"] == record["estimates"]
        assert len(held["files"][f"{task}/samples.jsonl"].splitlines()) == 24
        assert f"echo,{task},containment,{record['estimates'][0]['value']}" in held["files"]["scores.csv"]
    assert held["types"] == {"log_other", "parameter_msg", "metric_msg", "file_upload"}
    assert b"--track-samples" not in held["raw"]
    everything = held["raw"] + (finished.stdout + finished.stderr).encode()
    for file in (tmp_path / "out").rglob("*"):
        everything += file.read_bytes() if file.is_file() else b""
    assert b"canary" not in everything
    host = os.uname().nodename.encode()
    assert len(host) < 6 or host not in held["raw"]


@pytest.mark.slow
def test_samples_and_home_stay_here_unless_asked(tmp_path: Path) -> None:
    finished = evaluate(tmp_path / "out", environment={"HOME": str(tmp_path)})
    assert finished.returncode == 0, finished.stderr
    held = read_archive(next((tmp_path / "out" / "tracking").iterdir()))
    assert sorted(held["files"]) == [
        "scores.csv", "xquad/en/results.json", "xquad/en/run.json", "xquad/zh/results.json", "xquad/zh/run.json",
    ]  # fmt: skip
    assert str(tmp_path).encode() not in held["raw"]


def test_a_curve_a_table_and_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", CANARIES["HF_TOKEN"])
    warnings: list[str] = []
    config = tmp_path / "recipe.toml"
    config.write_text(f"token = {CANARIES['HF_TOKEN']}\nrate = 2e-5\n", encoding="utf-8")
    tracker = open_tracker("comet-ml", tmp_path / "t", "tune x|y", warnings.append)
    tracker.params(
        {"rate": 2e-5, "api_key": "short", "url": "https://me:pw@host/v1", "unset": None, "odd": float("nan")}
    )
    for step, loss in enumerate((3.5, float("nan"), 2.25, float("inf"), 1.0)):
        tracker.metrics({"loss": loss, "tokens": 100 * step}, step)
    tracker.table("mix", ("part", "share"), [("en", 0.75), ("zh", 0.25)])
    tracker.file(config, "recipe.toml")
    tracker.close()
    tracker.close()
    [path] = (tmp_path / "t").iterdir()
    held = read_archive(path)
    assert [each for each in held["metrics"] if each[0] == "loss"] == [
        ("loss", 3.5, 0),
        ("loss", 2.25, 2),
        ("loss", 1.0, 4),
    ]
    assert len([each for each in held["metrics"] if each[0] == "tokens"]) == 5
    assert held["params"]["rate"] == 2e-5
    assert held["params"]["api_key"] == "***"
    assert held["params"]["url"] == "https://***@host/v1"
    assert not {"unset", "odd"} & set(held["params"])
    assert held["files"] == {"mix.csv": "part,share\nen,0.75\nzh,0.25\n", "recipe.toml": "token = ***\nrate = 2e-5\n"}
    assert warnings == ["tracking: loss is nan and was left out"]
    assert b"NaN" not in held["raw"]


def test_a_kill_loses_nothing_that_was_tracked(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from xlingual.tracking import open_tracker\n"
        "tracker = open_tracker('comet-ml', Path(sys.argv[1]) / 'tracking', 'killed', print)\n"
        "for step in range(50): tracker.metrics({'loss': 50.0 - step}, step)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    finished = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=60)
    assert finished.returncode == -signal.SIGKILL
    warnings: list[str] = []
    [path] = find_archives(tmp_path, warnings.append)
    assert len(warnings) == 1
    held = read_archive(path)
    assert [each for each in held["metrics"] if each[0] == "loss"] == [
        ("loss", 50.0 - step, step) for step in range(50)
    ]
    assert find_archives(tmp_path, warnings.append) == [path]
    assert len(warnings) == 1


def test_archives_that_were_moved_aside_are_not_uploaded(tmp_path: Path) -> None:
    for name in ("before-20250131T120000", "new"):
        tracker = open_tracker("comet-ml", tmp_path / name / "tracking", name, print)
        tracker.metrics({"loss": 1.0})
        tracker.close()
    assert [path.parent.parent.name for path in find_archives(tmp_path, print)] == ["new"]


def test_a_failure_is_a_warning_and_the_run_keeps_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "tracking").write_text("in the way", encoding="utf-8")
    command = ["eval", "-m", "oracle", "-t", "xquad/en", "--data", "sample", "--limit", "2", "-o", str(out)]
    assert run_command([*command, "--track", "comet-ml"]) == 0
    error = capsys.readouterr().err
    assert error.count("warning: tracking: ") == 1
    assert "the run is not affected" in error
    assert len(list(out.rglob("results-limit-1-2.json"))) == 1


def test_a_full_disk_is_a_warning_too(tmp_path: Path) -> None:
    limited = (
        "import resource, signal, sys; from pathlib import Path; from xlingual.tracking import open_tracker\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "tracker = open_tracker('comet-ml', Path(sys.argv[1]), 'full', print)\n"
        "tracker.metrics({'loss': 1.0}, 1)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "tracker.metrics({f'loss{each}': 1.0 for each in range(99)}, 2); tracker.metrics({'loss': 1.0}, 3)\n"
        "tracker.close()"
    )
    finished = subprocess.run(
        [sys.executable, "-c", limited, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("tracking: ") == 1
    assert not list(tmp_path.glob("*.zip"))


def test_words_packages_and_keys_are_checked_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMET_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match="no such tracker"):
        open_tracker("comet", tmp_path, "x", print)
    with pytest.raises(AuthError):
        open_tracker("comet-ml:online", tmp_path, "x", print)
    command = ["eval", "-m", "oracle", "-t", "xquad/en", "--data", "sample", "-o", str(tmp_path / "out")]
    assert run_command([*command, "--track", "commet-ml"]) == 2
    assert run_command([*command, "--track", "comet-ml:online"]) == 4
    assert not list((tmp_path / "out").rglob("journal.jsonl"))


def _fail(fault: BaseException) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise fault

    return fail


@pytest.mark.parametrize(
    ("place", "fault", "code"),
    [
        (None, None, 0),
        (None, UsageError("of a limit"), 2),
        ("cli.evaluation.evaluate", EnvironmentFault("no room"), 5),
        ("cli.evaluation.evaluate", Interrupted(15), 143),
        ("cli.evaluation.evaluate", KeyboardInterrupt(), 130),
        ("cli.evaluation.evaluate", RuntimeError("a bug"), 70),
        ("tracking.mirror_runs", RuntimeError("a bug"), 70),
    ],
)
def test_the_tracker_of_an_evaluation_is_closed_in_every_ending(
    place: str | None, fault: BaseException | None, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def remember(*words: Any) -> Spool:  # noqa: ANN401 - those of open_tracker
        spool = open_tracker(*words)
        assert isinstance(spool, Spool)
        opened.append(spool)
        return spool

    monkeypatch.setattr("xlingual.tracking.open_tracker", remember)
    if place is not None and fault is not None:
        monkeypatch.setattr(f"xlingual.{place}", _fail(fault))
    limit = "25-30" if isinstance(fault, UsageError) else "2"  # there are 24
    command = ["eval", "-m", "echo", "-m", "oracle", "-t", "xquad/en", "--data", "sample", "--limit", limit]
    assert run_command([*command, "-o", str(tmp_path), "--track", "comet-ml"]) == code
    assert [spool.closed for spool in opened] == [True] * (1 if fault else 2)


def test_online_without_a_server_becomes_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMET_API_KEY", CANARIES["COMET_API_KEY"])
    monkeypatch.setenv("COMET_URL_OVERRIDE", "http://127.0.0.1:9/clientlib/")
    warnings: list[str] = []
    tracker = open_tracker("comet-ml:online", tmp_path, "x", warnings.append)
    tracker.metrics({"loss": 1.0}, 1)
    tracker.close()
    assert len(warnings) == 1
    assert "an offline archive is made instead" in warnings[0]
    assert ("loss", 1.0, 1) in read_archive(next(tmp_path.glob("*.zip")))["metrics"]


@pytest.mark.parametrize(
    ("content", "key", "fault", "words"),
    [
        (None, "canary-key-1", UsageError, "there is no archive"),
        (b"PK\x05\x06" + b"\0" * 18, "canary-key-1", DataError, "the process that made it was killed"),
        (b"not a zip", "canary-key-1", DataError, "not a zip file"),
        ("whole", "", AuthError, "needs a key"),
        ("whole", "canary-key-1", EnvironmentFault, "cannot be reached"),
    ],
)
def test_uploads_fail_in_words(
    content: bytes | str | None, key: str, fault: type[XlingualError], words: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COMET_API_KEY", key)
    monkeypatch.setenv("COMET_URL_OVERRIDE", "http://127.0.0.1:9/clientlib/")
    folder = tmp_path / "runs" / "tracking"
    folder.mkdir(parents=True)
    if content == "whole":
        tracker = open_tracker("comet-ml", folder, "x", print)
        tracker.metrics({"loss": 1.0})
        tracker.close()
    elif isinstance(content, bytes):
        (folder / "x.zip").write_bytes(content)
    with pytest.raises(fault, match=words):
        upload(tmp_path / "runs", print)
    assert len(list(folder.iterdir())) == (content is not None)


@pytest.mark.parametrize(
    ("text", "setting", "document"),
    [
        ("api_key=abc123", "api_key=***", "api_key=abc123"),
        ('{"password": "hush", "n": 1}', '{"password": "***", "n": 1}', '{"password": "hush", "n": 1}'),
        ("prompt_tokens: 12", "prompt_tokens: 12", "prompt_tokens: 12"),
        ("Basic education for all", "Basic *** for all", "Basic education for all"),
        ("hf_abcdefgh12 and sk-abcdefgh12", "*** and ***", "*** and ***"),
        ("https://a:b@host/x?y=1", "https://***@host/x?***", "https://***@host/x?y=1"),
        ("the value canary-hub-0123456789!", "the value ***!", "the value ***!"),
    ],
)
def test_redaction(text: str, setting: str, document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", CANARIES["HF_TOKEN"])
    secrets = [each for each in environment_secrets() if "canary" in each]
    assert redact_settings(text, secrets) == setting
    assert redact_document(text, secrets) == document


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("HF_TOKEN", True), ("OPENAI_API_KEY", True), ("openai.apikey", True), ("AWS_SECRET_ACCESS_KEY", True),
        ("db_password", True), ("tokens", False), ("max_new_tokens", False), ("KEYBOARD", False),
        ("monkey_count", False),
    ],
)  # fmt: skip
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert is_secret(name) is secret
