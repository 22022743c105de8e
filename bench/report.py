"""The report of a benchmark in Markdown: the machine, a table of each workload, agreement of the answers."""

import argparse
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from .floor import floor_seconds, roofline_seconds
from .ways import part
from .workloads import HELD_OUT, WORKLOADS

PACKAGES = ("torch", "transformers", "lm-eval")
GOALS = {"en": 6.0, "zh": 4.5, "en2": 10.0, "en5": 10.0, "ende": 3.0}
"""How many times as fast as HFLM at its best batch size each workload shall be answered, in wall seconds."""
FLOOR_GOAL = ("en", 0.55)
"""The workload whose share of the floor shall be at least this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measurement."""

    workload: str
    way: str
    wall: float
    """Seconds."""
    processor: float
    """Seconds of all threads."""
    ready: float
    """Seconds of verification, once for a loaded model, beside `wall`; only the engine does that."""
    peak: float
    """GiB of the process (on a GPU: of its allocations)."""
    answers: Mapping[str, str | None]
    work: Mapping[str, Any] | None
    """What the answers need, told by the engine's runs."""
    dtype: str | None = None
    """None: float32 on a CPU."""


def best_peer(runs: Sequence[Run]) -> str | None:
    """Return the way of HFLM with the least median wall time, or None if none was run."""
    peers = dict.fromkeys(each.way for each in runs if each.way.startswith("hflm"))
    return min(peers, key=lambda way: _wall(runs, way), default=None)


def _wall(runs: Sequence[Run], way: str) -> float:
    """Return the median seconds of a way, for a prompt: a slice of a workload is compared by its prompts."""
    return median(each.wall / len(each.answers) for each in runs if each.way == way)


def _processor_time(runs: Sequence[Run], way: str) -> float:
    return median(each.processor / len(each.answers) for each in runs if each.way == way)


def _ready_time(runs: Sequence[Run]) -> float:
    return median(each.ready for each in runs if each.way == "xlingual")


def describe(options: argparse.Namespace, rates: Mapping[str, float], seconds: float) -> str:
    """Return the head of the report."""
    import torch

    threads = options.threads or torch.get_num_threads()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    lines = [
        "# Benchmarks",
        "",
        "The engine against its peers: same prompts, model, dtype and threads, each run a process of its own, loading",
        "not counted. Once for a loaded model the engine lays out its weights and is verified: `ready s`, a part of",
        "loading that its peers do not have, so that the goals are given both without and with it. Wall and processor",
        "seconds are medians of the runs. Every way answers each workload once; after that only the engine and HFLM at",
        "its best batch size of 8, 16, 32 run again. Plain `generate` and transformers' batching (`continuous`) answer",
        "the first prompts only, as many as `prompts` says, and are compared by their seconds for a prompt. Written by",
        "`make bench DOCS=1`.",
        "",
        f"- Machine: {_processor()}, {threads} threads, {_memory_gib():.0f} GiB, {platform.platform(terse=True)}",
        f"- Software: Python {platform.python_version()}, {versions}",
        f"- Model: {options.model}, {options.dtype or 'float32'} on {options.device or 'cpu'}; "
        f"data: {'original files' if options.data else 'the packaged sample'}",
        f"- Repetitions: {options.repetitions}; the last part of the run took {seconds / 60:.0f} minutes",
        "- Rates measured in this run: "
        + ", ".join(
            f"{name} {rate / 1e9:.0f} {'GB/s' if name == 'read' else 'GFLOP/s'}" for name, rate in rates.items()
        ),
        "",
        "Floor: the operations that the answers need (every distinct prompt token once, every answer token once,",
        "attention left out) over the rate of a large product. Roofline: the same, with the weights read anew for each",
        "token of the longest answer.",
        "",
    ]
    return "\n".join(lines)


def table(runs: Sequence[Run], rates: Mapping[str, float]) -> str:
    """Return a table for each workload: seconds, memory, ratio to the best HFLM, same answers, share of the floor."""
    parts = []
    for workload in (*WORKLOADS, *HELD_OUT):
        mine = [each for each in runs if each.workload == workload.name]
        if mine:
            parts.append(_table_of(f"{workload.about}, {len(mine[0].answers)} prompts", mine, rates))
    return "\n".join(parts)


