"""The paged engine on a GPU against its peers: correctness first, then seconds. One command, under ten minutes.

    make bench GPU=1                                       # on a machine with a GPU: writes docs/benchmarks-gpu.md
    python -m bench.gpu --dry [--write FILE]               # anywhere: tiny models, the same code

Models have random weights in the shapes of Llama 3, made on the device, and a tokenizer made on the spot, so nothing is
downloaded. Prompts have the shapes of XQuAD, XQuAD 5-shot and Flores as real runs have them.
"""

import argparse
import gc
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .correctness import Agreement, compare_ways
from .models import SHAPES, STOPS, make_model, prompt_tokens
from .report import Timing, page, timing_table
from .traces import Trace, make_prompts, read_traces
from .ways import NO_HFLM, WAYS, WayError, open_paged, rendered

STOP_OF = {"xquad": "\n", "few-shot": "\n", "flores": "§"}
PEERS = ("hflm:128", "continuous:256", "vllm:256")
PLAIN = "static:128"
"""In the place of HFLM where lm_eval is not installed: the same `generate`, batched in the same way."""
PAGED = "paged:256"
CHECKED_TOKENS = 24
"""Of each answer that is compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is run."""

    device: str
    models: tuple[str, ...]
    traces: tuple[str, ...]
    count: int
    """Prompts of a workload."""
    checked: int
    """Prompts of the comparison of answers."""
    peers: tuple[str, ...]
    repetitions: int
    scale: float = 1.0
    """Of the lengths of prompts."""


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="bench.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dry", action="store_true", help="tiny models on the CPU; so it is where there is no GPU")
    parser.add_argument("--models", nargs="+", choices=sorted(SHAPES), default=["8B", "1B"])
    parser.add_argument("--workloads", nargs="+", choices=sorted(STOP_OF), default=list(STOP_OF))
    parser.add_argument("--peers", nargs="*", default=list(PEERS), help="WAY:ROWS")
    parser.add_argument("--count", type=int, default=512, help="prompts of a workload")
    parser.add_argument("--checked", type=int, default=16, help="prompts whose answers are compared")
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--write", type=Path, help="write the page to this file as well")
    return parser.parse_args(words)


def plan_of(options: argparse.Namespace) -> Plan:
    """Return what to run here."""
    import torch

    if options.dry or not torch.cuda.is_available():
        if options.write and not options.dry:
            _say(f"no GPU here: a dry run, {options.write} is left as it is")
            options.write = None
        return Plan(
            device="cpu", models=("tiny",), traces=tuple(options.workloads), count=6, checked=4,
            peers=tuple(options.peers), repetitions=1, scale=0.1,
        )  # fmt: skip
    return Plan(
        device="cuda:0", models=tuple(options.models), traces=tuple(options.workloads), count=options.count,
        checked=options.checked, peers=tuple(options.peers), repetitions=options.repetitions,
    )  # fmt: skip


def main() -> None:
    """Run it all, and print the page."""
    from ..model_gpu import predictions

    warnings.simplefilter("ignore")
    options = parse(sys.argv[1:])
    plan = plan_of(options)
    agreements = check_answers(plan)
    timings: list[Timing] = []
    report = ""
    for model in plan.models:
        timings += time_model(plan, model)
        # After each model: what has been measured is kept, whatever comes.
        report = page(plan.device, agreements, timings, predictions())
        if options.write:
            options.write.parent.mkdir(parents=True, exist_ok=True)
            options.write.write_text(report, encoding="utf-8")
    sys.stdout.write("\n" + report)
    if any(each.wrong for each in agreements):
        sys.exit("answers are wrong: see the table")


def check_answers(plan: Plan) -> list[Agreement]:
    """Compare the answers of all engines, in float32 and in bfloat16."""
    import torch

    trace = next(each for each in read_traces() if each.name == plan.traces[0])
    found: list[Agreement] = []
    for name in dict.fromkeys(("tiny", plan.models[-1])):
        for dtype in (torch.float32, torch.bfloat16):
            loaded = make_model(SHAPES[name], plan.device, dtype)
            prompts = prompts_of(replace(trace, max_new_tokens=CHECKED_TOKENS), plan.checked, name, plan.scale)
            ways = ("paged", "static", "packed") if dtype == torch.float32 else ("paged", "static")
            found += compare_ways(name, loaded, prompts, ways)
            for each in found[-len(ways) :]:
                same = f"{each.same} of {each.prompts} the same, {each.ties} ties"
                _say(f"{name} {each.dtype} {each.way}: {same} {each.note}")
            del loaded
            _free()
    return found


