"""Run folders: summaries that are replaced whole, and what is moved aside."""

from pathlib import Path

import pytest

from xlingual.errors import EnvironmentFault
from xlingual.files import write_atomically
from xlingual.store import move_aside, prepare_folder, walk_runs


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


def test_copies_that_a_tracker_keeps_are_no_runs(tmp_path: Path) -> None:
    """A board of the folder would show each run twice, and a copy whose samples are missing."""
    kept = [tmp_path / "tracking" / "x.zip", tmp_path / "wandb" / "results.json"]
    copies = [tmp_path / "tracking" / name / "a" / "results.json" for name in ("wandb", ".wandb", "mlruns")]
    for path in (*kept, *copies):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")
    assert list(walk_runs(tmp_path)) == kept
    assert list(walk_runs(tmp_path / "tracking")) == kept[:1]