def _table_of(title: str, runs: Sequence[Run], rates: Mapping[str, float]) -> str:
    work = _work(runs)
    floor, roof = floor_seconds(work, rates), roofline_seconds(work, rates)
    best = best_peer(runs) or "xlingual"
    expected = next(each.answers for each in runs if each.way == best)
    lines = [
        f"## {title}",
        "",
        f"{work['prompt_tokens']} prompt tokens, {work['distinct_tokens']} of them distinct; "
        f"{work['answer_tokens']} answer tokens. Floor {floor:.1f} s, roofline {roof:.1f} s.",
        "",
        f"| way | prompts | runs | ready s | wall s | spread | cpu s | GiB | wall, {best} = 1 | cpu | same answers "
        "| of floor |",
        "|" + "---|" * 12,
    ]
    for way in dict.fromkeys(each.way for each in runs):
        group = [each for each in runs if each.way == way]
        times = [each.wall for each in group]
        count = len(group[0].answers)
        wall, busy = _wall(runs, way), _processor_time(runs, way)
        same = min(sum(expected[key] == text for key, text in run.answers.items()) for run in group)
        ready = median(each.ready for each in group)
        lines.append(
            f"| {way} | {count} | {len(group)} | {ready:.1f} | {wall * count:.1f} | {min(times):.1f}-{max(times):.1f} "
            f"| {busy * count:.1f} | {max(each.peak for each in group):.2f} | {_wall(runs, best) / wall:.2f}x "
            f"| {_processor_time(runs, best) / busy:.2f}x | {same}/{count} "
            f"| {100 * floor / (wall * len(expected)):.0f}% |"
        )
    return "\n".join([*lines, ""])


def _work(runs: Sequence[Run]) -> Mapping[str, Any]:
    return next(each.work for each in runs if each.work is not None)


def goals(runs: Sequence[Run], rates: Mapping[str, float]) -> str:
    """Return a table of the goals that were measured: which hold, and whether the memory is no more than HFLM's."""
    lines = [
        "## Goals",
        "",
        "| workload | goal | measured, wall | cpu | wall with verification | holds | peak not above HFLM's |",
        "|" + "---|" * 7,
    ]
    for workload in WORKLOADS:
        mine = [each for each in runs if each.workload == workload.name]
        best = best_peer(mine)
        if best is None or not any(each.way == "xlingual" for each in mine):
            continue
        wall = _wall(mine, best) / _wall(mine, "xlingual")
        busy = _processor_time(mine, best) / _processor_time(mine, "xlingual")
        whole = _ready_time(mine) + _wall(mine, "xlingual") * len(mine[0].answers)
        slower = _wall(mine, best) * len(mine[0].answers) / whole
        goal = GOALS[workload.name]
        ours, theirs = (max(each.peak for each in mine if each.way == way) for way in ("xlingual", best))
        holds, fits = _yes(min(wall, busy) >= goal), _yes(ours <= theirs)
        lines.append(
            f"| {workload.about} | {goal:g}x | {wall:.2f}x | {busy:.2f}x | {slower:.2f}x | {holds} "
            f"| {fits}: {ours:.2f} against {theirs:.2f} GiB |"
        )
        if workload.name == FLOOR_GOAL[0]:
            floor = floor_seconds(_work(mine), rates)
            share = floor / (_wall(mine, "xlingual") * len(mine[0].answers))
            lines.append(
                f"| {workload.about}, share of the floor | {FLOOR_GOAL[1]:.0%} | {share:.0%} | "
                f"| {floor / whole:.0%} | {_yes(share >= FLOOR_GOAL[1])} | |"
            )
    return "\n".join([*lines, ""])


def _yes(holds: bool) -> str:
    return "yes" if holds else "**no**"


def agreement(runs: Sequence[Run], halves: Sequence[Run]) -> str:
    """Return how many answers are the same in bfloat16."""
    lines = ["## bfloat16", ""]
    for half in halves:
        whole = next(each for each in runs if each.workload == half.workload and each.way == "xlingual")
        same = sum(whole.answers.get(key) == text for key, text in half.answers.items())
        lines.append(
            f"- {half.workload}: {same} of {len(half.answers)} answers are those of float32 ({half.wall:.1f} s, "
            f"{half.peak:.2f} GiB)."
        )
    return "\n".join([*lines, ""]) if halves else ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    wide = " with AVX-512" if "avx512f" in found.get("flags", "") else ""
    name, family, model = (found.get(key, "?") for key in ("model name", "cpu family", "model"))
    return f"{name} (family {family}, model {model}){wide}"


def _memory_gib() -> float:
    return float(part("cgroup").total_bytes()) / 2**30
