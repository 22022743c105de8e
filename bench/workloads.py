"""What is measured: some prompts of a task, rendered as a run renders them."""

from dataclasses import dataclass
from pathlib import Path

from xlingual.planning import RunSettings, parse_limit, plan_task
from xlingual.plugin import DataSource, Model
from xlingual.records import Request
from xlingual.selection import select_tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The first `count` examples of a task, one line each."""

    name: str
    about: str
    task: str
    count: int
    shots: int
    max_new_tokens: int


WORKLOADS = (
    Workload(name="en", about="XQuAD en, 0-shot", task="xquad/en", count=128, shots=0, max_new_tokens=48),
    Workload(name="zh", about="XQuAD zh, 0-shot", task="xquad/zh", count=20, shots=0, max_new_tokens=48),
    Workload(name="en2", about="XQuAD en, 2-shot", task="xquad/en", count=40, shots=2, max_new_tokens=48),
    Workload(name="en5", about="XQuAD en, 5-shot", task="xquad/en", count=12, shots=5, max_new_tokens=48),
    Workload(name="ende", about="Flores-101 en-de", task="flores101/en-de", count=64, shots=0, max_new_tokens=96),
)
HELD_OUT = (
    Workload(name="es", about="XQuAD es, 0-shot", task="xquad/es", count=40, shots=0, max_new_tokens=48),
    Workload(name="tr", about="XQuAD tr, 0-shot", task="xquad/tr", count=32, shots=0, max_new_tokens=48),
    Workload(name="vi", about="XQuAD vi, 0-shot", task="xquad/vi", count=24, shots=0, max_new_tokens=48),
    Workload(name="enes", about="Flores-101 en-es", task="flores101/en-es", count=64, shots=0, max_new_tokens=96),
    Workload(name="tren", about="Flores-101 tr-en", task="flores101/tr-en", count=64, shots=0, max_new_tokens=96),
)
"""Languages and directions on which no setting of the engine was ever chosen; keep it so."""
NAMES = tuple(each.name for each in WORKLOADS)
HELD_OUT_NAMES = tuple(each.name for each in HELD_OUT)
SLICES = {"generate": (4, 8), "continuous": (16, 4)}
"""Ways that answer only one prompt in so many, but at least so many: they were never the best, and minutes are dear."""


def slice_of(way: str, count: int) -> int:
    """Return how many of `count` prompts `way` answers, the first ones."""
    share, least = SLICES.get(way.partition(":")[0], (1, count))
    return min(count, max(least, count // share))


def requests_of(workload: Workload, model: Model, data: Path | None, count: int) -> list[Request]:
    """Return the first `count` requests of `workload`; without `data` those of the packaged sample."""
    [task] = select_tasks([workload.task], [])
    settings = RunSettings(
        data_source=DataSource(folder=data, sample=data is None, offline=True),
        out=Path("unused"),
        shots=workload.shots,
        max_new_tokens=workload.max_new_tokens,
        stop=("\n",),
        limit=parse_limit(str(count)),
    )
    return [each.request for each in plan_task(task, model, settings).fitted]
