"""Every field of a run is edited, and all hashes are made anew: the edit is named, or it is one that is said not to be.

docs/reliability.md says which: what no answer, no plan and no folder name follows from.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from xlingual.cli import run_command
from xlingual.cli.options import read_data_source
from xlingual.errors import XlingualError
from xlingual.identity import content_hash
from xlingual.journal import JOURNAL
from xlingual.verify import RunVerdict, verify_run

from .test_verify import results_of, seal

Place = tuple[str | int, ...]
NOT_SEEN: Mapping[str, tuple[str, ...]] = {
    # The versions that scored, and when: a later command may do it again with others.
    "results.json": ("scored_with", "finished_at"),
    # What the results do not repeat.
    "run.json": ("schema", "task", "versions"),
    # Two files that say the same. Where the folder has kept its name, name, fingerprint and protocol are seen.
    "both": ("model.backend", "model.dtype", "model.template", "model.parent", "model.word", "model.revision",
             "model.context_length", "origin", "versions", "files"),
}  # fmt: skip
SEEN_OF_TASK = ("name", "version", "language")


def leaves(value: object, place: Place = ()) -> Iterator[Place]:
    """Yield the place of every value that holds no other; of lists, of the first item."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, (*place, name))
    elif isinstance(value, list) and value:
        yield from leaves(value[0], (*place, 0))
    else:
        yield place


def edited(value: object) -> object:
    if isinstance(value, bool) or value is None:
        return "x" if value is None else not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value}x" if isinstance(value, str) else ["x"]


def edit(record: Any, place: Place) -> None:  # noqa: ANN401 - JSON data
    *way, last = place
    for step in way:
        record = record[step]
    record[last] = edited(record[last])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    words = ["eval", "-m", "echo", "-t", "xquad/zh", "--shots", "1", "--data", "sample", "-o", str(out)]
    assert run_command([*words, "--progress", "none"]) == 0
    return results_of(out)


@pytest.fixture
def verified(run: Path, tmp_path: Path) -> Callable[[str, Place], tuple[str, str]]:
    """Return what is said where a field was edited: the verdict, and the reasons."""

    def verify(file: str, place: Place) -> tuple[str, str]:
        folder = tmp_path / "out" / run.parent.parent.name / run.parent.name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(run.parent, folder)
        for name in ("results.json", "run.json") if file == "both" else (file,):
            text = (folder / name).read_text("utf-8")
            if name.endswith(".json"):
                record = json.loads(text)
                edit(record, place)
                text = json.dumps(record)
            else:
                lines = text.splitlines()
                record = json.loads(lines[4])
                edit(record, place)
                if name == JOURNAL:
                    record["check"] = content_hash(record["response"])[:8]
                lines[4] = json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
                text = "".join(f"{line}\n" for line in lines)
            (folder / name).write_text(text, encoding="utf-8")
        try:
            seal(folder / "results.json")
        except XlingualError as error:
            return RunVerdict.UNREADABLE, str(error)
        found = verify_run(folder / "results.json", read_data_source("sample", offline=True))
        return found.verdict, "; ".join(found.reasons)

    return verify


def is_said_not_to_be_seen(file: str, place: Place) -> bool:
    name = ".".join(str(step) for step in place)
    if file == "run.json" and place[0] == "task" and place[1] in SEEN_OF_TASK:
        return False
    return any(name == each or name.startswith(f"{each}.") for each in NOT_SEEN.get(file, ()))


def places(run: Path, file: str) -> list[Place]:
    """Return the places of a file; those of one estimate and of one version stand for all."""
    first = (run.parent / ("results.json" if file == "both" else file)).read_text("utf-8")
    record = json.loads(first if file.endswith(".json") or file == "both" else first.splitlines()[4])
    found = [place for place in leaves(record) if place[0] not in ("versions", "scored_with") or "python" in place]
    found = [place for place in found if place[0] not in ("hashes", "check")]
    if file == "both":
        plan = json.loads((run.parent / "run.json").read_text("utf-8"))
        found = [place for place in found if place in set(leaves(plan))]
    return found


@pytest.mark.parametrize(
    "file",
    [
        pytest.param("results.json", marks=pytest.mark.slow),
        pytest.param("both", marks=pytest.mark.slow),
        "run.json",
        "samples.jsonl",
        JOURNAL,
    ],
)
def test_an_edit_of_any_field_is_named(file: str, run: Path, verified: Callable[[str, Place], tuple[str, str]]) -> None:
    missed = []
    for place in places(run, file):
        if is_said_not_to_be_seen(file, place):
            continue
        verdict, reasons = verified(file, place)
        if verdict == RunVerdict.VERIFIED and str(place[0]) not in reasons:
            missed.append(".".join(str(step) for step in place))
    assert missed == []


@pytest.mark.parametrize("name", ["gpt-9", "echo2"])
def test_another_name_is_seen_by_plan_and_folder(
    name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """R10, with every hash made anew: first in the results, then in the plan as well."""
    folder = tmp_path / run.parent.parent.name / run.parent.name
    shutil.copytree(run.parent, folder)
    for file, named in (
        ("results.json", "results.json: name is not that of run.json"),
        ("run.json", f"model.name or model.fingerprint is not that of the folder {folder.parent.name}"),
    ):
        record = json.loads((folder / file).read_text("utf-8"))
        record["model"]["name"] = name
        (folder / file).write_text(json.dumps(record), encoding="utf-8")
        seal(folder / "results.json")
        capsys.readouterr()
        assert run_command(["verify", str(folder), "--data", "sample"]) == 1
        assert named in capsys.readouterr().out


def test_a_run_whose_folder_was_renamed_is_verified(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run.parent, tmp_path / "mine" / "first")
    assert run_command(["verify", str(tmp_path / "mine" / "first"), "--data", "sample"]) == 0
