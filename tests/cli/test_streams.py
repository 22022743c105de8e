"""What becomes of standard output and error ends no run: pipes that close, full disks, descriptors that are closed."""

import errno
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

from xlingual.cli.signals import noted_signals, orderly_signals
from xlingual.cli.streams import Streams, _Steadfast, exit_code_of
from xlingual.errors import Interrupted

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


DRY = "eval -m echo -t xquad/en --data sample --limit 2 --dry-run"


@pytest.mark.skipif(not FULL.exists(), reason="/dev/full is not here")
@pytest.mark.parametrize(
    "words", ["eval --help", "tune recipes", "tune plan --help", "scale fit -h", "tune", DRY, "--version"]
)
def test_a_command_that_only_prints_has_failed_where_that_is_lost(tmp_path: Path, words: str) -> None:
    finished = shell(f"{command(words)} > /dev/full", tmp_path)
    assert finished.returncode in ((2, 5) if words == "tune" else (5,))
    assert finished.stderr != ""


@pytest.mark.parametrize(
    ("words", "writes"),
    [
        ("eval -m x", True),
        ("--debug eval -m x", True),
        ("tune run x", True),
        ("--debug tune run x", True),
        ("tune plan x", False),
        ("scale sweep x", True),
        ("scale allocate x", False),
        ("eval --dry-run", False),
        ("compare eval tune", False),
        ("", False),
    ],
)
def test_commands_whose_results_are_in_a_folder(words: str, writes: bool) -> None:
    lost = Streams(_Steadfast(1), _Steadfast(2))
    lost.output.fault = OSError(errno.ENOSPC, "No space left on device")
    assert exit_code_of(0, words.split(), lost) == (0 if writes else 5)


def test_an_output_that_does_not_block_is_waited_for(tmp_path: Path) -> None:
    """Another program that shares it has set it so; the reader comes late, and nothing is lost or burnt."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    words = [sys.executable, "-c", "from xlingual.__main__ import main; main()", "tasks", "--help"]
    filled = os.write(writer, b"x" * 1_000_000)
    with subprocess.Popen(words, stdout=writer, cwd=tmp_path) as run:
        os.close(writer)
        process = psutil.Process(run.pid)
        until = time.monotonic() + 60
        while process.status() != psutil.STATUS_SLEEPING and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(2)
        before = sum(process.cpu_times()[:2])
        time.sleep(1)
        assert sum(process.cpu_times()[:2]) - before < 0.5
        with os.fdopen(reader, "rb") as file:
            content = file.read()[filled:]
    assert run.returncode == 0
    assert b"Usage: xlingual tasks" in content


def test_a_file_that_is_opened_while_commands_are_imported_is_not_printed_into(tmp_path: Path) -> None:
    program = (
        "import sys, importlib.abc\n"
        "class Opening(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'xlingual.cli' and not hasattr(self, 'file'):\n"
        "            self.file = open('of-a-library', 'w')\n"
        "sys.meta_path.insert(0, Opening())\n"
        "sys.argv = ['xlingual', 'metrics']\n"
        "from xlingual.__main__ import main; main()\n"
    )
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    assert shell(f"{sys.executable} program.py >&- 2>&- <&-", tmp_path).returncode == 0
    assert (tmp_path / "of-a-library").read_bytes() == b""


def test_a_terminal_that_goes_away_ends_no_run(tmp_path: Path) -> None:
    """Under nohup: the run goes on, though what it prints to is gone."""
    leader, follower = pty.openpty()
    words = ["nohup", sys.executable, "-m", "xlingual", *RUN, str(tmp_path / "runs")]
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=follower, stderr=follower, cwd=tmp_path, start_new_session=True
    ) as run:
        os.close(follower)
        time.sleep(0.2)
        os.close(leader)
        run.wait(timeout=120)
    if (tmp_path / "nohup.out").exists():  # it takes the place of a terminal
        assert (tmp_path / "nohup.out").read_text(encoding="utf-8") != ""
    assert run.returncode == 0
    assert len(list(tmp_path.glob("runs/*/*/results.json"))) == 2


@pytest.mark.parametrize("delay", [0.3, 1.0])
def test_a_terminal_that_hangs_up_ends_a_run_in_order(tmp_path: Path, delay: float) -> None:
    """The run is of the session of the terminal, which sends SIGHUP; nothing is left locked, and nothing crashes."""
    pid, leader = pty.fork()
    if not pid:
        os.execv(sys.executable, [sys.executable, "-m", "xlingual", *RUN, str(tmp_path / "runs")])
    time.sleep(delay)
    os.close(leader)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 128 + signal.SIGHUP, -signal.SIGHUP)
    assert not list(tmp_path.glob("runs/*/*/lock"))


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
    program = "import sys; from xlingual.__main__ import main; sys.stdout.write('x'); sys.stdout.flush(); main()"
    words = [sys.executable, "-c", program, *RUN, str(tmp_path / "runs")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        run.stdout.read(1)
        time.sleep(delay + 0.05)
        run.send_signal(signal.SIGINT)
        _, error = run.communicate(timeout=60)
    # Between its last line and its end the interpreter has no handler: the signal ends it, which shells call 130, too.
    assert run.returncode in (0, 130, -signal.SIGINT), error
    assert "Traceback" not in error


def test_nothing_slow_is_imported_before_ctrl_c_is_looked_after() -> None:
    """On a busy machine to import `typing` or `signal` takes long enough for a Ctrl-C, which would be a traceback."""
    program = "import sys; before = set(sys.modules); import xlingual.__main__; print(*set(sys.modules) - before)"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(finished.stdout.split()) <= {"xlingual", "xlingual.__main__", "xlingual.descriptors", "errno"}


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM])
def test_signals_end_a_run_in_order(tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "slow.py"
    script.write_text(
        "import os, signal, sys\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # the tests may themselves run under nohup
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


def _takes_every_exception() -> None:
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except Exception as error:
        raise ValueError("cannot load the model") from error


def _takes_everything() -> None:
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException as error:
        raise ValueError("cannot load the model") from error


@pytest.mark.parametrize("library", [_takes_every_exception, _takes_everything])
def test_a_signal_within_a_library_that_makes_an_error_of_it_is_still_a_signal(library: Callable[[], None]) -> None:
    with pytest.raises(Interrupted) as raised, orderly_signals("again"):
        library()
    assert (raised.value.signal_number, raised.value.hint) == (signal.SIGINT, "again")


@pytest.mark.parametrize("handling", [lambda: orderly_signals("x"), noted_signals])
def test_a_handler_that_is_not_of_python_is_no_obstacle(
    handling: Callable[[], AbstractContextManager[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that Python is embedded in may have set it: it cannot be put back, and the default comes."""
    put = signal.signal
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(signal, "signal", lambda *words: None if put(*words) == signal.SIG_DFL else put(*words))
    try:
        with handling():
            pass
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    finally:
        for number, handler in before.items():
            put(number, handler)
