"""Leases: one run writes to a folder, whatever process, host, pid namespace or pause is between two of them."""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from xlingual import lease as leases
from xlingual.errors import EnvironmentFault
from xlingual.lease import LOCK, lock_folder

HOLDER = """
import os, pathlib, sys, time
from xlingual import lease
lease.BEAT_SECONDS = 0.2
with lease.lock_folder(pathlib.Path(sys.argv[1])) as held:
    print(os.getpid(), flush=True)
    while True:
        sys.stdin.readline()
        try:
            held.check()
        except Exception as error:
            print(f"lost: {error}", flush=True)
            raise
        print("held", flush=True)
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(leases, "STALE_SECONDS", 3.0)
    monkeypatch.setattr(leases, "_silent", set())


def hold(folder: Path, *before: str) -> "subprocess.Popen[str]":
    """Start a process, below the words `before`, that holds the folder, and wait until it does."""
    words = [*before, sys.executable, "-c", HOLDER, str(folder)]
    run = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    if not run.stdout.readline():
        run.kill()
        run.wait()
        pytest.skip(f"{' '.join(before)} is not allowed here")
    return run


def ask(run: "subprocess.Popen[str]") -> str:
    """Return what a holder finds when it looks at its lease."""
    assert run.stdin is not None
    assert run.stdout is not None
    run.stdin.write("\n")
    run.stdin.flush()
    return run.stdout.readline().strip()


def end(run: "subprocess.Popen[str]") -> None:
    run.kill()
    run.communicate()


def beats(folder: Path) -> int:
    return int((folder / LOCK).read_text(encoding="utf-8").splitlines()[1])


def test_a_live_lock_names_its_holder(tmp_path: Path) -> None:
    with lock_folder(tmp_path) as lease:
        assert lease.note is None
        lease.check()
        with pytest.raises(EnvironmentFault) as caught, lock_folder(tmp_path):
            pass
        assert caught.value.exit_code == 5
        assert f"in use by pid {os.getpid()} on {platform.node()}" in str(caught.value)
        lease.check()
    assert not (tmp_path / LOCK).exists()


@pytest.mark.usefixtures("quick")
def test_a_holder_beats(tmp_path: Path) -> None:
    with lock_folder(tmp_path):
        first = beats(tmp_path)
        until = time.monotonic() + 20
        while beats(tmp_path) < first + 3 and time.monotonic() < until:
            time.sleep(0.05)
        assert beats(tmp_path) >= first + 3


def test_the_lock_of_a_dead_run_is_taken_over_at_once(tmp_path: Path) -> None:
    run = hold(tmp_path)
    end(run)
    holder = json.loads((tmp_path / LOCK).read_text(encoding="utf-8").splitlines()[0])
    begun = time.monotonic()
    with lock_folder(tmp_path) as lease:
        assert time.monotonic() - begun < 20
        assert lease.note == f"took over the lock of pid {holder['pid']} on {platform.node()}, which is gone"


def test_the_lock_of_a_killed_run_whose_parent_never_asks_is_taken_over(tmp_path: Path) -> None:
    """A container whose first process reaps nothing keeps killed runs as zombies."""
    run = hold(tmp_path)
    process = psutil.Process(run.pid)
    with pytest.raises(EnvironmentFault, match=f"in use by pid {run.pid}"), lock_folder(tmp_path):
        pass
    process.kill()  # and not waited for
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    with lock_folder(tmp_path) as lease:
        assert lease.note == f"took over the lock of pid {run.pid} on {platform.node()}, which is gone"
    end(run)


NAMESPACES = {
    "another host": ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"),
    "another pid namespace": ("unshare", "--pid", "--fork", "--kill-child"),
    "both": ("unshare", "--uts", "--pid", "--fork", "--kill-child"),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
@pytest.mark.parametrize("where", NAMESPACES)
def test_a_run_elsewhere_is_refused_while_it_beats_and_taken_over_when_it_does_not(tmp_path: Path, where: str) -> None:
    run = hold(tmp_path, *NAMESPACES[where])
    try:
        for _ in range(2):
            with pytest.raises(EnvironmentFault, match="in use by pid"), lock_folder(tmp_path):
                pass
        assert ask(run) == "held"
    finally:
        end(run)
    with lock_folder(tmp_path) as lease:
        assert "which is gone" in (lease.note or "")
        lease.check()


@pytest.mark.usefixtures("quick")
def test_a_stopped_owner_that_wakes_up_writes_nothing_more(tmp_path: Path) -> None:
    run = hold(tmp_path)
    try:
        os.kill(run.pid, signal.SIGSTOP)
        while psutil.Process(run.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        notes: list[str] = []
        with lock_folder(tmp_path, notes.append) as lease:
            assert f"pid {run.pid}" in (lease.note or "")
            assert "waiting up to 3 s" in notes[0]
            os.kill(run.pid, signal.SIGCONT)
            found = ask(run)
            assert found.startswith("lost: ")
            assert "has taken this folder over" in found
            run.wait(timeout=60)  # and its end leaves the lock of the other
            lease.check()
            assert (tmp_path / LOCK).exists()
    finally:
        end(run)


@pytest.mark.usefixtures("quick")
def test_a_lock_of_another_machine_that_never_beats_is_taken_over(tmp_path: Path) -> None:
    lock = {"pid": 1, "host": "elsewhere", "started": 1.0, "at": "2026-01-01T00:00:00Z"}
    (tmp_path / LOCK).write_text(json.dumps(lock), encoding="utf-8")
    with lock_folder(tmp_path) as lease:
        assert lease.note == "took over the lock of pid 1 on elsewhere, which is gone"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b'{"' * 100_000, b"{}", b"{nonsense\n"])
def test_a_lock_that_is_none_is_taken_over_after_a_while(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOCK).write_bytes(content)
    with lock_folder(tmp_path) as lease:
        assert "an unknown host" in (lease.note or "")


def test_a_lock_that_is_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / LOCK).mkdir()
    with pytest.raises(EnvironmentFault) as caught, lock_folder(tmp_path):
        pass
    assert caught.value.exit_code == 5


@pytest.mark.usefixtures("quick")
def test_several_folders_of_a_silent_run_are_watched_once(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        lock = {"pid": 1, "host": "elsewhere", "space": "x", "started": 1.0, "token": "t", "at": "2026-01-01T00:00:00Z"}
        (tmp_path / name / LOCK).write_text(json.dumps(lock) + "\n00000000000000000001\n", encoding="utf-8")
    notes: list[str] = []
    for name in ("a", "b", "c"):
        with lock_folder(tmp_path / name, notes.append) as lease:
            assert lease.note is not None
    assert len(notes) == 1


def test_a_lock_that_was_deleted_ends_the_run_that_had_it(tmp_path: Path) -> None:
    with lock_folder(tmp_path) as lease:
        (tmp_path / LOCK).unlink()
        with pytest.raises(EnvironmentFault, match="its lock was deleted"):
            lease.check()


def test_a_clock_that_was_set_makes_no_live_run_a_dead_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a process, psutil tells when it began by the clock of today: that moves with the clock."""
    run = hold(tmp_path)
    try:
        began = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda process: began(process) + 3600)
        with pytest.raises(EnvironmentFault, match=f"in use by pid {run.pid}"), lock_folder(tmp_path):
            pass
        assert ask(run) == "held"
        os.kill(run.pid, signal.SIGKILL)
        run.wait(timeout=60)
        with lock_folder(tmp_path) as lease:
            assert f"pid {run.pid}" in (lease.note or "")
    finally:
        end(run)


