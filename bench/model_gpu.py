"""A cost model of generation on a GPU: what each engine should reach, and what limits it. Prints tokens a second.

    python -m bench.model_gpu

A step takes the time to read the weights and the keys and values, plus that of its products, plus that of its small
kernels; or the host's time to launch it all, where that is longer. The efficiencies are those of published rows, which
`CHECKS` holds the model against: it shall be within a quarter of each. It tells orders of magnitude and what rules.
"""

import sys
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from .gpu.models import SHAPES, ModelShape
from .gpu.traces import Trace, read_traces


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """Rates of a GPU by its vendor: dense bfloat16 products and memory."""

    name: str
    products: float
    """TFLOP/s."""
    bandwidth: float
    """TB/s."""


GPUS = {
    each.name: each
    for each in (
        Gpu(name="A100-40", products=312, bandwidth=1.555),
        Gpu(name="A100-80 PCIe", products=312, bandwidth=1.935),
        Gpu(name="A100-80", products=312, bandwidth=2.039),
        Gpu(name="A6000", products=155, bandwidth=0.768),
        Gpu(name="H100", products=989, bandwidth=3.35),
        Gpu(name="H200", products=989, bandwidth=4.8),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """How an engine computes."""

    name: str
    small_kernels: int
    """Of a layer in a step: norms, rotations, writes and sums, each a kernel of `SMALL_KERNEL` seconds."""
    host: float
    """Seconds of the host for a layer of a step; 0 where it is launched ahead or as a graph."""
    host_mixed: float = 0.0
    """The same for a step in which prompts enter, where that is launched kernel by kernel."""
    host_row: float = 0.0
    """Seconds of the host for a row of a step: planning, stop strings. It is done while the device computes."""
    admission: int = 0
    """Prompts enter when one of so many rows is free; 0: as soon as any is."""
    kv_traffic: float = 1.0
    """How often keys and values are moved in a step: 1 where they are read and no more."""
    page: int = 0
    """Prompts share what they have in common in whole pages of so many tokens; 0: they share nothing."""
    is_static: bool = False
    """Whether a batch lasts until its longest answer is there."""


WEIGHTS_EFFICIENCY = 0.68
"""Share of the bandwidth at which weights are read."""
KV_EFFICIENCY = 0.6
PRODUCTS_EFFICIENCY = {"A100": 0.65, "H100": 0.6, "H200": 0.6, "A6000": 0.65}
"""Share of the rate of products, by how the name of the GPU begins."""
SMALL_KERNEL = 2.6e-6
"""Seconds of a small kernel in a graph, as measured on an H100."""

VLLM = Engine(name="vLLM", small_kernels=5, host=0.0, page=16)
PAGED = Engine(name="paged", small_kernels=10, host=0.0, host_mixed=0.75e-3, host_row=15e-6, admission=16, page=1)
UNFUSED = replace(PAGED, name="paged, norms and rotations not fused", small_kernels=30)
"""As it was measured on an H100."""
# DynamicCache copies all keys and values in every step (2), and repeats them for the query heads where there is a mask:
# read (1), written four times and read four times.
# The host's part is fitted to the one run that was measured on an H100.
HFLM = Engine(name="HFLM", small_kernels=34, host=2.2e-3, kv_traffic=11.0, is_static=True)
ENGINES = (PAGED, VLLM, HFLM)


@dataclass(frozen=True, slots=True)
class Call:
    """A request as the model counts it: tokens to compute of its prompt, tokens it shares, tokens of its answer."""

    own: int
    shared: int
    answer: int

    @property
    def prompt(self) -> int:
        """Tokens of the prompt."""
        return self.own + self.shared


@dataclass(slots=True)
class Cost:
    """Seconds of a run by what they go to."""

    weights: float = 0.0
    kv: float = 0.0
    products: float = 0.0
    small: float = 0.0
    host: float = 0.0
    """What the host takes longer than the device."""

    @property
    def total(self) -> float:
        """Seconds."""
        return self.weights + self.kv + self.products + self.small + self.host

    @property
    def limit(self) -> str:
        """What most of the time goes to."""
        parts = {
            "reading weights": self.weights, "keys and values": self.kv, "products": self.products,
            "small kernels": self.small, "the host": self.host,
        }  # fmt: skip
        return max(parts, key=lambda name: parts[name])


@dataclass(slots=True)
class Machine:
    """A model on a GPU under an engine; adds up what its steps cost."""

    shape: ModelShape
    gpu: Gpu
    engine: Engine
    cost: Cost = field(default_factory=Cost)

    def step(self, tokens: int, keys: int, logits: int, pairs: float, *, is_mixed: bool = False) -> None:
        """Add a step over `tokens`, that reads `keys` tokens' KV; `pairs` are the queries times the keys they see."""
        shape, gpu, cost = self.shape, self.gpu, self.cost
        efficiency = next(share for start, share in PRODUCTS_EFFICIENCY.items() if gpu.name.startswith(start))
        operations = 2.0 * (tokens * shape.layer_weights + logits * shape.head_weights)
        operations += 4 * shape.layers * shape.width * pairs
        weights = 2 * (shape.layer_weights + shape.head_weights) / (WEIGHTS_EFFICIENCY * gpu.bandwidth * 1e12)
        kv = self.engine.kv_traffic * keys * shape.kv_bytes / (KV_EFFICIENCY * gpu.bandwidth * 1e12)
        products = operations / (efficiency * gpu.products * 1e12)
        small = SMALL_KERNEL * self.engine.small_kernels * shape.layers
        cost.weights += weights
        cost.kv += kv
        cost.products += products
        cost.small += small
        host = (self.engine.host_mixed if is_mixed else self.engine.host) * shape.layers
        host += self.engine.host_row * logits
        cost.host += max(0.0, host - (weights + kv + products + small))


def run_continuous(machine: Machine, calls: Iterable[Call], rows: int, budget: int) -> Cost:
    """Answer with continuous batching: prompts enter beside decoding rows, up to `budget` tokens a step."""
    waiting = deque(calls)
    running: list[list[int]] = []
    """Of each row: keys it has, tokens of its answer that are missing."""
    while waiting or running:
        tokens, pairs = len(running), float(sum(keys for keys, _ in running))
        keys = sum(keys for keys, _ in running)
        entered: list[list[int]] = []
        enough = min(rows // machine.engine.admission, len(waiting)) if machine.engine.admission and running else 1
        may_enter = rows - len(running) >= enough
        while (
            may_enter
            and waiting
            and len(running) + len(entered) < rows
            and tokens + waiting[0].own <= max(budget, waiting[0].own)
        ):
            call = waiting.popleft()
            tokens += call.own
            pairs += call.own * (call.shared + call.own / 2)
            keys += call.prompt
            entered.append([call.prompt, call.answer])
        machine.step(tokens, keys, len(running) + len(entered), pairs, is_mixed=bool(entered))
        running = [[keys + 1, left - 1] for keys, left in (*running, *entered) if left > 1]
    return machine.cost


def run_static(machine: Machine, calls: Iterable[Call], rows: int, steps: int | None) -> Cost:
    """Answer in batches sorted by length, padded; `steps` where a batch lasts so long, else its longest answer."""
    ordered = sorted(calls, key=lambda call: -call.prompt)
    for first in range(0, len(ordered), rows):
        batch = ordered[first : first + rows]
        width, count = batch[0].prompt, len(batch)
        machine.step(count * width, count * width, count, count * width * width / 2)
        for done in range(1, steps or max(call.answer for call in batch)):
            machine.step(count, count * (width + done), count, count * (width + done))
    return machine.cost


def predict(shape: ModelShape, gpu: Gpu, engine: Engine, calls: Sequence[Call], rows: int) -> Cost:
    """Return what it costs to answer `calls` with up to `rows` at once."""
    machine = Machine(shape, gpu, engine)
    if engine.is_static:
        return run_static(machine, calls, rows, None)
    return run_continuous(machine, calls, rows, 8192)


def calls_of(trace: Trace, engine: Engine) -> list[Call]:
    """Return a trace as an engine meets it: what it shares depends on its pages."""
    found = []
    answers = trace.answers
    for number, (shared, length) in enumerate(trace.prompts):
        known = 0 if engine.page == 0 else min(shared // engine.page * engine.page, length - 1)
        # The answers are sorted; a stride that shares no factor with their number mixes them.
        found.append(Call(length - known, known, min(answers[number * 37 % len(answers)], trace.max_new_tokens)))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A published figure: `tokens` a second of output, of `count` requests."""

    source: str
    engine: Engine
    gpu: str
    shape: ModelShape
    prompt: int
    answer: int
    rows: int
    count: int
    tokens: float
    ignore_prompt: bool = False
    """Whether the figure is of decoding steps alone."""

    @property
    def predicted(self) -> float:
        """Tokens a second."""
        machine = Machine(self.shape, GPUS[self.gpu], self.engine)
        if self.ignore_prompt:  # the device's time
            machine.engine = replace(self.engine, host_row=0.0)
            machine.step(self.rows, self.rows * self.prompt, self.rows, self.rows * self.prompt)
            return self.rows / machine.cost.total
        calls = [Call(self.prompt, 0, self.answer)] * self.count
        if self.engine.is_static:
            return self.count * self.answer / run_static(machine, calls, self.rows, None).total
        return self.count * self.answer / run_continuous(machine, calls, self.rows, 8192).total


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCheck:
    """A run of the benchmark on an H100: the seconds of a workload."""

    engine: Engine
    model: str
    trace: str
    rows: int
    seconds: float

    @property
    def predicted(self) -> float:
        """Seconds."""
        [trace] = [each for each in read_traces() if each.name == self.trace]
        return predict(SHAPES[self.model], GPUS["H100"], self.engine, calls_of(trace, self.engine), self.rows).total


RUN_CHECKS = (
    RunCheck(engine=UNFUSED, model="8B", trace="few-shot", rows=256, seconds=1.44),
    RunCheck(engine=HFLM, model="8B", trace="xquad", rows=128, seconds=22.91),
)
LLAMA_8B = SHAPES["8B"]
QWEN3_8B = replace(LLAMA_8B, name="Qwen3-8B", layers=36, inner=12288, vocabulary=151_936)
CHECKS = (
    *(
        Check(
            source=f"H100, {name}, {rows} rows: a graph of a decoding step (measured, see below)", engine=UNFUSED,
            gpu="H100", shape=SHAPES[name], prompt=1, answer=1, rows=rows, count=rows, tokens=rows / step * 1e3,
            ignore_prompt=True,
        )
        for name, rows, step in (
            ("1B", 1, 2.49), ("1B", 32, 2.84), ("1B", 256, 3.66), ("8B", 1, 8.49), ("8B", 32, 9.41), ("8B", 256, 12.68),
        )
    ),
    Check(
        source="H100, 8B, 1,000 of ShareGPT (AIMultiple)", engine=VLLM, gpu="H100", shape=LLAMA_8B,
        prompt=220, answer=200, rows=1000, count=1000, tokens=12_553,
    ),
    *(
        Check(
            source=f"H100, 8B, {rows} at once: decoding step (yobitel)", engine=VLLM, gpu="H100", shape=LLAMA_8B,
            prompt=512, answer=1, rows=rows, count=rows, tokens=rows / step * 1e3, ignore_prompt=True,
        )
        for rows, step in ((1, 6.5), (4, 6.6))
    ),
    *(
        Check(
            source=f"A100-80 PCIe, Qwen3-8B, {rows} rows at {context}: decoding step (vllm#53060)", engine=VLLM,
            gpu="A100-80 PCIe", shape=QWEN3_8B, prompt=context, answer=1, rows=rows, count=rows,
            tokens=rows / step * 1e3, ignore_prompt=True,
        )
        for rows, context, step in (
            (1, 128, 11.4), (1, 32768, 14.6), (8, 128, 11.5), (8, 4096, 14.6), (8, 16384, 23.9), (32, 128, 12.5),
            (32, 4096, 28.2),
        )
    ),
    Check(
        source="A100-40, 8B, 1024/128, 1 at once (johnmusgrave)", engine=VLLM, gpu="A100-40", shape=LLAMA_8B,
        prompt=1024, answer=128, rows=1, count=4, tokens=75,
    ),
    Check(
        source="A100-40, 8B, 1024/128, 8 at once (johnmusgrave)", engine=VLLM, gpu="A100-40", shape=LLAMA_8B,
        prompt=1024, answer=128, rows=8, count=32, tokens=495,
    ),
    Check(
        source="A6000, 8B, 128/128 (vllm#4702)", engine=VLLM, gpu="A6000", shape=LLAMA_8B,
        prompt=128, answer=128, rows=256, count=1000, tokens=16.9 * 128,
    ),
    Check(
        source="A6000, 8B, 128/128, HF at 128 (vllm#4702)", engine=HFLM, gpu="A6000", shape=LLAMA_8B,
        prompt=128, answer=128, rows=128, count=512, tokens=8.9 * 128,
    ),
)  # fmt: skip


def checks_table() -> str:
    """Return the model's predictions beside the published figures."""
    lines = ["| published | engine | tokens/s | predicted | off by |", "|---|---|---|---|---|"]
    lines += [
        f"| {each.source} | {each.engine.name} | {each.tokens:,.0f} | {each.predicted:,.0f} "
        f"| {each.predicted / each.tokens - 1:+.0%} |"
        for each in CHECKS
    ]
    lines += [
        "",
        "| measured here: H100 | engine, rows | seconds | predicted | off by |",
        "|---|---|---|---|---|",
        *(
            f"| {each.model}, {each.trace} | {each.engine.name}, {each.rows} | {each.seconds:.2f} "
            f"| {each.predicted:.2f} | {each.predicted / each.seconds - 1:+.0%} |"
            for each in RUN_CHECKS
        ),
    ]
    return "\n".join(lines) + "\n"


def predictions_table(gpus: Sequence[str] = ("A100-80", "H100", "H200")) -> str:
    """Return what each engine should reach on each trace, and what limits it."""
    lines = [
        "| GPU | model | workload | engine, rows | answer tokens/s | prompts/s | limited by |",
        "|---|---|---|---|---|---|---|",
    ]
    for gpu in gpus:
        for name in ("1B", "8B", "70B"):
            for trace in read_traces():
                lines += [_line(gpu, SHAPES[name], trace, engine) for engine in ENGINES]
    return "\n".join(lines) + "\n"


def _line(gpu: str, shape: ModelShape, trace: Trace, engine: Engine) -> str:
    calls = calls_of(trace, engine)
    rows = 64 if engine.is_static else 256
    one = Gpu(name=GPUS[gpu].name, products=GPUS[gpu].products, bandwidth=GPUS[gpu].bandwidth)
    places, label = one, gpu
    if shape.name == "70B":  # its weights fit four GPUs: tensor parallel, without what the all-reduces cost
        places, label = replace(one, products=4 * one.products, bandwidth=4 * one.bandwidth), f"4x {gpu}"
    cost = predict(shape, places, engine, calls, rows)
    tokens = sum(call.answer for call in calls)
    return (
        f"| {label} | {shape.name} | {trace.about} | {engine.name}, {rows} | {tokens / cost.total:,.0f} "
        f"| {len(calls) / cost.total:,.0f} | {cost.limit} |"
    )


def predictions() -> str:
    """Return both tables, as the page has them."""
    return (
        "By `bench/model_gpu.py`, from bytes, operations and launches. Beside published figures:\n\n"
        f"{checks_table()}\nWhat it predicts here. Four GPUs of 70B are reckoned as one of four times the rates.\n\n"
        f"{predictions_table()}"
    )


if __name__ == "__main__":
    sys.stdout.write(predictions())
