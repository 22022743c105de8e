"""Scores for the README of a model on the Hugging Face hub: a `model-index` section a model."""

import json
from collections.abc import Iterator, Mapping

from ...escape import LINE_LENGTH, show_hidden
from ...identity import Json
from ..collection import Collection
from ..rows import Board
from .entries import Entry, board_entries
from .table import LEVEL

_TASK_TYPES: Mapping[str, tuple[str, str]] = {
    "containment": ("question-answering", "Question answering"),
    "mlqa": ("question-answering", "Question answering"),
    "squad": ("question-answering", "Question answering"),
    "bleu": ("translation", "Translation"),
    "spbleu": ("translation", "Translation"),
    "chrf": ("translation", "Translation"),
    "accuracy": ("multiple-choice", "Multiple choice"),
}
"""Beginning of a metric's name -> the hub's task."""
_HUB_METRICS: Mapping[str, str] = {"bleu": "bleu", "squad_em": "exact_match", "squad_f1": "f1"}
"""Metrics that are, to the digit, what the hub knows by that name; all others are named xlingual.NAME."""


SAMPLE = "xlingual-sample"
"""What the packaged sample is called instead of the benchmarks that it was taken from."""


def task_type(metric: str) -> tuple[str, str]:
    """Return the hub's task that a metric is of, and its name."""
    known = (names for start, names in _TASK_TYPES.items() if metric.startswith(start))
    return next(known, ("text-generation", "Text generation"))


def hub_metric(metric: str) -> str:
    """Return the hub's name of a metric, xlingual.NAME where it has none for the very same."""
    return _HUB_METRICS.get(metric, f"xlingual.{metric}")


def hub_dataset(entry: Entry) -> tuple[str, str] | None:
    """Return repository and subset of a task's data on the hub; None where we know none, and for the sample."""
    return None if entry.sample else hub_task_data(entry.task)


def hub_task_data(task: str) -> tuple[str, str] | None:
    """Return repository and subset of the data of a task on the hub; None where we know none."""
    family, _, variant = task.partition("/")
    if family == "xquad":
        return "google/xquad", f"xquad.{variant}"
    if family == "mlqa":
        context, _, question = variant.partition("-")
        return "facebook/mlqa", f"mlqa.{context}.{question or context}"
    return None


def dataset_name(entry: Entry) -> str:
    """Return the name of a task's data: "xquad/zh", or "xlingual-sample/xquad/zh"."""
    return f"{SAMPLE}/{entry.task}" if entry.sample else entry.task


def model_index(board: Board, collection: Collection, command: str) -> str:
    """Return a stream of YAML documents, one a model, each a section to paste between the `---` of its README.

    Only complete scores are results; a comment names what was left out. A result is one task in one protocol.
    """
    ranked = [each for each in board_entries(board, collection) if each.published]
    parts = []
    for label in dict.fromkeys(each.model for each in ranked):
        entries = [each for each in ranked if each.model == label]
        results: list[Json] = [_result(each) for each in entries if each.whole]
        comments = [f"{label}: made by {command}"]
        comments += [f"left out: {_describe(each)}" for each in entries if not each.whole]
        lines = [f"# {_safe(text)}" for text in comments]
        if results:
            lines += write_yaml({"model-index": [{"name": entries[0].spec.name or label, "results": results}]})
        else:
            lines.append("model-index: []")
        parts.append("\n".join(["---", *lines]) + "\n")
    return "".join(parts) or "# no run fits this leaderboard\n"


def _describe(entry: Entry) -> str:
    n = f" {entry.cell.n} of {entry.cell.expected}" if entry.cell is not None else ""
    return f"{entry.task}, {entry.metric}: {entry.state}{n}"


def _result(entry: Entry) -> Json:
    protocol = entry.protocol
    shots = f", {protocol.shots}-shot" if protocol is not None else ""
    kind, title = task_type(entry.metric)
    metric: dict[str, Json] = {
        "type": hub_metric(entry.metric),
        "value": entry.value,
        "name": f"{entry.metric}{shots}{_words(entry)}",
        "args": _arguments(entry),
    }
    return {"task": {"type": kind, "name": title}, "dataset": _dataset(entry), "metrics": [metric]}


def _words(entry: Entry) -> str:
    protocol = entry.protocol
    words = (protocol.prompt_language, protocol.variant) if protocol is not None else ()
    return "".join(f", {word}" for word in words if word is not None)


def _dataset(entry: Entry) -> Json:
    place = hub_dataset(entry)
    family = SAMPLE if entry.sample else entry.task.partition("/")[0]
    dataset: dict[str, Json] = {
        "type": place[0] if place is not None else family,
        "name": dataset_name(entry),
        "config": place[1] if place is not None else entry.task if entry.sample else entry.task.partition("/")[2],
    }
    if entry.protocol is not None:
        dataset["split"] = entry.protocol.split
    files = entry.run.record.files if entry.run is not None else ()
    revisions = {file.revision for file in files if file.origin.value == "hub"}
    if len(revisions) == 1 and (revision := revisions.pop()) is not None:
        dataset["revision"] = revision
    return dataset


def _arguments(entry: Entry) -> Json:
    """Return all that the number depends on; what is not known is left out."""
    cell, protocol = entry.cell, entry.protocol
    values: dict[str, Json] = {"language": entry.language or None, "signature": entry.signature}
    if cell is not None:
        level = LEVEL if cell.low is not None else None
        values |= {"low": cell.low, "high": cell.high, "level": level, "method": cell.interval}
        values |= {"n": cell.n, "clusters": cell.clusters}
    if protocol is not None:
        values |= {"shots": protocol.shots, "template": protocol.template, "max_new_tokens": protocol.max_new_tokens}
        values |= {"data": protocol.data, "prompts": protocol.prompts}
    values["fingerprint"] = entry.spec.fingerprint
    return {name: value for name, value in values.items() if value is not None}


def write_yaml(value: Json, depth: int = 0) -> list[str]:
    """Return `value` as lines of YAML: block style, texts in double quotes as JSON has them."""
    indent = "  " * depth
    lines: list[str] = []
    for lead, item in _items(value):
        if isinstance(item, dict | list) and item:
            inner = write_yaml(item, depth + 1)
            if lead == "-":
                inner[0] = f"{indent}- {inner[0].lstrip()}"
                lines += inner
            else:
                lines += [f"{indent}{lead}", *inner]
        else:
            lines.append(f"{indent}{lead} {_scalar(item)}")
    return lines


def _items(value: Json) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict):
        yield from ((f"{name}:", item) for name, item in value.items())
    elif isinstance(value, list):
        yield from (("-", item) for item in value)


def _scalar(value: Json) -> str:
    if isinstance(value, str):
        return json.dumps(_safe(value), ensure_ascii=False)
    text = json.dumps(value)
    # YAML 1.1 reads 1e-05 as a text, and 1.0e-05 as a number.
    return text.replace("e", ".0e") if isinstance(value, float) and "e" in text and "." not in text else text


def _safe(text: str) -> str:
    """Return one line of what YAML may hold: what cannot be seen is written as U+202E."""
    return show_hidden(text, LINE_LENGTH)