def test_a_wall_clock_that_was_set_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lock_folder(tmp_path) as lease:
        monkeypatch.setattr(time, "time", lambda: 0.0)
        lease.check()
        with pytest.raises(EnvironmentFault, match="in use by pid"), lock_folder(tmp_path):
            pass


@pytest.mark.usefixtures("quick")
def test_a_machine_that_slept_saw_nobody_fail_to_beat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both runs are on a virtual machine that is paused for an hour: the watcher wakes up before the holder."""
    lock = {"pid": 1, "host": "elsewhere", "space": "x", "started": 1.0, "token": "t", "at": "2026-01-01T00:00:00Z"}
    (tmp_path / LOCK).write_text(json.dumps(lock) + "\n00000000000000000001\n", encoding="utf-8")
    now, looks = 0.0, 0

    def sleep(seconds: float) -> None:
        nonlocal now, looks
        now, looks = now + (3600 if looks == 1 else seconds), looks + 1
        if looks == 3:
            (tmp_path / LOCK).write_text(json.dumps(lock) + "\n00000000000000000002\n", encoding="utf-8")

    monkeypatch.setattr(leases, "STALE_SECONDS", 60.0)
    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with pytest.raises(EnvironmentFault, match="in use by pid 1 on elsewhere"), lock_folder(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_of_a_run_does_not_hold_its_lease(tmp_path: Path) -> None:
    """A worker that is forked may neither write nor remove the lock when it ends."""
    with lock_folder(tmp_path) as lease:
        child = os.fork()
        if not child:
            refused = 0
            try:
                lease.check()
            except EnvironmentFault:
                refused += 1
            try:
                with lock_folder(tmp_path):
                    pass
            except EnvironmentFault:
                refused += 1
            lease.release()
            os._exit(refused)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 2
        lease.check()
    assert not (tmp_path / LOCK).exists()


@pytest.mark.usefixtures("quick")
def test_a_thousand_folders_need_one_thread_and_no_descriptors(tmp_path: Path) -> None:
    process, threads = psutil.Process(), threading.active_count()
    with ExitStack() as stack:
        before = process.num_fds()
        for number in range(1000):
            (tmp_path / str(number)).mkdir()
            stack.enter_context(lock_folder(tmp_path / str(number)))
        assert process.num_fds() <= before + 10
        assert threading.active_count() <= threads + 1
        until = time.monotonic() + 60
        while min(beats(tmp_path / str(number)) for number in (0, 999)) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        assert beats(tmp_path / "0") >= 2
        assert beats(tmp_path / "999") >= 2
    assert not list(tmp_path.glob("*/lock"))


def test_a_beat_never_lands_in_the_lock_of_another(tmp_path: Path) -> None:
    with lock_folder(tmp_path) as lease:
        other = json.dumps({"pid": 1, "host": "b", "started": 1.0, "token": "t"}) + "\n00000000000000000007\n"
        (tmp_path / LOCK).write_text(other, encoding="utf-8")
        lease.beat(99)
        assert (tmp_path / LOCK).read_text(encoding="utf-8") == other
    assert (tmp_path / LOCK).read_text(encoding="utf-8") == other


def test_a_lock_that_is_away_for_a_moment_ends_no_run(tmp_path: Path) -> None:
    """One who was late takes it by mistake and gives it back."""
    with lock_folder(tmp_path) as lease:
        (tmp_path / LOCK).rename(tmp_path / "aside")
        back = threading.Timer(0.05, (tmp_path / "aside").rename, [tmp_path / LOCK])
        back.start()
        lease.check()
        back.join()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount")
def test_a_folder_that_cannot_be_written_to_is_an_error_of_the_environment(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path)], check=False)
    if mounted.returncode:
        pytest.skip("mount is not allowed here")
    try:
        with pytest.raises(EnvironmentFault, match="Read-only file system") as caught, lock_folder(tmp_path):
            pass
        assert caught.value.exit_code == 5
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
