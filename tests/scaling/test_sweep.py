"""Sweeps: strict files, nested subsets, a table that goes on after any stop."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from xlingual.errors import DataError, UsageError, XlingualError
from xlingual.scaling.fit import FitOptions, fit_laws
from xlingual.scaling.points import Point, points_csv, read_points
from xlingual.scaling.sweep import SweepPoint, SweepSpec, read_sweep, recipe_of, run_sweep, sweep_points

from .simulation import TRUTHS

SWEEP = """recipe = "x-mini.toml"
source = "news-{language}"
metric = "chrf++"
languages = ["zh", "hin"]
sizes = [500, 1000, 2000, 4000]
seeds = [0, 1]
limit = 200

[available]
zh = 10815
hi = 4000
"""


ORIGIN = "a sweep of the tests"


@pytest.fixture
def sweep_file(tmp_path: Path) -> Path:
    (tmp_path / "x-mini.toml").write_text('name = "x-mini"\n', encoding="utf-8")
    path = tmp_path / "sweep.toml"
    path.write_text(SWEEP, encoding="utf-8")
    return path


@dataclass
class SimulatedScorer:
    """Scores by known laws, with noise from the point itself; may break at one call."""

    breaks_at: int | None = None
    asked: list[SweepPoint] = field(default_factory=list)

    def score(self, point: SweepPoint) -> Point:
        if len(self.asked) == self.breaks_at:
            raise XlingualError("the machine broke")
        self.asked.append(point)
        generator = np.random.default_rng([point.pairs, point.seed])
        value = TRUTHS[point.language].score(point.pairs) + 0.2 * float(generator.standard_normal())
        return Point(
            language=point.language,
            pairs=point.pairs,
            tokens=20 * point.pairs,
            seed=point.seed,
            metric=point.metric,
            score=value,
            low=value - 1.0,
            high=value + 1.0,
            origin=point.origin,
        )


def test_the_points_of_a_sweep(sweep_file: Path) -> None:
    spec = read_sweep(sweep_file)
    points = sweep_points(spec, ORIGIN)
    assert len(points) == 2 * 4 * 2
    assert [point.pairs for point in points] == sorted(point.pairs for point in points)
    assert {(point.language, point.source) for point in points} == {("zh", "news-zh"), ("hi", "news-hi")}
    assert spec.limit == 200


def test_what_must_be_the_same_has_one_origin(sweep_file: Path) -> None:
    origin = _origin(read_sweep(sweep_file))
    for old, new, same in (
        ("[500, 1000, 2000, 4000]", "[500, 1000]", True),
        ("seeds = [0, 1]", "seeds = [0, 1, 2]", True),
        ("limit = 200", "limit = 100", False),
        ("limit = 200", "limit = 200\nmax_new_tokens = 64", False),
        ('"chrf++"', '"bleu"', False),
    ):
        sweep_file.write_text(SWEEP.replace(old, new), encoding="utf-8")
        assert (_origin(read_sweep(sweep_file)) == origin) == same
    sweep_file.write_text(SWEEP, encoding="utf-8")
    (sweep_file.parent / "x-mini.toml").write_text('name = "x-mini"\nlength = 256\n', encoding="utf-8")
    assert _origin(read_sweep(sweep_file)) != origin


RECIPE = """\
name = "x-mini-{x}"
x = ["zh", "hi"]
description = "x"
base = "smollm2"
template = "alpaca"
length = 256

[sources.news]
reader = "parallel"
path = "train.{language}"
direction = ["en-zh", "en-hi"]

[sources.alpaca]
reader = "alpaca"
path = "a.json"
language = "en"

