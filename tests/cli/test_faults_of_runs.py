"""Faults of the machine and of files, done to `xlingual eval` itself: what is lost, what is asked again, what is said.

The parts have tests of their own (`tests/test_journal.py`, `tests/test_lease.py`); here a user's command meets them.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xlingual.plugin import DataSource
from xlingual.selection import select_tasks

SAMPLE = DataSource(folder=None, sample=True, offline=True)
ELSEWHERE = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"')
APART = ("unshare", "--pid", "--fork", "--kill-child")


def write_script(folder: Path, *, seconds: float = 0.0, length: int = 10, name: str = "script.jsonl") -> Path:
    """Write a model that gives each example its id, `length` characters at least, after a pause."""
    path = folder / name
    rows = select_tasks(["xquad/en"], [])[0].examples("test", SAMPLE).rows
    lines = [{"id": row.id, "prediction": row.id.ljust(length, "."), "seconds": seconds} for row in rows]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def start(
    folder: Path, *more: str, before: tuple[str, ...] = (), script: str = "script.jsonl"
) -> "subprocess.Popen[str]":
    """Start an evaluation of the model in `folder`; what it is asked is written down."""
    words = ["eval", "-m", f"scripted:{folder / script}", "-t", "xquad/en", "--data", "sample", "-o", "out", *more]
    return subprocess.Popen(
        [*before, sys.executable, "-m", "xlingual", *words],
        cwd=folder, env={**os.environ, "XLINGUAL_SCRIPTED_LOG": str(folder / "asked.log")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def asked(folder: Path) -> Counter[str]:
    log = folder / "asked.log"
    return Counter(log.read_text(encoding="utf-8").split()) if log.exists() else Counter()


def wait_for(folder: Path, count: int, process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 60
    while asked(folder).total() < count and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)


def value_of(folder: Path) -> tuple[int, object]:
    """Return how many examples the only result of a folder has, and its answers by id."""
    [path] = (path for path in (folder / "out").rglob("results.json") if "before-" not in str(path))
    samples = path.with_name("samples.jsonl").read_text(encoding="utf-8").splitlines()
    answers = {line["id"]: line["answer"] for line in map(json.loads, samples)}
    return json.loads(path.read_text(encoding="utf-8"))["counts"]["answered"], answers


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "two bytes": lambda line: line[:40] + b"\xff\xff" + line[42:],
    "blank": lambda line: b"",
    "NUL bytes": lambda line: b"\x00" * len(line),
    "a byte order mark": lambda line: b"\xef\xbb\xbf" + line,
    "another answer": lambda line: line.replace(b"sample-xq", b"sample-xz"),
    "deep": lambda line: b'["' * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_lines_are_named_set_aside_and_asked_again(tmp_path: Path, damage: str) -> None:
    """R2."""
    write_script(tmp_path)
    assert finish(start(tmp_path))[0] == 0
    before, first = value_of(tmp_path), asked(tmp_path)
    [journal] = (tmp_path / "out").rglob("journal.jsonl")
    lines = journal.read_bytes().split(b"\n")
    for place in (0, 9):
        lines[place] = DAMAGES[damage](lines[place])
    journal.write_bytes(b"\n".join(lines))
    code, errors = finish(start(tmp_path))
    assert code == 0, errors
    assert "set 2 damaged lines of the journal aside in journal-damaged.jsonl, to be asked again" in errors
    assert "line 1: " in errors
    assert sorted((asked(tmp_path) - first).values()) == [1, 1]
    assert value_of(tmp_path) == before
    assert journal.with_name("journal-damaged.jsonl").read_bytes().count(b"\n") == 2
    code, errors = finish(start(tmp_path))
    assert (code, "damaged" in errors) == (0, False)
    assert asked(tmp_path).total() == 24 + 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own for the output of runs; a run wants 16 MB at its start."""
    out = tmp_path / "out"
    out.mkdir()
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can mount")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(out)], check=False).returncode:
        pytest.skip("mount is not allowed here")
    yield out
    subprocess.run(["umount", "-l", str(out)], check=True)


def fill(folder: Path) -> Path:
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return path


