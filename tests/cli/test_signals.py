"""Real processes and real signals: nothing finished is lost or asked twice, and the exit code says what happened."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xlingual.plugin import DataSource
from xlingual.selection import select_tasks

PAUSE = 0.03
TASKS = "xquad/en,xquad/zh"


def _start(folder: Path, *words: str, pause: float = PAUSE) -> subprocess.Popen[str]:
    script = folder / "script.jsonl"
    if not script.exists():
        rows = (
            select_tasks(["xquad/en"], [])[0].examples("test", DataSource(folder=None, sample=True, offline=True)).rows
        )
        lines = [json.dumps({"id": row.id, "prediction": row.id, "seconds": pause}) for row in rows]
        script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "xlingual", "eval", "-m", f"scripted:{script}", "-t", TASKS, "--data", "sample"]
    return subprocess.Popen(
        [*command, "-o", str(folder / "out"), *words],
        env={**os.environ, "XLINGUAL_SCRIPTED_LOG": str(folder / "asked.log")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _asked(folder: Path) -> list[str]:
    log = folder / "asked.log"
    return log.read_text(encoding="utf-8").split() if log.exists() else []


def _signal_after(folder: Path, count: int, number: signal.Signals, *words: str) -> tuple[int, str]:
    process = _start(folder, *words)
    before = len(_asked(folder))
    deadline = time.monotonic() + 30
    while len(_asked(folder)) < before + count and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    return process.returncode, err


def _finish(folder: Path) -> None:
    process = _start(folder)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


def _results(folder: Path) -> list[dict[str, object]]:
    found = []
    for path in sorted((folder / "out").rglob("results.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        del record["finished_at"], record["hashes"]
        found.append(record)
    return found


def _without_model(records: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{name: value for name, value in record.items() if name != "model"} for record in records]


@pytest.mark.slow
@pytest.mark.parametrize("kills", [[1], [7], [5, 9, 3]])
def test_kill_9_loses_nothing_and_asks_nothing_twice(kills: list[int], tmp_path: Path) -> None:
    for count in kills:
        code, _ = _signal_after(tmp_path, count, signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert _results(tmp_path) == []
    _finish(tmp_path)
    asked = _asked(tmp_path)
    in_flight = len(asked) - 48
    assert 0 <= in_flight <= len(kills)
    clean = tmp_path / "clean"
    clean.mkdir()
    _finish(clean)
    assert len(_asked(clean)) == 48
    assert _without_model(_results(tmp_path)) == _without_model(_results(clean))
    assert len(_results(clean)) == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_run_in_order(number: signal.Signals, code: int, tmp_path: Path) -> None:
    returned, err = _signal_after(tmp_path, 4, number)
    assert returned == code
    assert "hint: the same command again resumes: xlingual eval -m scripted:" in err
    assert not list((tmp_path / "out").rglob("lock"))
    _finish(tmp_path)
    assert 48 <= len(_asked(tmp_path)) <= 49


@pytest.mark.slow
def test_two_runs_of_the_same_thing_do_not_mix(tmp_path: Path) -> None:
    first = _start(tmp_path, pause=0.2)  # it must outlast the start of the second, on a busy machine too
    deadline = time.monotonic() + 30
    while not _asked(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.005)
    second = _start(tmp_path)
    _, err = second.communicate(timeout=30)
    assert second.returncode == 5
    assert f"in use by pid {first.pid}" in err
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert len(_asked(tmp_path)) == 48


def test_a_full_disk_stops_the_run_and_keeps_what_was_written(tmp_path: Path) -> None:
    process = _start(tmp_path)
    process.kill()
    process.communicate(timeout=30)
    limited = (
        "import resource, signal, sys; from xlingual.cli import run_command\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "sys.exit(run_command(sys.argv[1:]))"
    )
    command = ["eval", "-m", f"scripted:{tmp_path / 'script.jsonl'}", "-t", TASKS, "--data", "sample"]
    finished = subprocess.run(
        [sys.executable, "-c", limited, *command, "-o", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.returncode == 5
    assert "File too large" in finished.stderr
    _finish(tmp_path)
    assert len(_results(tmp_path)) == 2


def test_the_hint_of_a_fresh_run_keeps_fresh_for_models_that_had_not_begun(tmp_path: Path) -> None:
    """Their earlier answers are still there: without --fresh they would be taken for new ones."""
    code, err = _signal_after(tmp_path, 2, signal.SIGINT, "--fresh", "-m", "echo", "-m", "oracle")
    assert code == 130
    command, _, rest = err.partition("hint: ")[2].partition("; ")
    assert command.startswith("the same command again resumes: xlingual eval -m scripted:")
    assert "--fresh" not in command
    assert rest.startswith("before it, --fresh for echo, oracle, not begun")