[schedule]
epochs = 3
rows_per_step = 128
learning_rate = 2e-5
"""


def test_what_the_command_line_sets_is_of_another_law(sweep_file: Path) -> None:
    (sweep_file.parent / "x-mini.toml").write_text(RECIPE, encoding="utf-8")
    plain, changed = read_sweep(sweep_file), read_sweep(sweep_file, ("schedule.epochs=1", "sources.alpaca.use=5 rows"))
    assert plain.overrides == ()
    assert _origin(plain) != _origin(changed)
    assert (recipe_of(plain, "zh").schedule.epochs, recipe_of(changed, "zh").schedule.epochs) == (3.0, 1.0)
    for word in ("seed=3", "sources.news.use=5 rows", "sources.news.max_epochs=2"):
        with pytest.raises(UsageError, match="a sweep sets it itself, for each of its points") as caught:
            read_sweep(sweep_file, (word,))
        assert caught.value.where == f"--set {word.partition('=')[0]}"
    with pytest.raises(UsageError, match=r"--set schedule.epoch: unknown key 'epoch'"):
        recipe_of(read_sweep(sweep_file, ("schedule.epoch=1",)), "hi")


def test_points_on_another_base_or_other_data_are_not_of_one_law(sweep_file: Path) -> None:
    spec = read_sweep(sweep_file)
    assert len({_origin(spec), spec.origin("base 2", sample=False), spec.origin("base 1", sample=True)}) == 3


def _origin(spec: SweepSpec) -> str:
    return spec.origin("base 1", sample=False)


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("metric =", "metrics =", 3, "unknown key 'metrics'"),
        ('"chrf++"', "4", 3, "'metric' must be a text, got 4"),
        ('metric = "chrf++"\n', "", None, "key 'metric' is missing"),
        ('"x-mini.toml"', '"none.toml"', 1, "no such recipe: 'none.toml'"),
        ('"x-mini.toml"', '"none"', 1, "no such recipe: 'none'"),
        ('"hin"', '"zzz"', 4, "no such language: 'zzz'"),
        ('"hin"', '"zho_simpl"', 4, "'languages' names a language twice"),
        ("[500, 1000, 2000, 4000]", "[1000, 500]", 5, "'sizes' must rise"),
        ("[500, 1000, 2000, 4000]", "[0, 500]", 5, "'sizes' must be a list of whole numbers from 1 up, got [0, 500]"),
        ("[500, 1000, 2000, 4000]", "[]", 5, "'sizes' must be a list of whole numbers from 1 up, got []"),
        ("seeds = [0, 1]", "seeds = [true]", 6, "'seeds' must be a list of whole numbers from 0 up, got [True]"),
        ("limit = 200", "limit = 0", 7, "'limit' must be at least 1, got 0"),
        ("news-{language}", "news", 2, "'source' must hold {language}"),
        ("zh = 10815", 'zh = "many"', 10, "'zh' must be a whole number, got 'many'"),
        ("zh = 10815", "tr = 5", 10, "'tr' is not among the languages"),
        ("limit = 200", "limit = ", "7:9", "not TOML"),
        ("hi = 4000", "hi = 3999", 11, "3999 pairs of hi are fewer than the largest size, 4000"),
        ('languages = ["zh", "hin"]', "languages = [3]", 4, "'languages' must be a text or a list of texts"),
    ],
)
def test_bad_sweeps(sweep_file: Path, old: str, new: str, line: int | str | None, what: str) -> None:
    sweep_file.write_text(SWEEP.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_sweep(sweep_file)
    place = f"{sweep_file}:{line}" if line else f"{sweep_file}"
    assert str(caught.value).startswith(f"{place}: {what}")


def test_a_broken_sweep_goes_on_where_it_was_and_its_law_is_found(sweep_file: Path, tmp_path: Path) -> None:
    points, table = sweep_points(read_sweep(sweep_file), ORIGIN), tmp_path / "points.csv"
    with pytest.raises(XlingualError, match="the machine broke"):
        list(run_sweep(points, table, SimulatedScorer(breaks_at=5)))
    assert len(read_points(table)) == 5
    scorer = SimulatedScorer()
    assert len(list(run_sweep(points, table, scorer))) == 11
    assert [point.place for point in scorer.asked] == [point.place for point in points[5:]]
    assert [point.place for point in read_points(table)] == [point.place for point in points]
    assert list(run_sweep(points, table, SimulatedScorer(breaks_at=0))) == []
    fit = fit_laws(read_points(table), FitOptions(resamples=100))
    assert [law.language for law in fit.laws] == ["zh", "hi"]


def test_points_of_another_origin_are_kept_and_not_taken_for_ours(sweep_file: Path, tmp_path: Path) -> None:
    points, table = sweep_points(read_sweep(sweep_file), ORIGIN)[:2], tmp_path / "points.csv"
    foreign = [SimulatedScorer().score(replace(points[0], origin="elsewhere"))]
    table.write_text(points_csv(foreign), encoding="utf-8")
    assert len(list(run_sweep(points, table, SimulatedScorer()))) == 2
    assert read_points(table)[0] == foreign[0]


PROGRAM = """
import sys, time
from pathlib import Path
from xlingual.scaling.points import Point
from xlingual.scaling.sweep import SweepPoint, run_sweep

class Slow:
    def score(self, point):
        time.sleep(0.05)
        return Point(language=point.language, pairs=point.pairs, tokens=None, seed=point.seed, metric=point.metric,
                     score=50.0, low=None, high=None, origin=point.origin)

points = [SweepPoint(language="zh", source="s", pairs=size, seed=0, metric="m", origin="o") for size in range(1, 41)]
for point in run_sweep(points, Path(sys.argv[1]), Slow()):
    print(point.pairs, flush=True)
"""


@pytest.mark.slow
def test_kill_9_loses_no_finished_point(tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    seen: list[int] = []
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(table)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                seen.append(int(line))
                if len(seen) % 7 == 0:
                    break
            os.kill(process.pid, signal.SIGKILL)
        held = [point.pairs for point in read_points(table)]
        assert held[: len(seen)] == seen
        seen = held
    finished = subprocess.run([sys.executable, "-c", PROGRAM, str(table)], capture_output=True, text=True, check=True)
    assert _all_of(finished.stdout.split(), seen) == list(range(1, 41))
    assert [point.pairs for point in read_points(table)] == list(range(1, 41))


def _all_of(last: Sequence[str], seen: Sequence[int]) -> list[int]:
    return [*seen, *(int(word) for word in last)]
