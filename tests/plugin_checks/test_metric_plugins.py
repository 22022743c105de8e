"""Metrics of plugins: found by every command, from wherever they are registered, also in a later process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xlingual.metrics import METRIC_NAMES

from .conftest import METRIC, TASK, Bench
from .packages import install

BOARD = """\
name = "mine"
title = "Mine"
description = "Few words are best."
tasks = ["cities/*"]

[metrics]
cities = "words"
"""
WITH_WORDS = ('("squad_f1",)', '("words", "squad_f1")')
DECORATED = METRIC.partition("\n\n\n")[2]


def in_a_file(bench: Bench, _packages: Path) -> None:
    bench.write("tasks/cities.py", TASK, WITH_WORDS)
    bench.write("metrics/words.py", METRIC)


def in_the_task(bench: Bench, _packages: Path) -> None:
    bench.write("tasks/cities.py", f"{TASK}\n\n{DECORATED}", WITH_WORDS)


def in_a_package(bench: Bench, packages: Path) -> None:
    bench.write("tasks/cities.py", TASK, WITH_WORDS)
    install(packages, "metrics.words = wordpack.words", files={"words.py": METRIC})


def script(folder: Path, name: str, answers: dict[str, str]) -> str:
    path = folder / f"{name}.jsonl"
    lines = [json.dumps({"id": key, "prediction": said}) for key, said in answers.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return f"scripted:{path}"


def estimates(folder: Path) -> dict[str, dict[str, Any]]:
    [path] = folder.rglob("results.json")
    return {each["metric"]: each for each in json.loads(path.read_text(encoding="utf-8"))["estimates"]}


@pytest.mark.parametrize("place", [in_a_file, in_the_task, in_a_package], ids=lambda place: place.__name__)
def test_a_metric_is_found_by_every_command(
    place: Callable[[Bench, Path], None], bench: Bench, packages: Path, tmp_path: Path
) -> None:
    place(bench, packages)
    runs = tmp_path / "runs"
    words = ("-t", "cities/en", "-o", str(runs), "--progress", "none")
    models = [
        script(tmp_path, "terse", {"fr": "Paris", "bo": "La Paz"}),
        script(tmp_path, "windy", {"fr": "so " * 300, "bo": "it is Sucre"}),
    ]
    for model in models:
        bench.forget()
        finished = bench.run("eval", "-m", model, *words)
        assert finished.code == 0, finished.stderr
    terse, windy = sorted(runs.iterdir())
    assert (estimates(terse)["words"]["value"], estimates(windy)["words"]["value"]) == (1.5, 151.5)
    assert (estimates(terse)["words"]["higher_is_better"], estimates(terse)["words"]["bounds"]) == (False, [0.0, None])

    bench.forget()
    compared = bench.run("compare", str(terse), str(windy))
    assert (compared.code, "| cities/en | words | 1.5 | 151.5 | -150.0" in compared.stdout) == (0, True), compared
    bench.forget()
    rescored = bench.run("score", str(next(windy.iterdir())))
    assert (rescored.code, "151.5" in rescored.stdout) == (0, True), rescored
    bench.forget()
    scored = bench.run("score", str(tmp_path / "windy.jsonl"), "--task", "cities/en")
    assert (scored.code, "| words | mean:words\\|1 | 151.50 |" in scored.stdout) == (0, True), scored
    bench.forget()
    (tmp_path / "mine.toml").write_text(BOARD, encoding="utf-8")
    board = bench.run("board", str(runs), "--board", str(tmp_path / "mine.toml"), "--json")
    assert board.code == 0, board.stderr
    [table] = json.loads(board.stdout)["tables"]
    assert (table["metric"], table["higher_is_better"]) == ("words", False)
    assert [(row["model"], row["rank"], row["average"]) for row in table["rows"]] == [
        ("scripted-terse", 1, 1.5), ("scripted-windy", 2, 151.5),
    ]  # fmt: skip
    bench.forget()
    listed = bench.run("metrics")
    assert "| words | lower | 0 to no most | all | Mean number of words of an answer. |" in listed.stdout
    shown = bench.run("metrics", "words", "--json")
    assert json.loads(shown.stdout)["metrics"][0]["signature"] == "mean:words|1"


def test_boards_need_no_plugin_and_comparisons_say_so(bench: Bench, packages: Path, tmp_path: Path) -> None:
    in_the_task(bench, packages)
    for name, said in (("a", "x y"), ("b", "x y z")):
        model = script(tmp_path, name, {"fr": said, "bo": said})
        assert bench.run("eval", "-m", model, "-t", "cities/en", "-o", str(tmp_path / "runs")).code == 0
    (bench.root / "tasks" / "cities.py").unlink()
    bench.forget()
    (tmp_path / "mine.toml").write_text(BOARD, encoding="utf-8")
    board = bench.run("board", str(tmp_path / "runs"), "--board", str(tmp_path / "mine.toml"))
    assert (board.code, "words (lower is better)" in board.stdout) == (0, True), board
    first, second = sorted((tmp_path / "runs").iterdir())
    compared = bench.run("compare", str(first), str(second))
    assert (compared.code, compared.error) == (2, "no such metric: 'words'")


def test_own_metrics_are_written_down_as_before(bench: Bench, tmp_path: Path) -> None:
    words = ("-t", "xquad/en", "--data", "sample", "-o", str(tmp_path), "--progress", "none")
    assert bench.run("eval", "-m", "echo", *words).code == 0
    for name, estimate in estimates(tmp_path).items():
        assert "higher_is_better" not in estimate
        assert ("bounds" in estimate) == (name == "length_ratio"), "readers take others for 0 to 100"


@pytest.mark.parametrize("name", ["squad_f1", "bleu", "off_target"])
def test_a_name_of_ours_is_refused(name: str, bench: Bench, tmp_path: Path) -> None:
    text = METRIC.replace("words", name)
    bench.write("tasks/cities.py", TASK.replace("squad_f1", name))
    bench.write(f"metrics/{name}.py", text)
    finished = bench.run("eval", "-m", "oracle", "-t", "cities", "-o", str(tmp_path / "runs"))
    assert finished.code in (2, 3)
    assert f"the metric {name!r} is xlingual.metrics's own" in finished.error
    assert f"{name}.py" in finished.error
    others = {"squad_f1": "accuracy", "bleu": "squad_em", "off_target": "squad_em"}
    assert bench.run("metrics", others[name]).code == 0
    listed = bench.run("metrics")
    assert listed.code == 1
    assert f"| {name} | broken |" in listed.stdout


def test_a_broken_metric_is_a_row(bench: Bench) -> None:
    bench.write("metrics/words.py", METRIC, ('name="words"', 'name="word"'))
    bench.write("metrics/torn.py", "def")
    finished = bench.run("metrics")
    assert finished.code == 1
    assert "| words | broken |  |  | mine/metrics/words.py:6: metric words: is registered as 'words'" in finished.stdout
    assert "| torn | broken |  |  | mine/metrics/torn.py:1: SyntaxError: invalid syntax |" in finished.stdout
    assert all(f"| {name} |" in finished.stdout for name in METRIC_NAMES)
    assert bench.run("metrics", "bleu").code == 0


def test_a_formula_of_counts(bench: Bench, tmp_path: Path) -> None:
    """Characters of answers over characters of gold answers, summed over the corpus."""
    text = '''\
import numpy as np

import xlingual as xl
from xlingual.metrics import CorpusMetric


@xl.register_metric("char_ratio")
def char_ratio():
    """Length of the answers by that of the gold ones."""
    return CorpusMetric(name="char_ratio", count=count, formula=divide, describe=lambda language: "length-ratio|1",
                        bounds=(0.0, None))


def count(language, answer, golds):
    return (len(answer), len(golds[0]))


def divide(sums):
    return np.where(sums[..., 1] > 0, sums[..., 0] / np.maximum(sums[..., 1], 1), np.nan)
'''
    bench.write("metrics/char_ratio.py", text)
    bench.write("tasks/cities.py", TASK, ('("squad_f1",)', '("char_ratio",)'))
    model = script(tmp_path, "double", {"fr": "Paris Paris.", "bo": "Sucre"})
    assert bench.run("eval", "-m", model, "-t", "cities/en", "-o", str(tmp_path / "runs")).code == 0
    assert estimates(tmp_path / "runs")["char_ratio"]["value"] == 1.7
    wrong = text.replace("np.where(sums[..., 1] > 0, ", "np.where(sums > 0, ").replace(
        "sums[..., 0] / np.max", "0 / np.max"
    )
    bench.write("metrics/char_ratio.py", wrong.replace("np.maximum(sums[..., 1], 1)", "np.maximum(sums, 1)"))
    bench.forget()
    finished = bench.run("eval", "-m", model, "-t", "cities/en", "-o", str(tmp_path / "runs"))
    assert finished.code == 3
    assert "char_ratio.py:18: metric char_ratio: combine must return numbers of shape ()" in finished.error


@pytest.mark.parametrize(
    "made",
    [
        '@xl.register_metric("words")\nclass Words:\n',
        'class Words:\n',
    ],
)  # fmt: skip
def test_a_class_and_an_object_are_metrics_too(made: str, bench: Bench, tmp_path: Path) -> None:
    body = '''\
    """Letters."""

    name = "words"
    higher_is_better = True

    def missing(self, language):
        return None

    def signature(self, language):
        return "letters|1"

    def measure(self, example, response):
        return (len(response.text), 1)

    def combine(self, sums):
        return sums[..., 0] / sums[..., 1]
'''
    end = "" if made.startswith("@") else '\n\nxl.register_metric("words")(Words())\n'
    bench.write("metrics/words.py", f"import xlingual as xl\n\n\n{made}{body}{end}")
    bench.write("tasks/cities.py", TASK, WITH_WORDS)
    finished = bench.run("eval", "-m", "oracle", "-t", "cities/en", "-o", str(tmp_path))
    assert finished.code == 0, finished.stderr
    assert estimates(tmp_path)["words"]["value"] == 5.0
    assert "| words | higher | 0 to 100 | all | Letters. |" in bench.run("metrics").stdout
