"""Seconds and memory of the engine against its peers: same prompts, model, dtype and threads, in one process tree.

    python -m bench [--data DIR] [--workloads en zh ...] [--repetitions 3] [--write docs/benchmarks.md]
    python -m bench --held-out --write docs/benchmarks.md

Every way answers each workload once, some only a slice of it; then the engine and HFLM at the batch size that was its
best take turns until both have `--repetitions` runs: some 40 minutes on two quiet cores, reckoned from single runs.
Each run is a process of its own; loading is not counted, verification is told apart. Ways: `xlingual`,
`hflm:ROWS`, `generate:ROWS` (transformers, sorted by length), `continuous` (transformers' continuous batching). With
`--runs FILE` every run is kept as it is made; what the file holds is not measured again. `--held-out` measures
languages and directions that no setting was chosen on, the engine and HFLM only, and writes only that section.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .floor import measure_rates
from .held_out import held_out_section, section_of, with_section
from .report import Run, agreement, best_peer, describe, goals, table
from .workloads import HELD_OUT_NAMES, NAMES

WAYS = ("xlingual", "hflm:8", "hflm:16", "hflm:32", "generate:16", "continuous")
NOTES = Path(__file__).with_name("notes.md")
"""What no measurement tells: where the time goes, and what was tried. Ends the report."""
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def parse(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="original files; default: ../shared/data, else the packaged sample")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--workloads", nargs="+", choices=NAMES + HELD_OUT_NAMES, default=list(NAMES))
    parser.add_argument("--held-out", action="store_true", help="measure what no setting was chosen on")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), help="xlingual must be among them")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--device")
    parser.add_argument("--dtype")
    parser.add_argument("--write", type=Path, help="write the report to this file as well")
    parser.add_argument("--runs", type=Path, help="keep the runs in this file, and go on where it ends")
    parser.add_argument("--no-precision", dest="precision", action="store_false", help="leave bfloat16 out")
    options = parser.parse_args(words)
    if options.held_out:
        chosen = [each for each in options.workloads if each in HELD_OUT_NAMES]
        options.workloads = chosen or list(HELD_OUT_NAMES)
        options.ways = [each for each in options.ways if each.startswith(("xlingual", "hflm"))]
    return options


def main() -> None:
    """Measure, and print the report."""
    options = parse(sys.argv[1:])
    options.data = options.data or (DATA if DATA.is_dir() else None)
    began = time.time()
    kept = _read(options.runs)
    rates = kept.rates or measure_rates()
    _keep(options.runs, {} if kept.rates else {"rates": rates})
    for name in options.workloads:
        measure_workload(options, name, kept)
    whole = list(kept.made)
    written = options.write.read_text(encoding="utf-8") if options.write and options.write.is_file() else ""
    if options.held_out:
        section = held_out_section(whole, rates)
        finish(options, section, with_section(written, section))
        return
    halves = halves_of(options, kept) if options.precision else []
    parts = [describe(options, rates, time.time() - began), table(whole, rates), goals(whole, rates)]
    notes = NOTES.read_text(encoding="utf-8")
    report = "\n".join([*parts, agreement(whole, halves), section_of(written), notes])
    finish(options, report, report)


def finish(options: argparse.Namespace, shown: str, page: str) -> None:
    """Print what was measured, and write the page where one is asked for."""
    sys.stdout.write("\n" + shown)
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text(page, encoding="utf-8")


@dataclass(slots=True)
class Kept:
    """What has been measured, before and now."""

    rates: dict[str, float] | None = None
    earlier: list[Run] = field(default_factory=list)
    """Runs of the file that nobody asked for yet."""
    made: list[Run] = field(default_factory=list)


def measure_workload(options: argparse.Namespace, name: str, kept: Kept) -> None:
    """Run every way once, then the engine and the best HFLM in turn."""
    runs = [run(options, name, way, kept) for way in options.ways]
    again = ["xlingual"] if "xlingual" in options.ways else []
    again += [best] if (best := best_peer(runs)) else []
    for _ in range(options.repetitions - 1):
        for way in again:
            run(options, name, way, kept)


def halves_of(options: argparse.Namespace, kept: Kept) -> list[Run]:
    """Run the engine in bfloat16 on the shortest workload that was measured."""
    name = "zh" if "zh" in options.workloads else options.workloads[0]
    return [run(options, name, "xlingual", kept, dtype="bfloat16")]


def run(options: argparse.Namespace, workload: str, way: str, kept: Kept, dtype: str | None = None) -> Run:
    """Measure one way once, in a process of its own, or take a run of the file."""
    wanted = (workload, way, dtype or options.dtype)
    for earlier in kept.earlier:
        if (earlier.workload, earlier.way, earlier.dtype) == wanted:
            kept.earlier.remove(earlier)
            kept.made.append(earlier)
            return earlier
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
    result = Run(workload=workload, way=way, dtype=dtype or options.dtype, **found)
    sys.stderr.write(f"{workload} {way}: {result.wall:.1f} s, {result.peak:.2f} GiB\n")
    kept.made.append(result)
    _keep(options.runs, asdict(result))
    return result


def _read(path: Path | None) -> Kept:
    kept = Kept()
    if path is not None and path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            found = json.loads(line)
            if "rates" in found:
                kept.rates = found["rates"]
            else:
                kept.earlier.append(Run(**found))
    return kept


def _keep(path: Path | None, found: dict[str, Any]) -> None:
    if path is not None and found:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")


main()
