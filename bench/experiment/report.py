"""The section of docs/experiment.md that the experiment writes: scores, and gains over the control with intervals."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xlingual.metrics import find_metric
from xlingual.statistics.multiple import holm
from xlingual.statistics.parallel import LEAST_BASELINE, Scored, ScoredExample, is_near_zero, join_units
from xlingual.statistics.resampling import FEWEST_RESAMPLED, expanded_interval, resample
from xlingual.store import read_samples

HEADING = "## The experiment at a larger size"
NEXT = "## The recipe of the first experiment"
"""The heading that follows it."""
METRICS = {"flores101": ("chrf++", "off_target"), "xquad": ("mlqa_f1", "containment")}
SEED = 0


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


def relative_gain(first: Run, control: Run, metric: str) -> tuple[float, float, float] | None:
    """Return the gain over the control in per cent with its 95% interval, by joint draws of what both were scored on.

    None where the control is near zero, as `xlingual report` has it, or clusters are too few.
    """
    ours, theirs = first.scored(metric), control.scored(metric)
    shared = sorted(ours.keys() & theirs.keys())
    pair = [{each: scored[each] for each in shared} for scored in (ours, theirs)]
    units = join_units(pair)
    if units.count < FEWEST_RESAMPLED:
        return None
    sums = [units.sums(place, scored) for place, scored in enumerate(pair)]
    measure = find_metric(metric, task=first.task)
    mine, other = resample(measure, sums, SEED)
    whole = [float(measure.combine(each.sum(axis=0))) for each in sums]
    low, high = expanded_interval(other, units.count) or (None, None)
    if is_near_zero(whole[1], low, high, LEAST_BASELINE) or not np.all(other > 0):
        return None
    interval = expanded_interval(100 * (mine / other - 1), units.count)
    return None if interval is None else (100 * (whole[0] / whole[1] - 1), *interval)


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
        gain = relative_gain(runs[name][each["task"]], runs[control][each["task"]], each["metric"])
        gains.append([name, control, each["task"], each["metric"], _difference(each), f"{p:.3f}", _gain(gain)])
    over = ["model", "control", "task", "metric", "difference", "p (Holm)", "gain, %"]
    return f"{HEADING}\n\n{_introduction(setting)}\n\n{_table(header, rows, 1)}\n{_table(over, gains, 4)}"


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


def _gain(found: tuple[float, float, float] | None) -> str:
    return "–" if found is None else f"{found[0]:+.0f} [{found[1]:+.0f}, {found[2]:+.0f}]"