def test_a_disk_that_is_full_for_a_moment_costs_no_answer(tmp_path: Path, small_disk: Path) -> None:
    """R1: the journal's last block takes a part of a line, the disk takes no more; then there is room again."""
    write_script(tmp_path, seconds=0.1, length=900)
    process = start(tmp_path)
    wait_for(tmp_path, 6, process)
    ballast = fill(small_disk)
    code, errors = finish(process)
    assert code == 5, errors
    assert "No space left on device" in errors
    assert "hint: " in errors
    ballast.unlink()
    stored = len(
        [line for path in small_disk.rglob("journal.jsonl") for line in path.read_bytes().splitlines() if line]
    )
    before = asked(tmp_path)
    assert before.total() - stored <= 1, "the answer that did not fit, and none before it"
    code, errors = finish(start(tmp_path))
    assert code == 0, errors
    assert asked(tmp_path).total() - before.total() == 24 - stored
    answered, answers = value_of(tmp_path)
    assert answered == 24
    assert answers == {name: name.ljust(900, ".") for name in asked(tmp_path)}


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_a_run_that_was_killed_goes_on_under_another_hostname(tmp_path: Path) -> None:
    """R7: at once, since its process can be seen to be gone; nothing is asked twice but what was on its way."""
    write_script(tmp_path, seconds=0.1)
    for host in ("pod-a", "pod-b"):
        process = start(tmp_path, before=(*ELSEWHERE, host))
        before = asked(tmp_path).total()
        wait_for(tmp_path, before + 5, process)
        if process.poll() is not None and "unshare" in finish(process)[1]:
            pytest.skip("unshare is not allowed here")
        process.send_signal(signal.SIGKILL)
        assert finish(process)[0] == -signal.SIGKILL
    began = time.monotonic()
    code, errors = finish(start(tmp_path))
    assert code == 0, errors
    assert "took over the lock of pid" in errors
    assert "on pod-b, which is gone" in errors
    assert time.monotonic() - began < 50
    assert 24 <= asked(tmp_path).total() <= 24 + 2
    assert value_of(tmp_path)[0] == 24


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_two_containers_with_one_hostname_never_write_together(tmp_path: Path) -> None:
    """R7: each is pid 1 of its own namespace; the second waits for a beat of the first, sees one, and is refused."""
    write_script(tmp_path, seconds=1.0)
    first = start(tmp_path, before=APART)
    wait_for(tmp_path, 1, first)
    if first.poll() is not None and "unshare" in finish(first)[1]:
        pytest.skip("unshare is not allowed here")
    second = start(tmp_path, before=APART)
    code, errors = finish(second)
    assert code == 5, errors
    assert "in use by pid" in errors
    code, errors = finish(first)
    assert code == 0, errors
    assert set(asked(tmp_path).values()) == {1}
    assert asked(tmp_path).total() == 24


def test_fresh_twice_within_a_second_keeps_both_earlier_runs(tmp_path: Path) -> None:
    """R9: two commands may begin within a second; here the clock stands still."""
    write_script(tmp_path)
    program = (
        "import sys\n"
        "import time\n"
        "from xlingual.cli import run_command\n"
        "now = time.gmtime()\n"
        "time.gmtime = lambda *seconds: now\n"
        "for number in range(3):\n"
        "    assert run_command(sys.argv[1:]) == 0\n"
    )
    words = ["eval", "-m", f"scripted:{tmp_path / 'script.jsonl'}", "-t", "xquad/en", "--data", "sample", "--fresh"]
    finished = subprocess.run(
        [sys.executable, "-c", program, *words, "-o", str(tmp_path / "out")],
        env={**os.environ, "XLINGUAL_SCRIPTED_LOG": str(tmp_path / "asked.log")},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    aside = [path for path in (tmp_path / "out").rglob("before-*") if path.is_dir()]
    assert len(aside) == len({path.name for path in aside}) == 2
    for path in aside:
        assert path.joinpath("journal.jsonl").read_bytes().count(b"\n") == 24
        assert path.joinpath("results.json").is_file()
    assert set(asked(tmp_path).values()) == {3}


@pytest.mark.parametrize(
    "name",
    [
        "line\nbreak| 1 | fake | 100 |",
        "a\u202e001\u202c b",
        "tab\tand\rreturn",
        "\x1b]0;title\x07",
        "a|b",
        "a\\|b",
        "\u2028",
    ],
)
def test_no_name_of_a_model_breaks_the_table_of_eval(name: str, tmp_path: Path) -> None:
    """R15: in a pipe, where the table is Markdown."""
    write_script(tmp_path, name=f"{name}.jsonl")
    process = start(tmp_path, script=f"{name}.jsonl")
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert not set(out + errors) & set("\u202e\u2066\x07\x1b\u2028\x85\r")
    rows = [line for line in out.splitlines() if line.startswith("|")]
    [row] = [line for line in rows if "xquad/en" in line]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in (*rows[:2], row)}) == 1, "as many cells as columns"
    assert not re.search(r"\\\\\|", row), "an escaped backslash would leave the pipe bare"
    assert not [line for line in rows if "fake | 100" in line and line != row]
