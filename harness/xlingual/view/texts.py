"""Texts of samples in compressed chunks: prompts and golds once a task, answers once a run, up to a budget.

A chunk holds 256 rows as columns; columns that say nothing are left out. Small enough to be read in milliseconds when
it is needed, large enough to compress well.
"""

import base64
import gzip
import heapq
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..identity import Json
from .ordering import MainScores, Priority, TaskOrder
from .provenance import clean_text
from .samples import TaskExamples, read_places

CHUNK_ROWS = 256
_LEVEL = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTexts:
    """What the texts of a task are made of."""

    examples: TaskExamples
    order: TaskOrder
    golds: bool
    """Whether gold answers are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTexts:
    """What the texts of a run are made of."""

    task: int
    scores: MainScores
    rows: Sequence[int]
    """In the order of the page."""
    priorities: Sequence[Priority]


@dataclass(slots=True, kw_only=True)
class ChosenTexts:
    """The chunks that fit into the budget, as base64 text."""

    tasks: dict[tuple[int, int], str] = field(default_factory=dict)
    """By task and number of the chunk."""
    runs: dict[tuple[int, int], str] = field(default_factory=dict)
    """By run and number of the chunk; of each run the first ones."""
    size: int = 0
    """Bytes of all."""


def choose_texts(tasks: Sequence[TaskTexts], runs: Sequence[RunTexts | None], budget: int) -> ChosenTexts:
    """Return as many chunks as `budget` bytes hold: failures of all runs, disagreements, the rest.

    A run's next chunk enters with all chunks of prompts that it needs, or not at all; then the run is done.
    """
    chosen = ChosenTexts()
    layouts = [_layout(task) for task in tasks]
    waiting = [
        (each.priorities[each.rows[0]], 0, run) for run, each in enumerate(runs) if each is not None and each.rows
    ]
    heapq.heapify(waiting)
    while waiting and chosen.size < budget:
        _, chunk, number = heapq.heappop(waiting)
        run = runs[number]
        if run is None:
            continue
        rows = run.rows[chunk * CHUNK_ROWS : (chunk + 1) * CHUNK_ROWS]
        task = tasks[run.task]
        needed = {task.order.positions[run.scores.samples.examples[row]] // CHUNK_ROWS for row in rows}
        missing = sorted(each for each in needed if (run.task, each) not in chosen.tasks)
        own = encode(_own_columns(run, rows))
        shared = {
            (run.task, each): encode(_shared_columns(task, layouts[run.task][each * CHUNK_ROWS :][:CHUNK_ROWS]))
            for each in missing
        }
        size = len(own) + sum(map(len, shared.values()))
        if chosen.size + size > budget:
            continue
        chosen.size += size
        chosen.runs[number, chunk] = own
        chosen.tasks |= shared
        if following := run.rows[(chunk + 1) * CHUNK_ROWS :][:1]:
            heapq.heappush(waiting, (run.priorities[following[0]], chunk + 1, number))
    return chosen


def encode(value: Json) -> str:
    """Return `value` as JSON, compressed (gzip, with no time in it, so that equal values are equal bytes), in base64.

    Lone surrogates, which UTF-8 cannot hold, stay escapes.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    data = text.encode("utf-8", errors="backslashreplace")
    return base64.b64encode(gzip.compress(data, _LEVEL, mtime=0)).decode("ascii")


def _layout(task: TaskTexts) -> list[int]:
    """Return the examples of a task in its order."""
    layout = [0] * len(task.order.positions)
    for example, position in enumerate(task.order.positions):
        layout[position] = example
    return layout


def _shared_columns(task: TaskTexts, examples: Sequence[int]) -> Json:
    """Return what all runs share of some examples: id, golds, and every prompt that was sent."""
    places = [place for example in examples for place in task.examples.places[example]]
    lines = iter(read_places(places))
    rows = [[next(lines) for _ in task.examples.places[example]] for example in examples]
    return _columns(
        {
            "id": [row[0]["id"] for row in rows],
            "cluster": [row[0].get("cluster") for row in rows],
            "targets": [row[0].get("targets") if task.golds else None for row in rows],
            "prompts": [[_messages(line) for line in row] for row in rows],
            "choices": [_choices(row[0]) for row in rows],
        }
    )


def _messages(line: Mapping[str, Json]) -> Json:
    """Return the messages of a request as pairs of role and text."""
    messages = line.get("messages")
    if not isinstance(messages, list):
        return []
    return [[str(each.get("role")), str(each.get("text"))] for each in messages if isinstance(each, Mapping)]


def _choices(line: Mapping[str, Json]) -> Json:
    choices = line.get("choices")
    if not isinstance(choices, list):
        return None
    return [f"{each.get('before', '')}{each.get('text', '')}" for each in choices if isinstance(each, Mapping)]


def _own_columns(run: RunTexts, rows: Sequence[int]) -> Json:
    samples = run.scores.samples
    lines = read_places([samples.place(row) for row in rows])
    plain = ("answer", "finish", "thinking", "thinking_tokens", "shots_dropped", "passage_cut", "repeat")
    return _columns(
        {
            **{name: [line.get(name) for line in lines] for name in plain},
            "prompt": [samples.prompts[row] for row in rows],
            "failure": [_failure(line) for line in lines],
            "scored": [_scored(line) for line in lines],
            "seed": [_field(line, "sampling", "seed") for line in lines],
            "likelihoods": [_likelihoods(line) for line in lines],
            "rendered": [_rendered(line) for line in lines],
        }
    )


def _failure(line: Mapping[str, Json]) -> Json:
    """Return kind and message of a failure, without paths of the machine."""
    if line.get("failure") is None:
        return None
    return clean_text(f"{_field(line, 'failure', 'kind')}: {_field(line, 'failure', 'message')}")


def _scored(line: Mapping[str, Json]) -> Json:
    """Return the text that was scored; None where that is the whole answer, False where nothing was found in it."""
    if "scored" not in line:
        return None
    return False if line["scored"] is None else line["scored"]


def _likelihoods(line: Mapping[str, Json]) -> Json:
    found = line.get("likelihoods")
    if not isinstance(found, list):
        return None
    return [each.get("logarithm") for each in found if isinstance(each, Mapping)]


def _rendered(line: Mapping[str, Json]) -> Json:
    """Return what stood around the messages as the model read them; None where it is not known."""
    found = line.get("rendered")
    return [str(each) for each in found] if isinstance(found, list) else None


def _field(line: Mapping[str, Json], name: str, part: str) -> Json:
    value = line.get(name)
    return value.get(part) if isinstance(value, Mapping) else None


def _columns(columns: Mapping[str, Sequence[Json]]) -> Json:
    return {name: values for name, values in columns.items() if any(value not in (None, 0) for value in values)}
