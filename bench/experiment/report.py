"""The section of docs/experiment.md that the experiment writes: scores, and gains over the control with intervals."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xlingual.cli.compare import show_p
from xlingual.metrics import find_metric
from xlingual.statistics.multiple import holm
from xlingual.statistics.parallel import LEAST_BASELINE, Scored, ScoredExample, is_near_zero, join_units
from xlingual.statistics.resampling import FEWEST_RESAMPLED, expanded_interval, resample
from xlingual.store import read_samples

HEADING = "## The experiment at a larger size"
NEXT = "## What the larger experiment shows"
"""The heading that follows it."""
METRICS = {"flores101": ("chrf++", "off_target"), "xquad": ("mlqa_f1", "containment")}
SEED = 0
Interval = tuple[float, float, float]
"""A value with its bounds."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all models have in common."""

    base: str
    tokens: int
    """Supervised, of each mix."""
    questions: str | None
    """Of XQuAD; None: all."""
    sentences: str | None
    """Of Flores-101 devtest."""


@dataclass(frozen=True, slots=True)
class Run:
    """A results file: what it says, and where its samples are."""

    file: Path
    document: Mapping[str, Any]

    @property
    def task(self) -> str:
        """Such as "xquad/zh"."""
        return str(self.document["protocol"]["task"])

    def estimate(self, metric: str) -> Mapping[str, Any]:
        """Return an estimate."""
        return next(each for each in self.document["estimates"] if each["metric"] == metric)

    def scored(self, metric: str) -> Scored:
        """Return the statistics of every scored example."""
        found = {}
        for line in read_samples(self.file.parent, self.file.name.replace("results", "samples", 1) + "l"):
            values: Any = line["statistics"]
            if values.get(metric) is not None:
                group = line.get("group")
                found[str(line["id"])] = ScoredExample(
                    statistics=tuple(values[metric]),
                    cluster=str(line["cluster"]),
                    group=group if isinstance(group, str) else None,
                )
        return found


def read_runs(folder: Path) -> dict[str, Run]:
    """Return the runs below the folder of one model, by task; SystemExit where a task has two."""
    found: dict[str, Run] = {}
    for each in sorted(folder.glob("*/*/results*.json")):
        run = Run(each, json.loads(each.read_text(encoding="utf-8")))
        if run.task in found:
            raise SystemExit(f"{folder}: two results of {run.task}: {found[run.task].file.parent}, {each.parent}")
        found[run.task] = run
    return found


@dataclass(frozen=True, slots=True)
class Gain:
    """Averages over pairs of runs, of which each weighs the same, and what lies between them."""

    ours: float
    control: float
    difference: Interval
    """In points."""
    percent: Interval | None
    """Of the control; None where that is near zero, as `xlingual report` has it."""


def average_gain(pairs: Sequence[tuple[Run, Run]], metric: str) -> Gain | None:
    """Return the gain of runs over their controls, with 95% intervals over the texts that were drawn.

    Each pair is compared on what both of it were scored on. The draws are the same for all of them: a question has the
    same id in all languages, and for all seeds. None where clusters are too few.
    """
    scored: list[Scored] = []
    for pair in pairs:
        both = [run.scored(metric) for run in pair]
        shared = sorted(both[0].keys() & both[1].keys())
        scored += [{each: side[each] for each in shared} for side in both]
    units = join_units(scored)
    if units.count < FEWEST_RESAMPLED or not all(scored):
        return None
    sums = [units.sums(place, side) for place, side in enumerate(scored)]
    measure = find_metric(metric, task=pairs[0][0].task)
    draws = np.array(resample(measure, sums, SEED))
    whole = np.array([float(measure.combine(each.sum(axis=0))) for each in sums])
    ours, control = draws[::2].mean(axis=0), draws[1::2].mean(axis=0)
    values = float(whole[::2].mean()), float(whole[1::2].mean())
    difference = expanded_interval(ours - control, units.count)
    if difference is None:
        return None
    low, high = expanded_interval(control, units.count) or (None, None)
    percent = None
    if not is_near_zero(values[1], low, high, LEAST_BASELINE) and np.all(control > 0):
        interval = expanded_interval(100 * (ours / control - 1), units.count)
        percent = None if interval is None else (100 * (values[0] / values[1] - 1), *interval)
    return Gain(*values, (values[0] - values[1], *difference), percent)


