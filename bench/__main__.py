"""Seconds and memory of the engine against its peers: same prompts, model, dtype and threads, in one process tree.

    python -m bench [--data DIR] [--workloads en zh ...] [--repetitions 3] [--write docs/benchmarks.md]

Every way answers each workload once; then the engine and HFLM at the batch size that was its best take turns until
both have `--repetitions` runs: about an hour on two quiet cores. Each run is a process of its own; loading is not
counted. Ways: `xlingual`, `hflm:ROWS`, `generate:ROWS` (transformers, sorted by length), `paged` (transformers'
continuous batching).
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .floor import measure_rates
from .report import Run, agreement, describe, table
from .workloads import NAMES, WORKLOADS

WAYS = ("xlingual", "hflm:8", "hflm:16", "hflm:32", "generate:16", "paged")
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def parse(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="original files; default: ../shared/data, else the packaged sample")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--workloads", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), help="xlingual must be among them")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--device")
    parser.add_argument("--dtype")
    parser.add_argument("--write", type=Path, help="write the report to this file as well")
    parser.add_argument("--no-precision", dest="precision", action="store_false", help="leave bfloat16 out")
    return parser.parse_args(words)


def main() -> None:
    """Measure, and print the report."""
    options = parse(sys.argv[1:])
    options.data = options.data or (DATA if DATA.is_dir() else None)
    began = time.time()
    rates = measure_rates()
    runs: list[Run] = []
    for name in options.workloads:
        runs += measure_workload(options, name)
    halves = halves_of(options, runs) if options.precision else []
    report = "\n".join([describe(options, rates, time.time() - began), table(runs, rates), agreement(runs, halves), ""])
    sys.stdout.write("\n" + report)
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text(report, encoding="utf-8")


def measure_workload(options: argparse.Namespace, name: str) -> list[Run]:
    """Run every way once, then the engine and the best HFLM in turn."""
    runs = [run(options, name, way) for way in options.ways]
    peers = sorted((each for each in runs if each.way.startswith("hflm")), key=lambda each: each.wall)
    again = [way for way in options.ways if way == "xlingual"] + [each.way for each in peers[:1]]
    for _ in range(options.repetitions - 1):
        runs += [run(options, name, way) for way in again]
    return runs


def halves_of(options: argparse.Namespace, runs: list[Run]) -> list[Run]:
    """Run the engine in bfloat16 on the shortest and the translation workload that were measured."""
    names = [each.name for each in WORKLOADS if each.name in options.workloads and each.name in ("zh", "ende")]
    return [run(options, name, "xlingual", dtype="bfloat16") for name in names or options.workloads[:1]] if runs else []


def run(options: argparse.Namespace, workload: str, way: str, dtype: str | None = None) -> Run:
    """Measure one way once, in a process of its own."""
    order = {
        "way": way,
        "workload": workload,
        "model": options.model,
        "data": str(options.data) if options.data else None,
        "device": options.device,
        "dtype": dtype or options.dtype,
        "threads": options.threads and str(options.threads),
    }
    command = [sys.executable, "-m", "bench.one", json.dumps(order)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{workload} {way}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    result = Run(workload=workload, way=way, **found)
    sys.stderr.write(f"{workload} {way}: {result.wall:.1f} s, {result.peak:.2f} GiB\n")
    return result


main()
