"""The experiment on CoIT but for its trainings: mixes of one size, recipes that are read, gains planted and found."""

import argparse
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.experiment import __main__ as experiment
from bench.experiment.recipes import ENGLISH, LANGUAGES, MOST, make_data, sources_of, write_recipe
from bench.experiment.report import HEADING, NEXT, Run, Setting, average_gain, page, read_runs, with_section

from xlingual.tune.recipe import find_recipe

PAGE = Path(__file__).resolve().parents[2] / "docs" / "experiment.md"
METRIC = "containment"
SETTING = Setting("small", 60_000, None, "300")


@pytest.mark.parametrize(
    ("goal", "fixed", "per_row"),
    [(60_000, 0, 52.0), (60_000, 40_000, 31.0), (20_000, 0, 110.3), (60_000, 59_000, 20.0), (3000, 0, 300.0)],
)
def test_the_rows_of_a_mix_are_found(goal: int, fixed: int, per_row: float) -> None:
    asked = []

    def count(rows: int) -> int:
        asked.append(rows)
        return fixed + round(rows * per_row)

    rows = experiment.search(goal, count)
    assert abs(count(rows) - goal) <= experiment.CLOSE * goal
    assert len(asked) <= experiment.TRIES + 1


def test_more_rows_than_there_are_are_not_the_end() -> None:
    """The second try would be 600 rows, of which each has 100 tokens; rows after the first 200 are longer."""

    def count(rows: int) -> int | None:
        return None if rows > 450 else 100 * min(rows, 200) + 200 * max(0, rows - 200)

    assert abs((count(experiment.search(60_000, count)) or 0) - 60_000) <= 600
    with pytest.raises(SystemExit, match="no number of rows"):
        experiment.search(80_000, count)


def test_rows_of_uneven_length_are_found() -> None:
    lengths = np.random.Generator(np.random.PCG64(3)).lognormal(4, 1, 5000).astype(int)
    rows = experiment.search(60_000, lambda count: int(lengths[:count].sum()))
    assert abs(int(lengths[:rows].sum()) - 60_000) <= 600


@pytest.mark.parametrize(
    "count",
    [
        lambda rows: 60 * rows,  # 1 row has 60 tokens, 2 have 120
        lambda _rows: 0,  # nothing to learn, however many
        lambda _rows: 500,  # the other sources have more already
        lambda rows: 0 if rows < 300 else 1000,  # a row that is too long by itself
    ],
)
def test_what_no_number_of_rows_has_is_said(count: Callable[[int], int]) -> None:
    with pytest.raises(SystemExit, match="no number of rows has 100 supervised tokens"):
        experiment.search(100, count)


def test_recipes_are_read_and_differ_in_the_mix_alone(tmp_path: Path) -> None:
    found = {}
    for seed in (1, 2):
        for language in (ENGLISH, *LANGUAGES):
            path = write_recipe(tmp_path, language, seed, "smollm2", 250)
            found[path.stem] = find_recipe(str(path))
    assert sorted(found) == ["coit-vi-1", "coit-vi-2", "coit-zh-1", "coit-zh-2", "english-1", "english-2"]
    rest = {
        (each.base, each.template, each.length, str(each.method), str(each.schedule), each.budget)
        for each in found.values()
    }
    assert len(rest) == 1
    assert {name: each.seed for name, each in found.items()} == {name: int(name[-1]) for name in found}
    for language in LANGUAGES:
        assert found[f"coit-{language}-1"].sources == found[f"coit-{language}-2"].sources
    english, *others = (sources_of(language, 7) for language in (ENGLISH, *LANGUAGES))
    assert [each.use for each in english] == ["7 rows"]
    for each in others:
        assert (each[0].where, each[-1].use) == ("en", "7 rows")
        assert each[0].path == english[0].path


def test_a_base_of_any_name_is_written_as_toml_has_it(tmp_path: Path) -> None:
    for base in (r"C:\models\new", 'a "quoted" folder'):
        assert find_recipe(str(write_recipe(tmp_path, "zh", 1, base, 5))).base == base