@dataclass(slots=True)
class Stopwatch:
    """Times the ways of answering with one model."""

    plan: Plan
    model: str
    refused: dict[str, str] = field(default_factory=dict)
    """Ways that cannot answer here, and why; they are asked once."""
    warm: set[str] = field(default_factory=set)
    """Ways that have answered before: what they compile or allocate once is done."""

    def time(self, way: str, trace: Trace, prompts: Sequence[Any], loaded: Any, ready: float = 0.0) -> Timing:  # noqa: ANN401 - of the backend
        """Answer a workload in a way such as "hflm:128"; `ready` are seconds that it has taken before."""
        name, _, rows = way.partition(":")
        seconds: list[float] = []
        tokens, peak, note = 0, 0.0, self.refused.get(name, "")
        if not note:
            began = time.perf_counter()
            try:
                self._warm_up(name, prompts, loaded, int(rows))
                ready += time.perf_counter() - began
                _reset_peak(self.plan.device)
                for _ in range(self.plan.repetitions if name == "paged" else 1):
                    began = time.perf_counter()
                    texts = WAYS[name](loaded, prompts, int(rows))
                    _wait(self.plan.device)
                    seconds.append(time.perf_counter() - began)
                tokens = sum(len(each.split()) + 1 for each in texts.values())
                peak = _peak(self.plan.device)
            except WayError as error:
                note = str(error)
            except Exception as error:  # noqa: BLE001 - a peer's error is its result
                note = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            if note:
                self.refused[name] = note
        timing = Timing(
            model=self.model,
            workload=trace.about,
            way=way,
            prompts=len(prompts),
            seconds=() if note else tuple(seconds),
            note=note,
            ready=ready,
            prompt_tokens=sum(len(each.ids) for each in prompts),
            answer_tokens=tokens,
            peak=peak,
        )
        _say(timing_table([timing]).splitlines()[-1])
        return timing

    def _warm_up(self, name: str, prompts: Sequence[Any], loaded: Any, rows: int) -> None:  # noqa: ANN401 - of the backend
        if name == "paged":  # its graphs are captured for as many rows as run
            WAYS[name](loaded, prompts[:rows], rows)
        elif name not in self.warm:
            WAYS[name](loaded, prompts[:4], rows)
        self.warm.add(name)
        _wait(self.plan.device)


def time_model(plan: Plan, name: str) -> list[Timing]:
    """Time the peers, then the paged engine, which takes the memory that is left, on every workload."""
    import torch

    loaded = make_model(SHAPES[name], plan.device, torch.bfloat16)
    chosen = [each for each in read_traces() if each.name in plan.traces]
    workloads = [(trace, prompts_of(trace, plan.count, name, plan.scale)) for trace in chosen]
    watch, found = Stopwatch(plan, name), []
    for peer in plan.peers:
        found += [watch.time(peer, trace, prompts, loaded) for trace, prompts in workloads]
        _free()
    if NO_HFLM in watch.refused.values():
        found += [watch.time(PLAIN, trace, prompts, loaded) for trace, prompts in workloads]
    began = time.perf_counter()
    try:
        loaded = open_paged(loaded)
        _say(loaded.paged.choice.said)
    except WayError as error:
        watch.refused["paged"] = str(error)
    ready = time.perf_counter() - began
    for trace, prompts in workloads:
        found.append(watch.time(PAGED, trace, prompts, loaded, ready))
        ready = 0.0
    del loaded
    _free()
    return sorted(found, key=lambda each: each.workload)


def prompts_of(trace: Trace, count: int, model: str, scale: float) -> list[Any]:
    """Return prompts in the shape of a trace."""
    ids = make_prompts(trace, count, prompt_tokens(SHAPES[model].vocabulary), scale)
    stop = STOP_OF[trace.name]
    if stop not in STOPS:
        raise ValueError(f"no word of the vocabulary ends with {stop!r}")
    return rendered(ids, trace, stop)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _free() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _wait(device: str) -> None:
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def _reset_peak(device: str) -> None:
    import torch

    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: str) -> float:
    import torch

    return torch.cuda.max_memory_allocated(device) / 2**30 if device.startswith("cuda") else 0.0


if __name__ == "__main__":
    main()
