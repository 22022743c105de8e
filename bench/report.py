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
from .workloads import WORKLOADS

PACKAGES = ("torch", "transformers", "lm-eval")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measurement."""

    workload: str
    way: str
    wall: float
    """Seconds."""
    processor: float
    """Seconds of all threads."""
    peak: float
    """GiB of the process (on a GPU: of its allocations)."""
    answers: Mapping[str, str | None]
    work: Mapping[str, Any] | None
    """What the answers need, told by the engine's runs."""


def describe(options: argparse.Namespace, rates: Mapping[str, float], seconds: float) -> str:
    """Return the head of the report."""
    import torch

    threads = options.threads or torch.get_num_threads()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    lines = [
        "# Benchmarks",
        "",
        "The engine against its peers: same prompts, model, dtype and threads, each run a process of its own, loading",
        "not counted. Wall and processor seconds are medians of the runs. HFLM gets the batch size of 8, 16, 32 that",
        "is its best, and only that one more than one run. Written by `make bench DOCS=1`.",
        "",
        f"- Machine: {_processor()}, {threads} threads, {_memory_gib():.0f} GiB, {platform.platform(terse=True)}",
        f"- Software: Python {platform.python_version()}, {versions}",
        f"- Model: {options.model}, {options.dtype or 'float32'} on {options.device or 'cpu'}; "
        f"data: {'original files' if options.data else 'the packaged sample'}",
        f"- Repetitions: {options.repetitions}; the whole took {seconds / 60:.0f} minutes",
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
    for workload in WORKLOADS:
        mine = [each for each in runs if each.workload == workload.name]
        if mine:
            parts.append(_table_of(f"{workload.about}, {len(mine[0].answers)} prompts", mine, rates))
    return "\n".join(parts)


def _table_of(title: str, runs: Sequence[Run], rates: Mapping[str, float]) -> str:
    ways = list(dict.fromkeys(each.way for each in runs))
    groups = {way: [each for each in runs if each.way == way] for way in ways}
    walls = {way: median(each.wall for each in group) for way, group in groups.items()}
    work = next(each.work for each in runs if each.work is not None)
    floor, roof = floor_seconds(work, rates), roofline_seconds(work, rates)
    peers = [way for way in ways if way.startswith("hflm")]
    best = min(peers, key=walls.__getitem__) if peers else "xlingual"
    processor = median(each.processor for each in groups[best])
    expected = groups[best][0].answers
    lines = [
        f"## {title}",
        "",
        f"{work['prompt_tokens']} prompt tokens, {work['distinct_tokens']} of them distinct; "
        f"{work['answer_tokens']} answer tokens. Floor {floor:.1f} s, roofline {roof:.1f} s.",
        "",
        f"| way | runs | wall s | spread | cpu s | GiB | wall, {best} = 1 | cpu | same answers | of floor |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for way, group in groups.items():
        wall, busy = walls[way], median(each.processor for each in group)
        times = [each.wall for each in group]
        same = min(sum(run.answers.get(key) == text for key, text in expected.items()) for run in group)
        lines.append(
            f"| {way} | {len(group)} | {wall:.1f} | {min(times):.1f}-{max(times):.1f} | {busy:.1f} "
            f"| {max(each.peak for each in group):.2f} | {walls[best] / wall:.2f}x | {processor / busy:.2f}x "
            f"| {same}/{len(expected)} | {100 * floor / wall:.0f}% |"
        )
    return "\n".join([*lines, ""])


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
    import psutil

    return float(psutil.virtual_memory().total) / 2**30
