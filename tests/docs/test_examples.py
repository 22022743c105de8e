"""What the pages show is what runs: their Python blocks are files here, and these are asked questions."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xlingual import plugins
from xlingual.languages import LANGUAGES
from xlingual.registry import TASKS
from xlingual.selection import select_tasks

from .conftest import PLUGINS, Xlingual

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CAPITALS = {
    "en.test": [("fr", "What is the capital of France?", "Paris"), ("bo", "What is the capital of Bolivia?", "Sucre")],
    "en.dev": [("pe", "What is the capital of Peru?", "Lima"), ("ke", "What is the capital of Kenya?", "Nairobi")],
    "vi.test": [("fr", "Thủ đô của Pháp là gì?", "Paris")],
}
OTHER_GOLDS = {"bo": ["La Paz"]}


def python_blocks() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            yield page, block


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "my-data"
    (folder / "capitals").mkdir(parents=True)
    for name, rows in CAPITALS.items():
        lines = [
            json.dumps({"id": key, "question": question, "answers": [gold, *OTHER_GOLDS.get(key, [])]})
            for key, question, gold in rows
        ]
        (folder / "capitals" / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_every_python_block_is_a_file_that_is_tested() -> None:
    files = {path.read_text(encoding="utf-8"): path.name for path in PLUGINS.glob("*/*.py")}
    shown = [(page.name, block) for page, block in python_blocks()]
    assert [(page, block.partition("\n")[0]) for page, block in shown if block not in files] == []
    assert {files[block] for _, block in shown} == set(files.values())


@pytest.mark.parametrize(
    ("name", "most"),
    [("models/tinyserver.py", 60), ("tasks/capitals.py", 40), ("tasks/seas.py", 50), ("metrics/numbers.py", 30)],
)
def test_an_example_is_one_short_file(name: str, most: int) -> None:
    assert (PLUGINS / name).read_text(encoding="utf-8").count("\n") <= most


def record(out: Path, task: str) -> dict[str, Any]:
    [found] = [
        each
        for each in (json.loads(path.read_text(encoding="utf-8")) for path in out.rglob("results.json"))
        if each["protocol"]["task"] == task
    ]
    result: dict[str, Any] = found
    return result


def test_a_task_from_local_files(xlingual: Xlingual, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    finished = xlingual("eval", "-m", "oracle", "-t", "capitals", "--data", str(data), "-o", str(out))
    assert finished.code == 0, finished.stderr
    assert "| oracle | capitals/en | 2 | 100.0 |" in finished.stdout
    assert "squad_f1: no interval: too few clusters (2, at least 5 needed)" in finished.stdout
    assert [file["origin"] for file in record(out, "capitals/vi")["files"]] == ["local"]


@pytest.mark.parametrize(("said", "f1"), [("Sucre", 100.0), ("La Paz", 100.0), ("Lima", 50.0)])
def test_any_of_several_golds_is_right(said: str, f1: float, xlingual: Xlingual, data: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    lines = [{"id": "fr", "prediction": "Paris"}, {"id": "bo", "prediction": said}]
    script.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    out = tmp_path / "runs"
    words = ("eval", "-m", f"scripted:{script}", "-t", "capitals/en", "--data", str(data), "-o", str(out))
    assert xlingual(*words).code == 0
    assert record(out, "capitals/en")["estimates"][0]["value"] == f1


def test_demonstrations_come_from_dev(xlingual: Xlingual, data: Path, tmp_path: Path) -> None:
    words = ("eval", "-m", "oracle", "-t", "capitals/en", "--data", str(data), "-o", str(tmp_path / "runs"))
    shown = xlingual(*words, "--shots", "2", "--dry-run").stdout
    assert shown.count("Answer the question.") == 1
    assert "What is the capital of Peru?\nAnswer: Lima\n\n" in shown
    assert "What is the capital of Kenya?\nAnswer: Nairobi\n\n" in shown
    assert "What is the capital of France?\nAnswer:\n" in shown
    refused = xlingual(*words, "--shots", "3")
    assert (refused.code, "has 2 examples for demonstrations in dev" in refused.stderr) == (2, True)


def test_a_wrong_line_is_named(xlingual: Xlingual, data: Path, tmp_path: Path) -> None:
    with (data / "capitals" / "en.test.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "pe", "question": "And of Peru?", "answers": "Lima"}\n')
    finished = xlingual("eval", "-m", "oracle", "-t", "capitals/en", "--data", str(data), "-o", str(tmp_path))
    assert finished.code == 3
    assert "en.test.jsonl:3: field 'answers' must be a list of strings" in finished.stderr


def test_a_task_of_choices(xlingual: Xlingual, tmp_path: Path) -> None:
    finished = xlingual("eval", "-m", "oracle", "-t", "seas", "-o", str(tmp_path))
    assert finished.code == 0, finished.stderr
    assert "| oracle | seas/tr | 2 | 100.0 |" in finished.stdout


def test_a_metric_of_ones_own(xlingual: Xlingual, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine" / "tasks" / "years.py"
    mine.parent.mkdir(parents=True)
    text = (PLUGINS / "tasks" / "capitals.py").read_text(encoding="utf-8")
    text = text.replace("capitals", "years").replace('("squad_f1", "off_target")', '("numbers", "squad_f1")')
    mine.write_text(text, encoding="utf-8")
    monkeypatch.setattr(plugins, "__path__", [*plugins.__path__, str(tmp_path / "mine")])
    (data / "years").mkdir()
    golds = {"wall": ["1961"], "moon": ["1969", "July 1969"], "none": ["never"]}
    rows = [json.dumps({"id": key, "question": "When?", "answers": gold}) for key, gold in golds.items()]
    (data / "years" / "en.test.jsonl").write_text("\n".join(rows), encoding="utf-8")
    said = {"wall": "In \u0661\u0669\u0666\u0661.", "moon": "1970", "none": "never"}
    script = tmp_path / "script.jsonl"
    lines = [json.dumps({"id": key, "prediction": text}) for key, text in said.items()]
    script.write_text("\n".join(lines), encoding="utf-8")
    words = ("eval", "-m", f"scripted:{script}", "-t", "years/en", "--data", str(data), "-o", str(tmp_path / "runs"))
    assert xlingual(*words).code == 0
    numbers = record(tmp_path / "runs", "years/en")["estimates"][0]
    assert (numbers["metric"], numbers["value"], numbers["n"], numbers["unscored"]) == ("numbers", 50.0, 2, 1)
    TASKS.forget("years")


def test_the_check_of_a_task(xlingual: Xlingual, data: Path) -> None:
    path = str(PLUGINS / "tasks" / "capitals.py")
    finished = xlingual("tasks", "--check", path, "--data", str(data))
    checked = "name; spec; 2 examples of test; 2 prompts of test; 2 examples of dev; 2 prompts of dev"
    assert (finished.code, f"| capitals/en | right | {checked} |" in finished.stdout) == (0, True), finished
    with (data / "capitals" / "en.test.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"id": "pe", "question": "And of Peru?", "answers": ["\u200b"]}) + "\n")
    refused = xlingual("tasks", "--check", path, "--data", str(data))
    assert refused.code == 3
    assert "task capitals/en: example 'pe': targets holds '\\u200b': a blank text is found in every" in refused.stderr


@pytest.mark.parametrize(
    ("words", "tasks"),
    [("xquad", 12), ("mlqa/??", 7), ("mlqa/*-*", 49), ("mgsm/*", 11), ("xcopa/*", 9), ("belebele/*", 92)],
)
def test_the_page_counts_the_languages_of_its_tasks(words: str, tasks: int) -> None:
    """And Flores-101: 101 languages, one of them in two scripts, in all directions."""
    assert len(select_tasks([words], [])) == tasks
    page = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8").partition("A bare family")[0]
    assert str(tasks) in page
    assert len(LANGUAGES) - 1 == int(re.search(r"between (\d+) languages", page)[1])  # type: ignore[index]
