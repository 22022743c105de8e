"""`xlingual score RUN`: which results of a folder, and under its lock from the first byte that is read."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from xlingual import rescore
from xlingual.cli import run_command
from xlingual.errors import DataError, EnvironmentFault
from xlingual.files import write_atomically
from xlingual.lease import LOCK, lock_folder
from xlingual.plugin import DataSource
from xlingual.selection import select_tasks

SAMPLE = DataSource(folder=None, sample=True, offline=True)
EVAL = ["eval", "-m", "oracle", "-t", "xquad/zh", "--data", "sample", "--progress", "none"]


def evaluated(out: Path, *words: str) -> Path:
    """Return the folder of a finished run."""
    assert run_command([*EVAL, "-o", str(out), *words]) == 0
    [folder] = {path.parent for path in out.rglob("results*.json")}
    return folder


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    found.pop("finished_at", None)
    return found


@pytest.mark.parametrize("limits", [("5",), ("3-7",), ("5", "3-7"), ("5", "--shots")])
def test_runs_with_a_limit_are_scored_again(
    limits: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shots = ["--shots", "2"] if "--shots" in limits else []
    for limit in (each for each in limits if each != "--shots"):
        folder = evaluated(tmp_path, "--limit", limit, *shots)
    before = {path.name: document(path) for path in folder.glob("results*.json")}
    lines = {path.name: path.read_bytes() for path in folder.glob("samples*.jsonl")}
    capsys.readouterr()
    assert run_command(["score", str(folder), "--data", "sample", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == len(before)
    after = {path.name: document(path) for path in folder.glob("results*.json")}
    for each in (*before.values(), *after.values()):
        each.pop("hashes")
    assert after == before
    assert {path.name: path.read_bytes() for path in folder.glob("samples*.jsonl")} == lines
    assert run_command(["verify", str(folder), "--data", "sample"]) == 0


def test_a_whole_run_is_scored_again_and_its_limited_one_left_alone(tmp_path: Path) -> None:
    evaluated(tmp_path, "--limit", "5")
    folder = evaluated(tmp_path)
    before = (folder / "results-limit-1-5.json").stat().st_mtime_ns
    assert run_command(["score", str(folder), "--data", "sample"]) == 0
    assert (folder / "results-limit-1-5.json").stat().st_mtime_ns == before


def test_other_data_are_refused_for_a_limited_run_too(tmp_path: Path) -> None:
    folder = evaluated(tmp_path / "out", "--limit", "5")
    path = folder / "results-limit-1-5.json"
    changed = document(path)
    changed["protocol"]["data"] = "0" * 64
    path.write_text(json.dumps({**changed, "finished_at": "2026-01-01T00:00:00Z"}), encoding="utf-8")
    with pytest.raises(DataError, match="the data differ from those of the run"):
        rescore.rescore_run(folder, select_tasks(["xquad/zh"], [])[0], SAMPLE, results=path.name)


def test_a_rescoring_that_was_cut_off_between_its_files_goes_through_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new samples are there, the record is the old one: `verify` says so until the same command has run again."""
    folder = evaluated(tmp_path)

    def stop_at_the_record(path: Path, text: str) -> None:
        if path.name == "results.json":
            raise KeyboardInterrupt
        write_atomically(path, text)

    words = ["score", str(folder), "--data", "sample", "--metrics", "exact_match"]
    monkeypatch.setattr(rescore, "write_atomically", stop_at_the_record)
    assert run_command(words) != 0
    monkeypatch.undo()
    assert "exact_match" not in json.dumps(document(folder / "results.json")["estimates"])
    assert run_command(["verify", str(folder), "--data", "sample"]) == 1
    assert run_command(words) == 0
    assert run_command(["verify", str(folder), "--data", "sample"]) == 0


def test_nothing_is_read_before_the_folder_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = evaluated(tmp_path)
    seen: list[str] = []

    def watched(name: str) -> None:
        function = getattr(rescore, name)

        def look(*given: Any, **named: Any) -> Any:  # noqa: ANN401 (of any of them)
            seen.append(name)
            assert (folder / LOCK).exists()
            return function(*given, **named)

        monkeypatch.setattr(rescore, name, look)

    for name in ("read_json", "read_samples", "write_atomically"):
        watched(name)
    rescore.rescore_run(folder, select_tasks(["xquad/zh"], [])[0], SAMPLE)
    assert seen == ["read_json", "read_samples", "write_atomically", "write_atomically"]
    assert not (folder / LOCK).exists()


def test_a_folder_that_a_run_holds_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = evaluated(tmp_path)
    monkeypatch.setattr(rescore, "read_samples", lambda *_: pytest.fail("it was read"))
    with lock_folder(folder), pytest.raises(EnvironmentFault, match="in use by"):
        rescore.rescore_run(folder, select_tasks(["xquad/zh"], [])[0], SAMPLE)


def test_a_folder_without_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = evaluated(tmp_path)
    for path in folder.glob("results*"):
        path.unlink()
    assert run_command(["score", str(folder), "--data", "sample"]) == 2
    assert "no finished run here" in capsys.readouterr().err
    shutil.rmtree(folder)
    assert run_command(["score", str(folder), "--data", "sample"]) == 2