def page(
    setting: Setting,
    runs: Mapping[str, Mapping[str, Run]],
    plans: Mapping[str, Mapping[str, Any]],
    comparisons: Mapping[str, Sequence[Mapping[str, Any]]],
    controls: Mapping[str, str],
) -> str:
    """Return the section; `runs` and `plans` are by model, `comparisons` of the models that have `controls`."""
    tasks = list(next(iter(runs.values())))
    columns = [(task, metric) for task in tasks for metric in METRICS[task.partition("/")[0]]]
    names = [f"{task} {metric}" for task, metric in columns]
    header = ["model", "rows", "supervised tokens", "steps", *names]
    rows = []
    for name, found in runs.items():
        plan = plans.get(name)
        sizes = [f"{plan[key]:,}" for key in ("rows", "supervised", "steps")] if plan else ["", "", ""]
        rows.append([name, *sizes, *(_score(found.get(task), metric) for task, metric in columns)])
    differences = [(name, each) for name, found in comparisons.items() for each in found]
    # Each was made by a command of its own, and is corrected for what stands in this table.
    corrected = holm([each["p"] for _, each in differences])
    gains = []
    for (name, each), p in zip(differences, corrected, strict=True):
        control = controls[name]
        gain = average_gain([(runs[name][each["task"]], runs[control][each["task"]])], each["metric"])
        gains.append([name, control, each["task"], each["metric"], _difference(each), show_p(p), _percent(gain)])
    over = ["model", "control", "task", "metric", "difference", "p (Holm)", "gain, %"]
    parts = [_introduction(setting), _table(header, rows, 1), _table(over, gains, 4)]
    return "\n\n".join([HEADING, *(each.rstrip("\n") for each in parts), _averages(runs, controls)])


def _averages(runs: Mapping[str, Mapping[str, Run]], controls: Mapping[str, str]) -> str:
    """Return the gains averaged over languages and seeds, as the paper gives its own."""
    rows = []
    for benchmark, metrics in METRICS.items():
        pairs = [
            (run, runs[control][task])
            for name, control in controls.items()
            for task, run in runs[name].items()
            if task.partition("/")[0] == benchmark
        ]
        for metric in metrics:
            gain = average_gain(pairs, metric) if pairs else None
            if gain is not None:
                difference = "{:+.1f} [{:+.1f}, {:+.1f}]".format(*gain.difference)
                values = [str(len(pairs)), f"{gain.control:.1f}", f"{gain.ours:.1f}", difference, _percent(gain)]
                rows.append([benchmark, metric, *values])
    header = ["benchmark", "metric", "pairs", "English only", "CoIT", "difference", "gain, %"]
    return (
        "Averages over languages and seeds, each pair of models with the same weight; the gain is that of the average. "
        "The\nintervals are over texts, not over trainings.\n\n" + _table(header, rows, 2)
    )


def _introduction(setting: Setting) -> str:
    questions = f"{setting.questions} questions" if setting.questions else "all questions"
    sentences = f"{setting.sentences} sentences" if setting.sentences else "all sentences"
    return (
        f"Base: {setting.base}. Each mix has {setting.tokens:,} supervised tokens within 1%; the numbers in the names "
        f"are seeds.\nScores are of {questions} of XQuAD and {sentences} of Flores-101 devtest, with 95% intervals. "
        "Below are the\ndifferences from the English-only model of the same seed: p-values by Holm over all rows; no "
        "gain in per cent where\nthe control is near zero."
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """Return a Markdown table whose first `texts` columns are texts."""
    rule = ["---" if place < texts else "--:" for place in range(len(header))]
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, rule, *rows))


def with_section(text: str, section: str) -> str:
    """Return the page with this section in the place of its own, or before what follows it; SystemExit without that."""
    before, found, rest = text.partition(f"\n{NEXT}\n")
    if not found:
        raise SystemExit(f"the page has no line {NEXT!r}, before which the section stands")
    return f"{before.partition(HEADING)[0].rstrip()}\n\n{section}\n{NEXT}\n{rest}"


def _score(run: Run | None, metric: str) -> str:
    estimate = run.estimate(metric) if run else None
    if estimate is None or estimate["value"] is None:
        return "–"
    interval = "" if estimate["low"] is None else f" [{estimate['low']:.1f}, {estimate['high']:.1f}]"
    return f"{estimate['value']:.1f}{interval}"


def _difference(comparison: Mapping[str, Any]) -> str:
    interval = "" if comparison["low"] is None else f" [{comparison['low']:+.1f}, {comparison['high']:+.1f}]"
    return f"{comparison['difference']:+.1f}{interval}"


def _percent(gain: Gain | None) -> str:
    return "–" if gain is None or gain.percent is None else "{:+.0f} [{:+.0f}, {:+.0f}]".format(*gain.percent)
