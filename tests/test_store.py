"""Run folders: what survives a kill, a torn write, a full disk and a second run."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from xlingual.errors import DataError, EnvironmentFault
from xlingual.files import write_atomically
from xlingual.records import Failure, Finish, Response
from xlingual.store import LOCK, lock_folder, move_aside, open_journal, prepare_folder, walk_runs

TEXTS = ["one", "zwei\u2028drei", "四", "a\ud835b", ""]


def _response(number: int, text: str) -> Response:
    return Response(
        key=f"key{number}", text=text, failure=None, finish=Finish.EOS, prompt_tokens=number, tokens=len(text)
    )


def _write(folder: Path) -> bytes:
    journal = open_journal(folder)
    for number, text in enumerate(TEXTS):
        journal.append(_response(number, text))
    journal.close()
    return journal.path.read_bytes()


def test_answers_come_back(tmp_path: Path) -> None:
    _write(tmp_path)
    journal = open_journal(tmp_path)
    assert [each.text for each in journal.responses.values()] == ["one", "zwei\u2028drei", "四", "a\ufffdb", ""]
    assert journal.torn_bytes == 0


def test_the_last_line_of_a_key_counts(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    failure = Failure(kind="timeout", message="slow")
    journal.append(Response(key="k", text=None, failure=failure, finish=None, prompt_tokens=None, tokens=None))
    journal.append(Response(key="k", text="x", failure=None, finish=None, prompt_tokens=None, tokens=None))
    journal.close()
    assert open_journal(tmp_path).responses["k"].text == "x"


def test_a_journal_cut_at_any_byte_opens_and_goes_on(tmp_path: Path) -> None:
    whole = _write(tmp_path)
    path = tmp_path / "journal.jsonl"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        journal = open_journal(tmp_path)
        complete = whole[:length].count(b"\n")
        assert len(journal.responses) == complete
        assert journal.torn_bytes == length - (whole[:length].rfind(b"\n") + 1)
        journal.append(_response(99, "later"))
        journal.close()
        assert len(open_journal(tmp_path).responses) == complete + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line.replace(b"one", b"two"), "does not match its checksum"),
        (lambda line: b"nonsense", "not JSON"),
        (lambda line: b"{}", "not a line of a journal"),
        (lambda line: b"[]", "not an object"),
        (lambda line: b"\xff\xfe", "not JSON"),
    ],
)
def test_a_changed_line_is_named_by_its_number(tmp_path: Path, change: Callable[[bytes], bytes], message: str) -> None:
    lines = _write(tmp_path).split(b"\n")
    lines[0] = change(lines[0])
    (tmp_path / "journal.jsonl").write_bytes(b"\n".join(lines))
    with pytest.raises(DataError) as caught:
        open_journal(tmp_path)
    assert "journal.jsonl:1" in caught.value.where
    assert message in caught.value.what


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace"])
def test_a_failed_summary_write_leaves_the_old_file(tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.json"
    write_atomically(path, "old")

    def fail(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(call, fail)
    with pytest.raises(EnvironmentFault) as caught:
        write_atomically(path, "new")
    assert caught.value.exit_code == 5
    assert "No space left" in str(caught.value)
    assert path.read_text(encoding="utf-8") == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["results.json"]


def test_a_folder_that_cannot_be_made_is_found_out_early(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(EnvironmentFault) as caught:
        prepare_folder(tmp_path / "file" / "run")
    assert caught.value.exit_code == 5


def test_a_live_lock_names_its_holder(tmp_path: Path) -> None:
    with lock_folder(tmp_path) as note:
        assert note is None
        with pytest.raises(EnvironmentFault) as caught, lock_folder(tmp_path):
            pass
        assert f"in use by pid {os.getpid()} on {platform.node()}" in str(caught.value)
    assert not (tmp_path / LOCK).exists()


def test_the_lock_of_a_dead_run_is_taken_over(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys, xlingual.store as store\n"
        "held = store.lock_folder(pathlib.Path(sys.argv[1]))\n"
        "held.__enter__()\n"
        "os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == 9
    holder = json.loads((tmp_path / LOCK).read_text(encoding="utf-8"))
    with lock_folder(tmp_path) as note:
        assert note == f"took over the lock of pid {holder['pid']} on {platform.node()}, which is gone"


def test_the_lock_of_a_killed_run_whose_parent_never_asks_is_taken_over(tmp_path: Path) -> None:
    """A container whose first process reaps nothing keeps killed runs as zombies."""
    with subprocess.Popen(
        [sys.executable, "-c", "import sys, time; sys.stdout.write('x'); sys.stdout.flush(); time.sleep(60)"],
        stdout=subprocess.PIPE,
    ) as run:
        assert run.stdout is not None
        run.stdout.read(1)
        process = psutil.Process(run.pid)
        lock = {"pid": run.pid, "host": platform.node(), "started": process.create_time(), "at": "2026-01-01T00:00:00Z"}
        (tmp_path / LOCK).write_text(json.dumps(lock), encoding="utf-8")
        with pytest.raises(EnvironmentFault, match=f"in use by pid {run.pid}"), lock_folder(tmp_path):
            pass
        run.kill()  # and not waited for
        while process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        with lock_folder(tmp_path) as note:
            assert note == f"took over the lock of pid {run.pid} on {platform.node()}, which is gone"


def test_a_lock_of_another_machine_is_respected(tmp_path: Path) -> None:
    lock = {"pid": 1, "host": "elsewhere", "started": 1.0, "at": "2026-01-01T00:00:00Z"}
    (tmp_path / LOCK).write_text(json.dumps(lock), encoding="utf-8")
    with pytest.raises(EnvironmentFault, match="in use by pid 1 on elsewhere"), lock_folder(tmp_path):
        pass


def test_what_was_moved_aside_is_not_walked_through(tmp_path: Path) -> None:
    names = ("z", "before-20250131T120000-12345678/a", "before-tuning/a", "model/before-20250131/a", "model/task/a")
    kept = [tmp_path / name for name in names]
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folder = tmp_path / "model" / "task"
    for number in range(3):
        (folder / "deep").mkdir()
        (folder / "deep" / "b").write_text(str(number), encoding="utf-8")
        move_aside(folder, [folder / "deep"])
    move_aside(folder, [])
    aside = sorted(path for path in folder.iterdir() if path.is_dir())
    numbers = [path.joinpath("deep/b").read_text(encoding="utf-8") for path in aside]
    assert numbers == ["0", "1", "2"]  # within a second, too
    assert list(walk_runs(tmp_path)) == kept
    assert list(walk_runs(aside[2])) == [aside[2] / "deep" / "b"]
