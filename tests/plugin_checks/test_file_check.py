"""`xlingual tasks --check FILE`: all of the border on one file, with nothing asked."""

import json
from pathlib import Path

import pytest

from .conftest import METRIC, TASK, Bench

WITH_WORDS = ('("squad_f1",)', '("words", "squad_f1")')
WITH_DATA = (
    "return xl.Examples(rows=tuple(row(language, *each) for each in ROWS), files=())",
    "found = xl.locate(xl.DatasetRef(name='c', candidates=(f'{language}.txt',), sample=None, remotes=()), source)\n"
    "        lines = pathlib.Path(found.path).read_text().splitlines()\n"
    "        return xl.Examples(rows=tuple(row(language, each, each) for each in lines), files=(found,))",
)


def test_what_was_checked_is_said(bench: Bench) -> None:
    path = bench.write("tasks/cities.py", f"{TASK}\n\n{METRIC.partition(chr(10) * 3)[2]}", WITH_WORDS)
    finished = bench.run("tasks", "--check", str(path))
    assert finished.code == 0, finished.stderr
    assert "| metric words | right | name; direction; bounds; signature |" in finished.stdout
    checked = "name; spec; 2 examples of test; 2 prompts of test; words of 2 gold answers"
    assert f"| cities/en | right | {checked} |" in finished.stdout
    assert f"| cities/vi | right | {checked} |" in finished.stdout
    document = json.loads(bench.run("tasks", "--check", str(path), "--json").stdout)
    assert [each["name"] for each in document["checks"]] == ["metric words", "cities/en", "cities/vi"]
    metric = bench.write("metrics/words.py", METRIC)
    path.unlink()
    bench.forget()
    assert bench.run("tasks", "--check", str(metric)).code == 0


@pytest.mark.parametrize("folder", ["tasks", "anywhere"])
def test_a_file_that_is_in_no_plugin_folder_of_the_user(folder: str, bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / folder / "cities.py"
    path.parent.mkdir(parents=True)
    path.write_text(TASK, encoding="utf-8")
    assert bench.run("tasks", "--check", str(path)).code == 0
    path.write_text(TASK.replace("targets=(gold,)", "targets=gold"), encoding="utf-8")
    again = bench.run("tasks", "--check", str(path))
    assert again.code == 3
    assert f"elsewhere/{folder}/cities.py:16: task cities/en: example 'fr': targets must be" in again.stderr
    assert again.stdout.count("| broken |") == 2
    assert again.stderr.count("error: ") == 2


def test_data_that_are_not_here(bench: Bench, tmp_path: Path) -> None:
    path = bench.write("tasks/cities.py", f"import pathlib\n{TASK}", WITH_DATA)
    unread = bench.run("tasks", "--check", str(path))
    assert unread.code == 0
    assert "| cities/en | right | name; spec |" in unread.stdout
    assert "not read of cities/en: test: " in unread.stdout
    data = tmp_path / "data"
    data.mkdir()
    (data / "en.txt").write_text("a\nb\na\n", encoding="utf-8")
    (data / "vi.txt").write_text("a\nb\n", encoding="utf-8")
    read = bench.run("tasks", "--check", str(path), "--data", str(data))
    assert read.code == 3
    assert "task cities/en: example 'a' comes twice, as number 1 and 3" in read.error
    assert "| cities/vi | right | name; spec; 2 examples of test; 2 prompts of test |" in read.stdout
    (data / "en.txt").unlink()
    gone = bench.run("tasks", "--check", str(path), "--data", str(data))
    assert (gone.code, "en.txt" in gone.stderr) == (3, True), gone


def test_a_metric_that_fails_on_gold_answers(bench: Bench) -> None:
    bench.write("metrics/words.py", METRIC, ("return len(text.split())", "return response.likelihoods[0]"))
    path = bench.write("tasks/cities.py", TASK, WITH_WORDS)
    finished = bench.run("tasks", "--check", str(path))
    assert finished.code == 3
    assert "mine/metrics/words.py:20: metric words, example 'fr': TypeError" in finished.stderr


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("nowhere.py", "no such file"),
        ("mine/models/talker.py", "only tasks and metrics are checked so"),
        ("mine/words.txt", "is neither a Python file nor in a folder called tasks"),
        ("mine/xquad.py", "the plugin 'xquad' is in"),
    ],
)
def test_what_cannot_be_checked(word: str, says: str, bench: Bench) -> None:
    bench.write("models/talker.py", "")
    bench.write("words.txt", "")
    bench.write("xquad.py", TASK)
    finished = bench.run("tasks", "--check", word)
    assert (finished.code, says in finished.error) == (2, True), finished.stderr


def test_a_declared_task_is_checked_too(bench: Bench, tmp_path: Path) -> None:
    text = (
        'description = "Rivers"\nlicence = "CC0"\ncitation = "none"\nversion = "1"\n'
        'files = "{language}.{split}.jsonl"\nid = "{id}"\nanswer = "seas"\nlanguages = ["en"]\n'
        'prompt = { instruction = "Name the sea.", input = "{river} " }\n'
    )
    path = bench.write("tasks/rivers.toml", text)
    data = tmp_path / "data"
    data.mkdir()
    (data / "en.test.jsonl").write_text('{"id": 1, "river": "Po", "seas": "Adriatic"}\n', encoding="utf-8")
    right = bench.run("tasks", "--check", str(path), "--data", str(data))
    assert right.code == 0, right
    assert "| rivers/en | right | name; spec; 1 examples of test; 1 prompts of test |" in right.stdout
    (data / "en.test.jsonl").write_text('{"id": 1, "river": "Po", "seas": "\\u200b\\u200d"}\n', encoding="utf-8")
    blank = bench.run("tasks", "--check", str(path), "--data", str(data))
    assert blank.code == 3, blank
    bench.write("tasks/rivers.toml", text.replace("licence", "license"))
    bench.forget()
    named = bench.run("eval", "-m", "oracle", "-t", "rivers", "-o", str(tmp_path / "runs"))
    assert (named.code, "rivers.toml" in named.error) == (3, True), named
    listed = bench.run("tasks")
    assert (listed.code, "| rivers | broken |" in listed.stdout) == (1, True)


def test_a_task_whose_metrics_need_no_gold_has_none(bench: Bench, tmp_path: Path) -> None:
    free = (("targets=(gold,)", "targets=()"), ('metrics=("squad_f1",)', 'metrics=("off_target", "empty")'))
    path = bench.write("tasks/cities.py", TASK, *free, ('split="test",', 'split="test", shot_split="test",'))
    assert bench.run("tasks", "--check", str(path)).code == 0
    words = ("eval", "-m", "echo", "-t", "cities/en", "-o", str(tmp_path / "out"))
    assert bench.run(*words).code == 0
    # There is nothing that a demonstration could show.
    finished = bench.run(*words, "--shots", "1")
    assert finished.code == 2
    assert "has 0 examples for demonstrations" in finished.error
    # One metric that needs a gold, and the task needs golds.
    bench.forget()
    path = bench.write(
        "tasks/cities.py", TASK, free[0], ('metrics=("squad_f1",)', 'metrics=("off_target", "squad_f1")')
    )
    assert "targets is empty" in bench.run("tasks", "--check", str(path)).stdout + bench.run(*words).stderr
