"""What becomes of standard output and error ends no run: pipes that close, full disks, descriptors that are closed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FULL = Path("/dev/full")
RUN = ("eval", "-m", "echo", "-t", "xquad/en,xquad/zh", "--data", "sample", "--out")
REDIRECTIONS = {
    "2>&1 | head -1": 0,
    "2>/dev/full >/dev/null": 0,
    ">/dev/full 2>/dev/null": 0,
    ">/dev/full 2>&1": 0,
    "2>&- >/dev/null": 0,
    ">&- 2>/dev/null": 0,
    ">&- 2>&-": 0,
    "<&- >&- 2>&-": 0,
    "| true": 0,
}


def shell(words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["bash", "-c", words], cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def command(*arguments: str) -> str:
    return " ".join([sys.executable, "-m", "xlingual", *arguments])


@pytest.mark.skipif(not FULL.exists(), reason="/dev/full is not here")
@pytest.mark.parametrize("redirection", REDIRECTIONS)
def test_a_run_ends_well_whoever_reads_it(tmp_path: Path, redirection: str) -> None:
    finished = shell(f"{command(*RUN, 'runs')} {redirection}; exit ${{PIPESTATUS[0]}}", tmp_path)
    assert finished.returncode == REDIRECTIONS[redirection], finished.stderr
    results = sorted(tmp_path.glob("runs/*/*/results.json"))
    assert len(results) == 2
    for path in results:
        assert json.loads(path.read_text(encoding="utf-8"))["counts"]["answered"] > 0


@pytest.mark.skipif(not FULL.exists(), reason="/dev/full is not here")
def test_what_was_asked_for_on_standard_output_and_is_lost_is_an_error(tmp_path: Path) -> None:
    finished = shell(f"{command('metrics')} > /dev/full", tmp_path)
    assert finished.returncode == 5
    assert "error: standard output: No space left on device" in finished.stderr
    assert shell(f"{command('metrics')} | head -1; exit ${{PIPESTATUS[0]}}", tmp_path).returncode == 0


@pytest.mark.parametrize(
    "words", [("eval", "-m", "echo", "-t", "xquad/en", "--out", ""), ("tune", "run", "x", "-o", " ")]
)
def test_a_blank_folder_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "xlingual", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    assert "the name of the folder is blank" in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_named_twice_is_one(tmp_path: Path) -> None:
    finished = shell(command("eval", "-m", "echo", "-m", "echo", "-t", "xquad/en", "--data", "sample"), tmp_path)
    assert finished.returncode == 0
    assert "wordings" not in finished.stdout
    assert finished.stdout.count("| echo |") == 1


@pytest.mark.parametrize("target", ["eval", "tune", "xllama"])
def test_a_quote_that_is_not_closed_is_named(tmp_path: Path, target: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "xlingual.cli.make", target],
        cwd=tmp_path,
        env={**os.environ, "XLINGUAL_MAKE_ARGS": '"x'},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2
    assert "error: ARGS: '\"x' cannot be read: No closing quotation" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.2, 0.4, 0.8])
def test_ctrl_c_in_the_first_second_leaves_no_traceback(tmp_path: Path, delay: float) -> None:
    program = "import sys; sys.stdout.write('x'); sys.stdout.flush(); from xlingual.__main__ import main; main()"
    words = [sys.executable, "-c", program, *RUN, str(tmp_path / "runs")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        run.stdout.read(1)
        time.sleep(delay + 0.05)
        run.send_signal(signal.SIGINT)
        _, error = run.communicate(timeout=60)
    assert run.returncode in (0, 130), error
    assert "Traceback" not in error


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM])
def test_signals_end_a_run_in_order(tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "slow.py"
    script.write_text(
        "import os, signal, sys\n"
        "from xlingual import run\n"
        "from xlingual.cli import run_command\n"
        "ask = run.ask_pending\n"
        "def stop(*arguments):\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    return ask(*arguments)\n"
        "run.ask_pending = stop\n"
        "sys.exit(run_command(sys.argv[1:]))\n",
        encoding="utf-8",
    )
    words = [sys.executable, str(script), *RUN, str(tmp_path / "runs")]
    finished = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert finished.returncode == 128 + number, finished.stderr
    assert "the same command" in finished.stderr or "hint:" in finished.stderr
    assert not list(tmp_path.glob("runs/*/*/lock"))
