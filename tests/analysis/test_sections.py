"""Sections of pages: each kind where it lies beside runs, none where it does not, and what cannot be read is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from xlingual.analysis.sections import find_sections

from .beside_runs import HOSTILE, content_of, put_everything


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_everything(tmp_path_factory.mktemp("everything"))


def space_of(root: Path) -> Path:
    return next((root / "analysis").glob("space-*.json"))


def test_every_kind_is_a_section_in_order(runs: Path) -> None:
    found = find_sections([runs])
    headings = [(each.name, each.heading) for each in found.sections]
    assert headings == [("space", "Representation space"), ("content", "Content of answers"), ("judges", "Judges")]
    assert found.left_out == ()
    space, content, judges = (each.html for each in found.sections)
    assert space.count("<img ") >= 2
    assert "xquad/en" in content
    assert "scripted-&lt;b&gt;judge&amp;" in judges
    for part in (space, content, judges):
        assert "<style" not in part
        assert "<script" not in part
        assert "<h2" not in part
        assert HOSTILE not in part
        assert "http" not in part.replace("data:image/svg+xml;base64,", "")


def test_the_same_files_give_the_same_sections(runs: Path) -> None:
    assert find_sections([runs]) == find_sections([runs, runs])


def _remove_judges(root: Path) -> None:
    for path in root.rglob("judge*.json"):
        path.unlink()


REMOVALS: dict[str, Callable[[Path], object]] = {
    "space": lambda root: space_of(root).unlink(),
    "content": lambda root: content_of(root.parent).unlink(),
    "judges": _remove_judges,
}


@pytest.mark.parametrize("name", REMOVALS)
def test_what_is_not_there_has_no_section(runs: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    REMOVALS[name](tmp_path / "runs")
    found = find_sections([tmp_path / "runs"])
    assert [each.name for each in found.sections] == [each for each in REMOVALS if each != name]
    assert found.left_out == ()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"schema": 9}', '{"schema": 1}', "null", ""])
def test_what_cannot_be_read_is_named_and_keeps_nothing_else_away(runs: Path, tmp_path: Path, text: str) -> None:
    root = tmp_path / "runs"
    shutil.copytree(runs, root)
    judge = next(root.rglob("judge.json"))
    broken = [space_of(root), content_of(tmp_path), judge]
    for path in broken:
        path.write_text(text, encoding="utf-8")
    found = find_sections([root])
    assert found.sections == ()
    assert sorted(where for where, _ in found.left_out) == sorted(
        f"runs/{path.relative_to(root).as_posix()}" for path in broken
    )
    assert all(reason and "\n" not in reason for _, reason in found.left_out)


def test_folders_without_anything(tmp_path: Path) -> None:
    assert find_sections([tmp_path]).sections == ()
    assert find_sections([]).sections == ()


def _cut(text: str, *path: str | int) -> str:
    """Return a record without the last of a list, or with another name in the place of a text."""
    whole = json.loads(text)
    part = whole
    for key in path[:-1]:
        part = part[key]
    value = part[path[-1]]
    part[path[-1]] = value[:-1] if isinstance(value, list) else "another" if isinstance(value, str) else 10**6
    return json.dumps(whole)


@pytest.mark.parametrize(
    "path",
    [
        ("layers",), ("sentences",), ("languages",), ("curves", 0, "values"), ("curves", 0, "low"),
        ("effects", 0, "values"), ("effects", 0, "values", 0), ("effects", 0, "measure"), ("peaks", 0, "measure"),
        ("lens", "decoded"), ("lens", "decoded", 0, "language"), ("lens", "decoded", 0, "shares", "other"),
        ("lens", "overlap", 0, "values"), ("lens", "top_k"), ("projections", 0, "layer"),
    ],
)  # fmt: skip
def test_a_record_of_the_space_that_contradicts_itself_is_left_out(
    runs: Path, tmp_path: Path, path: tuple[str | int, ...]
) -> None:
    shutil.copytree(runs / "analysis", tmp_path / "runs")
    target = next((tmp_path / "runs").glob("space-*.json"))
    target.write_text(_cut(target.read_text(encoding="utf-8"), *path), encoding="utf-8")
    found = find_sections([tmp_path / "runs"])
    assert [each.name for each in found.sections] == ["content"]
    assert [where for where, _ in found.left_out] == [f"runs/{target.name}"]


@pytest.mark.parametrize("path", [("records", 0, "estimates"), ("records", 0, "estimates", 0, "metric"),
                                  ("differences", 0, "measure")])  # fmt: skip
def test_an_analysis_of_other_measures_is_left_out(runs: Path, tmp_path: Path, path: tuple[str | int, ...]) -> None:
    shutil.copytree(runs / "analysis", tmp_path / "runs")
    target = tmp_path / "runs" / "content.json"
    target.write_text(_cut(target.read_text(encoding="utf-8"), *path), encoding="utf-8")
    found = find_sections([tmp_path / "runs"])
    assert [each.name for each in found.sections] == ["space"]
    assert found.left_out == (("runs/content.json", "holds other measures than this version"),)
