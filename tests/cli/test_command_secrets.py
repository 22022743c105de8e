"""The command that a hint repeats holds no key, password or header value: screens are shared and logs are kept."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xlingual.cli import run_command
from xlingual.cli.make import main as make_main
from xlingual.plugin_code import describe_error
from xlingual.records import Failure, Response
from xlingual.redaction import redact_command
from xlingual.run_summary import without_secrets

from ..models.fault_server import Reply, answer, document, serve

CANARY = "canary0123456789"


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        (f"openai:m@http://user:{CANARY}@host:8000/v1", "openai:m@http://***@host:8000/v1"),
        (f"openai:m@https://host/v1?api-key={CANARY}&api-version=1", "openai:m@https://host/v1?***"),
        (f'--extra-body={{"api_key": "{CANARY}"}}', '--extra-body={"api_key": "***"}'),
        (f"lm-eval:local-completions,model=m,api_key={CANARY}", "lm-eval:local-completions,model=m,api_key=***"),
        (f"--header=X-Gateway: {CANARY}", "--header=X-Gateway: ***"),
        ("openai:m@http://host/v1", "openai:m@http://host/v1"),
        ("--server-arg=--max-num-batched-tokens=8", "--server-arg=--max-num-batched-tokens=8"),
        ("a word with 'quotes'", "a word with 'quotes'"),
    ],
)
def test_a_word_of_a_command_is_shown_without_secrets(word: str, shown: str) -> None:
    """R6."""
    assert shlex.split(redact_command(["xlingual", "eval", word])) == ["xlingual", "eval", shown]


@pytest.mark.parametrize(("value", "shown"), [(f"X-Gateway: {CANARY}", "X-Gateway: ***"), (CANARY, "***")])
def test_the_value_of_a_header_is_never_shown(value: str, shown: str) -> None:
    assert shlex.split(redact_command(["--header", value, "--limit", "3"])) == ["--header", shown, "--limit", "3"]


def test_a_secret_of_the_environment_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLINGUAL_KEY_HOST", CANARY)
    assert CANARY not in redact_command(["--system", f"say {CANARY}"])


def test_a_run_that_is_stopped_writes_no_key_anywhere(tmp_path: Path) -> None:
    """R6, P13: every byte that the command writes."""
    pytest.importorskip("openai", reason="needs the extra `openai`")
    tells = {"/v1/models": document({"data": [{"id": "m", "root": "r", "owned_by": "vllm"}]})}
    with serve(lambda _: Reply(body=answer("x").body, delay=0.2), tells=tells) as server:
        url = server.url.replace("://", f"://user:{CANARY}1@") + f"?api-key={CANARY}2"
        words = ["eval", "-m", f"openai:m@{url}", "-t", "xquad/en", "--data", "sample", "--out", str(tmp_path)]
        words += [
            "--header",
            f"X-Gateway: {CANARY}3",
            "--extra-body",
            f'{{"api_key": "{CANARY}4"}}',
            "--key-env",
            "MINE",
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "xlingual", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "MINE": f"{CANARY}5"},
        )  # fmt: skip
        for _ in range(600):
            if len(server.asked) > 2 or process.poll() is not None:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        [asked, *_] = server.asked
    assert process.returncode == 143
    assert "the same command again resumes" in err
    assert (asked.headers["x-gateway"], asked.body["api_key"]) == (f"{CANARY}3", f"{CANARY}4")
    written = [out, err, *(str(path) for path in tmp_path.rglob("*"))]
    written += [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in written if CANARY in text]


URL = f"http://user:{CANARY}1@127.0.0.1:9/v1?api-key={CANARY}2&sig={CANARY}3"
ASK = ("-t", "xquad/en", "--data", "sample", "--limit", "2")


@pytest.mark.parametrize(
    "words",
    [
        ("eval", "-m", f"opnai:m@{URL}", *ASK),
        ("eval", "-m", f"openai:m@{URL}", *ASK, "--timeout", "1"),
        ("eval", "-m", f"openai:m@{URL}", *ASK, "--limit", URL),
        ("eval", "-m", f"openai:m@{URL}", *ASK, "--header", f"bad{CANARY}"),
        ("eval", "-m", f"openai:m@{URL}", *ASK, "--extra-body", f'["{CANARY}"]'),
        ("eval", "-m", f"ray:2:opnai:m@{URL}", *ASK),
        ("eval", "-m", f"hf:{URL}", *ASK, "--offline"),
        ("eval", "-m", URL, *ASK, "--offline"),
        ("eval", "-m", "echo", "-t", "xquad/en", "--data", URL),
        pytest.param(  # lm-eval tries for long to reach the server
            ("eval", "-m", f"lm-eval:local-completions,modl=m,base_url={URL},api_key={CANARY}", *ASK),
            marks=pytest.mark.slow,
        ),
        ("--debug", "eval", "-m", f"opnai:m@{URL}", *ASK),
        ("eval", "-m", f"opnai:m@{URL}", *ASK, "--json"),
        ("doctor", "-m", f"openai:m@{URL}"),
        ("judge", URL, "--judge", f"opnai:m@{URL}"),
        ("tune", "run", URL),
        ("board", URL),
        ("view", URL),
        ("verify", URL),
        ("score", URL, "--task", "xquad/en", "--data", "sample"),
        ("compare", URL, URL),
        ("track", "upload", URL),
        ("report", URL),
        ("xllama", URL),
        ("scale", "fit", URL),
        ("metrics", URL),
        ("tasks", URL),
        ("models", URL),
    ],
    ids=lambda words: " ".join(words).replace(CANARY, "")[:60],
)
def test_no_message_and_no_file_of_a_command_holds_a_secret(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """R6: errors, hints, JSON, tracebacks, run.json, results, notes."""
    monkeypatch.chdir(tmp_path)
    assert run_command(words) not in (0, 70)
    written = [*capfd.readouterr(), *(str(path) for path in tmp_path.rglob("*"))]
    written += [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in written if CANARY in text]


def test_make_prints_its_command_without_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """R6."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["make"])
    monkeypatch.setenv("XLINGUAL_MAKE_MODEL", f"opnai:m@{URL}")
    monkeypatch.setenv("XLINGUAL_MAKE_DATA", "sample")
    assert make_main("eval") == 2
    monkeypatch.setenv("XLINGUAL_MAKE_ARGS", f'"{URL}')
    assert make_main("eval") == 2
    out, err = capsys.readouterr()
    assert CANARY not in out + err
    assert "xlingual eval --model 'opnai:m@http://***@127.0.0.1:9/v1?***'" in err


