"""Seconds and memory of the packed engine against batches of transformers' `generate`, on the same prompts.

    python bench/engine.py --data DIR [--model WORD] [--task xquad/en --limit 40 --shots 0]

Each way of answering runs in a process of its own, so that its peak memory is its own; loading is not counted. The
answers are compared with those of the first way. Ways: `static:ROWS`, `packed:ROWS`, `apart:ROWS` (packed, nothing
shared).
"""

import argparse
import importlib
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from xlingual.identity import Json
from xlingual.planning import RunSettings, parse_limit, plan_task
from xlingual.plugin import DataPlace, ModelOptions
from xlingual.records import Request
from xlingual.selection import open_model, select_tasks


def parse(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of original files; without it the packaged sample")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--task", default="xquad/en")
    parser.add_argument("--limit", default="40")
    parser.add_argument("--shots", type=int, default=0)
    parser.add_argument("--max-new-tokens", type=int, default=48)
    parser.add_argument("--stop", action="append", help="as in the run; none by default")
    parser.add_argument("--device")
    parser.add_argument("--dtype")
    parser.add_argument("--ways", nargs="+", default=["static:16", "static:32", "packed:32", "packed:64"])
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def measure(options: argparse.Namespace) -> Json:
    """Answer the prompts in the one way of `options`, and return what it took."""
    way, _, rows = options.ways[0].partition(":")
    generation = importlib.import_module("xlingual.plugins.models.hf.generation")
    engine_of = importlib.import_module("xlingual.plugins.models.hf.engine")
    support = importlib.import_module("xlingual.plugins.models.hf.support")
    loading = importlib.import_module("xlingual.plugins.models.hf.loading")
    rendering = importlib.import_module("xlingual.plugins.models.hf.rendering")
    choice = ModelOptions(device=options.device, dtype=options.dtype)
    opened = open_model(options.model, choice)
    requests = requests_of(options, opened)
    description = getattr(opened, "inner", opened).description  # type: ignore[union-attr]  # of the backend hf
    prompts = rendering.render(description.tokenizer, requests, description.vocabulary)
    engine = loading.load(description, choice)
    seconds: list[float] = []
    processor: list[float] = []
    for _ in range(options.repeat):
        limit = generation.RowLimit(rows=int(rows))
        wall, busy = time.perf_counter(), time.process_time()
        if way == "static":
            responses = list(generation.generate(engine, prompts, limit))
        else:
            longest = max(len(each.ids) + each.request.max_new_tokens for each in prompts)
            if not support.is_supported(engine, longest):
                sys.exit("the engine does not support this model")
            responses = list(engine_of.generate_packed(engine, prompts, limit, share=way == "packed"))
        seconds.append(time.perf_counter() - wall)
        processor.append(time.process_time() - busy)
    return {
        "seconds": sorted(seconds)[len(seconds) // 2],
        "processor": sorted(processor)[len(processor) // 2],
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "answers": {each.key: [each.text, each.tokens, str(each.finish)] for each in responses},
        "prompt_tokens": sum(len(each.ids) for each in prompts),
        "failures": sum(each.failure is not None for each in responses),
    }


def requests_of(options: argparse.Namespace, model: object) -> list[Request]:
    """Return the requests of a run, rendered as a run renders them."""
    [task] = select_tasks([options.task], [])
    settings = RunSettings(
        place=DataPlace(folder=options.data, sample=options.data is None, offline=True),
        out=Path("unused"),
        shots=options.shots,
        max_new_tokens=options.max_new_tokens,
        stop=tuple(options.stop) if options.stop else None,
        limit=parse_limit(options.limit),
    )
    plan = plan_task(task, model, settings)  # type: ignore[arg-type]  # opened by the same registry
    return [each.request for each in plan.fitted]


def main() -> None:
    """Print a table: seconds, processor seconds, peak memory, agreement, all against the first way."""
    words = sys.argv[1:]
    options = parse(words)
    if options.one:
        sys.stdout.write(json.dumps(measure(options)))
        return
    first: dict[str, Any] = {}
    line = "{:<12}{:>9}{:>10}{:>8}{:>8}{:>10}\n"
    sys.stdout.write(line.format("way", "wall s", "cpu s", "GiB", "ratio", "same"))
    for way in options.ways:
        command = [sys.executable, __file__, *words, "--one", "--ways", way]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        first = first or found
        same = sum(found["answers"].get(key) == answer for key, answer in first["answers"].items())
        ratio = first["seconds"] / found["seconds"]
        figures = (f"{found['seconds']:.1f}", f"{found['processor']:.1f}", f"{found['peak']:.2f}", f"{ratio:.2f}x")
        sys.stdout.write(line.format(way, *figures, f"{same}/{len(first['answers'])}"))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
