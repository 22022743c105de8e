"""Open instructions: the packaged sample, files of others as they are, and what is wrong with a file."""

import json
from pathlib import Path

import pytest

from xlingual.cli import run_command
from xlingual.errors import DataError
from xlingual.metrics.off_target import judge_language
from xlingual.plugin import DataSource
from xlingual.records import Examples
from xlingual.selection import select_tasks

from ..real_data import REAL

SEVEN = ("ar", "el", "en", "hi", "tr", "vi", "zh")
PROMPTS = REAL / "more" / "instruction-prompts"
needs_prompts = pytest.mark.skipif(not PROMPTS.is_dir(), reason="needs ../shared/data/more/instruction-prompts")


def _read(language: str, folder: Path | None) -> Examples:
    [task] = select_tasks([f"instructions/{language}"], [])
    return task.examples("test", DataSource(folder=folder, sample=folder is None, offline=True))


def _write(folder: Path, *lines: object, name: str = "instructions/en.jsonl") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return folder


def test_the_sample_is_parallel_and_in_its_languages() -> None:
    rows = {language: _read(language, None).rows for language in SEVEN}
    names = [row.id for row in rows["en"]]
    assert len(names) >= 10
    for language, found in rows.items():
        assert [row.id for row in found] == names
        texts = [" ".join(row.fields.values()) for row in found]
        assert len(set(texts)) == len(texts)
        assert not any(judge_language(text, language) for text in texts)
        assert {tuple(row.fields) for row in found} == {("instruction",), ("instruction", "input")}
        assert {row.targets for row in found} == {()}
    with_input = [[len(row.fields) for row in found] for found in rows.values()]
    assert all(each == with_input[0] for each in with_input)


def test_a_bare_family_stands_for_the_seven() -> None:
    assert [task.spec.language for task in select_tasks(["instructions"], [])] == list(SEVEN)
    assert [task.spec.name for task in select_tasks(["instructions"], ["sw"])] == ["instructions/sw"]


def test_an_evaluation_without_a_judge_ends_well_and_says_what_is_lacking(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command(["eval", "-m", "echo", "-t", "instructions/en", "--data", "sample", "-o", str(tmp_path)])
    assert code == 0
    assert "judge_win: not computed: it needs a judge" in capsys.readouterr().out
    [path] = tmp_path.rglob("results.json")
    estimates = {each["metric"]: each["value"] for each in json.loads(path.read_text(encoding="utf-8"))["estimates"]}
    assert estimates["judge_win"] is None
    assert estimates["empty"] == 0.0
    lines = (path.parent / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(json.loads(line)["answer"] for line in lines)


def test_models_that_know_the_gold_know_none_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["eval", "-m", "oracle", "-t", "instructions/en", "--data", "sample", "-o", str(tmp_path)]) == 1
    assert "no gold" in capsys.readouterr().err
    words = ["eval", "-m", "echo", "-t", "instructions/en", "--data", "sample", "--shots", "2", "-o", str(tmp_path)]
    assert run_command(words) == 2


@pytest.mark.parametrize(
    ("line", "identifier", "fields"),
    [
        ({"id": "a", "instruction": "Do.", "input": "This."}, "a", {"instruction": "Do.", "input": "This."}),
        ({"instruction": "Do.", "input": ""}, "line-1", {"instruction": "Do."}),
        ({"id": "b", "prompt": "Say."}, "b", {"instruction": "Say."}),
        ({"question_id": 7, "text": "Why?", "category": "generic"}, "7", {"instruction": "Why?"}),
    ],
)
def test_lines_of_several_makers(tmp_path: Path, line: object, identifier: str, fields: dict[str, str]) -> None:
    [row] = _read("en", _write(tmp_path, line)).rows
    assert (row.id, row.fields) == (identifier, fields)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"id": "a", "instruction": " \u200b"}], "en.jsonl:1: holds no instruction"),
        ([{"id": "a"}], "en.jsonl:1: holds no instruction"),
        ([{"id": 5, "instruction": "Do."}], "en.jsonl:1"),
        ([{"id": "a", "instruction": "Do."}, '{"id": "b", "instruction": "Do""}'], "en.jsonl:2"),
        ([{"id": "a", "instruction": "Do."}, {"id": "a", "instruction": "Go."}], "lines 1 and 2"),
        ([{"question_id": 1, "text": "x"}, {"question_id": 1, "text": "y"}], "id '1' on lines 1 and 2"),
        (['["a"]'], "must be an object"),
    ],
)
def test_a_broken_file_is_one_error_with_its_line(tmp_path: Path, lines: list[object], message: str) -> None:
    with pytest.raises(DataError) as caught:
        _read("en", _write(tmp_path, *lines))
    assert message in str(caught.value)


@needs_prompts
@pytest.mark.parametrize(
    ("language", "folder", "count"),
    [("en", "", 50), ("zh", "", 50), ("es", "hplt", 50), ("ar", "", 80), ("hi", "vicuna80", 80)],
)
def test_real_files_are_read_as_they_are(language: str, folder: str, count: int) -> None:
    rows = _read(language, PROMPTS / folder).rows
    assert len(rows) == count
    assert not any(judge_language(row.fields["instruction"], language) for row in rows[:10])


@needs_prompts
def test_a_real_file_with_a_broken_last_line_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "-m", "echo", "-t", "instructions/hi", "--data", str(PROMPTS / "hplt"), "-o", str(tmp_path)]
    assert run_command(words) == 3
    shown = capsys.readouterr().err
    assert "test_hi.jsonl:50" in shown
    assert len([line for line in shown.splitlines() if line.startswith("error:")]) == 1