def test_a_failure_of_a_model_is_stored_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a backend of someone else raises may hold the address that it asked."""
    monkeypatch.setenv("MY_TOKEN", f"{CANARY}4")
    failure = Failure(kind="x", message=f"GET {URL} with {CANARY}4 failed")
    found = without_secrets(Response(key="k", text=None, failure=failure, finish=None, prompt_tokens=None, tokens=None))
    assert found.failure is not None
    assert found.failure.message == "GET http://***@127.0.0.1:9/v1?*** with *** failed"


SAID = f"no way to http://user:{CANARY}1@host/x?k={CANARY}2 with ghp_{CANARY}3 and Authorization: Bearer {CANARY}4"
TALKER = '''
"""A model that tells its address in every way that Python has."""
import logging, threading, warnings
from dataclasses import replace
from xlingual.identity import content_hash
from xlingual.plugins.models._examples import ExampleModel, describe
from xlingual.registry import register_model

SAID = {said!r}

def reply(example):
    warnings.warn(SAID)
    logging.getLogger("xlingual").warning(SAID)
    logging.getLogger("of.a.library").error("said: %s", SAID)
    thread = threading.Thread(target=lambda: [][SAID])
    thread.start()
    thread.join()
    return "x"

@register_model("talker")
def open_talker(name, options):
    """Open it."""
    spec = describe(word=SAID, backend="talker", name=SAID, fingerprint=content_hash(["talker", 1]))
    return ExampleModel(spec=replace(spec, details={{"server": SAID}}), reply=reply)
'''


@pytest.mark.parametrize("words", [("tasks",), ("metrics",), ("models",), ("models", "--json"), ("tasks", "--check")])
def test_a_list_of_what_is_broken_holds_no_secret(words: tuple[str, ...], tmp_path: Path) -> None:
    for folder in ("tasks", "metrics", "models"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "broken_one.py").write_text(f"raise RuntimeError({SAID!r})\n", encoding="utf-8")
    file = [str(tmp_path / "tasks" / "broken_one.py")] if "--check" in words else []
    found = subprocess.run(
        [sys.executable, "-m", "xlingual", *words, *file], capture_output=True, text=True, check=False,
        env={**os.environ, "XLINGUAL_PLUGINS": str(tmp_path)},
    )  # fmt: skip
    assert found.returncode in (1, 3)
    assert "RuntimeError: no way to http://***@host/x" in found.stdout + found.stderr
    assert CANARY not in found.stdout + found.stderr


def test_what_a_plugin_logs_warns_of_and_calls_itself_holds_no_secret(tmp_path: Path) -> None:
    (tmp_path / "plugins" / "models").mkdir(parents=True)
    (tmp_path / "plugins" / "models" / "talker.py").write_text(TALKER.format(said=SAID), encoding="utf-8")
    words = ["-m", "talker", "-t", "xquad/zh", "--data", "sample", "--limit", "2", "-o", "out", "--progress", "plain"]
    for command in (["eval", *words], ["board", "out", "--include-limited"], ["view", "out"]):
        found = subprocess.run(
            [sys.executable, "-m", "xlingual", *command], capture_output=True, text=True, check=False, cwd=tmp_path,
            env={**os.environ, "XLINGUAL_PLUGINS": str(tmp_path / "plugins")},
        )  # fmt: skip
        assert found.returncode == 0, found.stderr
        assert CANARY not in found.stdout + found.stderr
        if command[0] == "eval":
            assert found.stderr.count("no way to http://***@host/x") >= 4
    files = [path for path in tmp_path.rglob("*") if "plugins" not in path.parts]
    written = [*map(str, files), *(path.read_text(errors="replace") for path in files if path.is_file())]
    assert len(files) > 5
    assert not [text for text in written if CANARY in text]


def test_half_a_password_is_not_shown_where_a_message_is_cut() -> None:
    for length in range(100, 300, 7):
        error = ValueError(f"{'x' * length} http://user:{CANARY}@host/")
        assert CANARY[:6] not in describe_error(error)