def test_the_data_folder(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    (data / "alpaca").mkdir(parents=True)
    (data / "more" / "alpaca-x" / "vi-lima").mkdir(parents=True)
    rows = [{"instruction": f"i{number}", "input": "", "output": "o"} for number in range(MOST + 3)]
    for language in ("en", "zh"):
        (data / "alpaca" / f"alpaca_data.{language}.json").write_text(json.dumps(rows), encoding="utf-8")
    turns = [{"prompt": [" q ", "q2"], "response": ["a", "a2"]}, {"prompt": [], "response": None}]
    (data / "more" / "alpaca-x" / "vi-lima" / "a.json").write_text(json.dumps([*turns, turns[0]]), encoding="utf-8")
    for _ in range(2):  # the second time everything is there
        make_data(data, out)
        assert (out / "alpaca").is_symlink()
        assert (out / "mix" / "en.jsonl").read_text(encoding="utf-8").count("\n") == MOST
        said = [json.loads(line) for line in (out / "mix" / "vi.jsonl").read_text(encoding="utf-8").splitlines()]
        assert said == [{"instruction": "q", "input": "", "output": "a"}]


def store(folder: Path, scores: Sequence[float], task: str = "xquad/vi") -> Run:
    """Write a run with such scores of 100, an example a paragraph."""
    place = folder / "model" / task.replace("/", "-")
    place.mkdir(parents=True)
    lines = [
        {"id": f"{number}", "cluster": f"p{number}", "group": f"p{number}", "statistics": {METRIC: [score / 100, 1.0]}}
        for number, score in enumerate(scores)
    ]
    (place / "samples.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in lines), encoding="utf-8")
    names = ("containment", "mlqa_f1", "chrf++", "off_target")
    estimates = [
        {"metric": name, "value": sum(scores) / max(1, len(scores)), "low": 1.0, "high": 99.0} for name in names
    ]
    document = {"protocol": {"task": task}, "estimates": estimates}
    (place / "results.json").write_text(json.dumps(document), encoding="utf-8")
    return read_runs(folder)[task]


def test_a_planted_gain_is_found(tmp_path: Path) -> None:
    right = np.random.Generator(np.random.PCG64(5)).random(600)
    control = store(tmp_path / "control", [100.0 if each < 0.2 else 0.0 for each in right])
    tuned = store(tmp_path / "tuned", [100.0 if each < 0.3 else 0.0 for each in right])
    gain = average_gain([(tuned, control)], METRIC)
    assert gain is not None
    assert gain.percent is not None
    value, low, high = gain.percent
    assert value == pytest.approx(100 * ((right < 0.3).sum() / (right < 0.2).sum() - 1))
    assert low < 50 < high
    assert low > 0
    same = average_gain([(tuned, tuned)], METRIC)
    assert same is not None
    assert same.percent == same.difference == pytest.approx((0.0, 0.0, 0.0))


def test_an_average_draws_all_its_runs_alike(tmp_path: Path) -> None:
    """What is hard in one language is hard in the other: what the two lose and win cancels in every draw."""
    generator = np.random.Generator(np.random.PCG64(6))
    base = generator.random(300) * 40 + 20
    gained = generator.random(300) * 20
    runs = {
        name: store(tmp_path / name, list(scores), task)
        for name, scores, task in (
            ("english", base, "xquad/vi"),
            ("coit-vi", base + gained, "xquad/vi"),
            ("english-zh", base[::-1], "xquad/zh"),
            ("coit-zh", base[::-1] + 10 - gained, "xquad/zh"),
        )
    }
    pairs = [(runs["coit-vi"], runs["english"]), (runs["coit-zh"], runs["english-zh"])]
    gain = average_gain(pairs, METRIC)
    assert gain is not None
    assert gain.control == pytest.approx(base.mean())
    assert gain.ours == pytest.approx(base.mean() + 5)
    assert gain.difference == pytest.approx((5.0, 5.0, 5.0))
    assert gain.percent is not None
    assert gain.percent[0] == pytest.approx(500 / base.mean())
    alone = [average_gain([pair], METRIC) for pair in pairs]
    assert all(each is not None and each.difference[2] - each.difference[1] > 1 for each in alone)


@pytest.mark.parametrize(
    ("control", "tuned"),
    [([0.0] * 30, [50.0] * 30), ([3.0] * 30, [50.0] * 30), ([50.0] * 9, [60.0] * 9), ([], [50.0] * 30)],
    ids=["nothing", "near zero", "few clusters", "none shared"],
)
def test_no_gain_where_there_is_nothing_to_compare_with(
    control: list[float], tuned: list[float], tmp_path: Path
) -> None:
    gain = average_gain([(store(tmp_path / "b", tuned), store(tmp_path / "a", control))], METRIC)
    assert gain is None or gain.percent is None
    assert (gain is None) == (len(control) < 30)


def test_two_results_of_a_task_are_refused(tmp_path: Path) -> None:
    run = store(tmp_path, [1.0])
    aside = run.file.parent / "before-20250131T120000"
    aside.mkdir()
    (aside / "results.json").write_bytes(run.file.read_bytes())  # what --fresh has moved aside is no second one
    assert read_runs(tmp_path)[run.task].file == run.file
    shutil.copytree(tmp_path / "model", tmp_path / "other")
    with pytest.raises(SystemExit, match="two results of xquad/vi"):
        read_runs(tmp_path)


def test_the_section(tmp_path: Path) -> None:
    runs: dict[str, Mapping[str, Run]] = {}
    for name, score in (("base", 10.0), ("english-1", 20.0), ("coit-vi-1", 30.0), ("coit-zh-1", 20.0)):
        store(tmp_path / name, [score] * 20)
        if name != "coit-zh-1":  # a model that was not asked everything
            store(tmp_path / name, [score] * 20, "flores101/en-vi")
        runs[name] = read_runs(tmp_path / name)
    plans = {name: {"rows": 1250, "supervised": 60_100, "steps": 79} for name in runs if name != "base"}
    shared: dict[str, Any] = {"task": "xquad/vi", "metric": METRIC, "low": 5.0, "high": 15.0, "p_holm": 0.01}
    comparisons = {
        "coit-vi-1": [{**shared, "difference": 10.0, "p": 0.01}],
        "coit-zh-1": [{**shared, "difference": 0.0, "p": 0.6, "low": None}],
    }
    section = page(SETTING, runs, plans, comparisons, dict.fromkeys(comparisons, "english-1"))
    tables = [
        [line.split(" | ") for line in each.splitlines() if line.startswith("|")] for each in section.split("\n\n")
    ]
    text = section.splitlines()
    assert text[0] == HEADING
    assert any(line.startswith("| base |  |  |  | 10.0 [1.0, 99.0] |") for line in text)
    assert any(line.startswith("| coit-vi-1 | 1,250 | 60,100 | 79 | 30.0 [1.0, 99.0] |") for line in text)
    assert any(re.match(r"\| coit-zh-1 \|.* – \| – \|", line) for line in text)
    # Two rows: the smaller p-value is doubled, whatever its own command has said.
    gained = "| coit-vi-1 | english-1 | xquad/vi | containment | +10.0 [+5.0, +15.0] | 0.020 | +50 [+50, +50] |"
    assert gained in text
    assert "| coit-zh-1 | english-1 | xquad/vi | containment | +0.0 | 0.600 | +0 [+0, +0] |" in text
    assert "| xquad | containment | 2 | 20.0 | 25.0 | +5.0 [+5.0, +5.0] | +25 [+25, +25] |" in text
    assert all(len({len(row) for row in table}) <= 1 for table in tables)


def test_the_section_has_its_place_in_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    first = with_section(text, f"{HEADING}\n\none\n")
    second = with_section(first, f"{HEADING}\n\ntwo\n")
    assert [second.count(each) for each in (f"{HEADING}\n", f"{NEXT}\n", "one\n\n##", "two\n\n##")] == [1, 1, 0, 1]
    assert with_section(second, f"{HEADING}\n\ntwo\n") == second
    assert first.endswith(text.partition(NEXT)[2])
    with pytest.raises(SystemExit, match="the page has no line"):
        with_section("# Another page\n", f"{HEADING}\n")


def test_the_page_on_tuning_has_the_gains_of_the_tables() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    averages = {(row[0], row[1]): row[-1] for row in rows if row[0] in ("xquad", "flores101")}
    gains = {(row[0], row[3]): row[6].split()[0] for row in rows if row[0].startswith("coit-")}
    summary = (PAGE.parent / "tuning.md").read_text(encoding="utf-8").partition("## What it gains")[2]
    for benchmark, metric, task in (("xquad", "containment", "questions"), ("flores101", "chrf++", "translation")):
        [line] = [each for each in summary.splitlines() if each.startswith(f"| {task}, ") and "English only" in each]
        found = [cell.strip().replace("%", "") for cell in line.split("|")[3:6]]
        singles = [", ".join(gains[f"coit-{each}-{seed}", metric] for seed in (1, 2)) for each in ("zh", "vi")]
        assert found == [averages[benchmark, metric], *singles]


def options(tmp_path: Path, **more: object) -> argparse.Namespace:
    words = ["--base", "b", "--data", str(tmp_path / "data"), "--out", str(tmp_path)]
    found = experiment.parse(words)
    vars(found).update(more)
    return found


def test_a_folder_belongs_to_its_settings(tmp_path: Path) -> None:
    experiment.keep_settings(options(tmp_path))
    experiment.keep_settings(options(tmp_path, seeds=[1, 2, 3], languages=["vi"]))
    for change in ({"base": "c"}, {"tokens": 9}, {"questions": "5"}, {"sentences": "5"}, {"data": tmp_path}):
        with pytest.raises(SystemExit, match=f"made with {next(iter(change))} "):
            experiment.keep_settings(options(tmp_path, **change))


def test_what_was_found_is_not_searched_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipes").mkdir()
    planned = []

    def plan(_options: argparse.Namespace, recipe: Path) -> dict[str, Any]:
        planned.append(recipe)
        return {"plan": {"supervised": 50 * int(re.findall(r'"(\d+) rows"', recipe.read_text(encoding="utf-8"))[0])}}

    monkeypatch.setattr(experiment, "plan", plan)
    first = experiment.fit_rows(options(tmp_path), ENGLISH, 1)
    text, tries = first.read_text(encoding="utf-8"), len(planned)
    assert 'use = "1200 rows"' in text
    first.unlink()
    assert experiment.fit_rows(options(tmp_path), ENGLISH, 1).read_text(encoding="utf-8") == text
    assert len(planned) == tries


def test_a_plan_that_is_refused_for_its_rows_is_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipes").mkdir()
    refused = []

    def plan(most: int, _options: argparse.Namespace, recipe: Path) -> dict[str, Any]:
        rows = int(re.findall(r'"(\d+) rows"', recipe.read_text(encoding="utf-8"))[-1])
        if rows > most:
            refused.append(rows)
            raise experiment.CommandFailed("tune", experiment.REFUSED)
        return {"plan": {"supervised": 20 * rows + 150 * max(0, rows - 200)}}

    monkeypatch.setattr(experiment, "plan", partial(plan, 600))
    recipe = experiment.fit_rows(options(tmp_path), ENGLISH, 1)
    assert refused
    assert 525 <= int(re.findall(r'"(\d+) rows"', recipe.read_text(encoding="utf-8"))[0]) <= 533
    monkeypatch.setattr(experiment, "plan", partial(plan, 0))
    with pytest.raises(experiment.CommandFailed):
        experiment.fit_rows(options(tmp_path), ENGLISH, 2)


class Commands:
    """The commands of the experiment without their work; one of them fails."""

    def __init__(self, folder: Path, fails: int) -> None:
        self.folder, self.left = folder, fails
        self.trained: list[str] = []

    def __call__(self, *words: str) -> str:
        self.left -= 1
        if not self.left:
            raise experiment.CommandFailed(words[0], 143)
        if words[0] == "eval":
            place, task = Path(words[words.index("--out") + 1]), words[words.index("-t") + 1]
            if not (place / "model" / task.replace("/", "-")).is_dir():
                store(place, [40.0] * 12, task)
            return ""
        if words[0] == "compare":
            metrics = [words[place + 1] for place, word in enumerate(words) if word == "--metric"]
            task = Run(Path(words[1]), json.loads(Path(words[1]).read_text(encoding="utf-8"))).task
            found = [{"task": task, "metric": METRIC, "difference": 1.0, "p": 0.5, "low": None} for _ in metrics[:1]]
            return json.dumps({"comparisons": found if task.startswith("xquad") else []})
        recipe = Path(words[2])
        rows = int(re.findall(r'"(\d+) rows"', recipe.read_text(encoding="utf-8"))[-1])
        plan = {"rows": rows, "supervised": 50 * rows, "steps": 9}
        if words[1] == "plan":
            return json.dumps({"plan": plan})
        marker = self.folder / f"{recipe.stem}-{rows}"
        if not marker.exists():
            marker.touch()
            self.trained.append(f"{recipe.stem}-{rows}")
        return json.dumps({"model": "m", "record": {"plan": plan}})


@pytest.mark.parametrize("fails", range(1, 42, 4))
def test_an_experiment_that_was_stopped_goes_on(fails: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "make_data", lambda *_given: None)
    commands = Commands(tmp_path, fails)
    monkeypatch.setattr(experiment, "xlingual", commands)
    page_file = tmp_path / "page.md"
    page_file.write_text(f"# Page\n\n{NEXT}\n\nrest\n", encoding="utf-8")
    words = ["--base", "b", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--write", str(page_file)]
    with pytest.raises(experiment.CommandFailed, match="exit code 143"):
        experiment.main(words)
    assert HEADING not in page_file.read_text(encoding="utf-8")
    experiment.main(words)
    models = [f"{kind}-{seed}" for seed in (1, 2) for kind in ("english", "coit-zh", "coit-vi")]
    assert commands.trained == [f"{each}-1200" for each in models]
    written = page_file.read_text(encoding="utf-8")
    assert [written.count(f"\n| {each} | 1,200 | 60,000 | 9 |") for each in models] == [1] * 6
    experiment.main(words)
    assert len(commands.trained) == 6
    assert page_file.read_text(encoding="utf-8") == written
