"""Scores as files of a model's repository on the Hugging Face hub: `.eval_results/NAME.yaml`, a file a table.

The form is the hub's newer one, "work in progress" in its own words: data set, value, date and notes. It has no field
for a metric, an interval or a number of examples, which are in the notes. The hub shows a file only where the data set
is registered as a benchmark. Nothing here claims to be verified, and nothing is sent.
"""

import re
from collections.abc import Mapping, Sequence

from ...escape import LINE_LENGTH, show_hidden
from ...identity import Json
from ..collection import Collection
from ..rows import Board
from .entries import Entry, board_entries
from .every_eval_ever import model_id
from .model_index import hub_dataset, write_yaml

FOLDER = ".eval_results"


def hub_results(board: Board, collection: Collection, _command: str) -> str:
    """Return the files as one stream of YAML documents, each below a comment with its path."""
    files = hub_result_files(board, collection)
    return "".join(f"---\n# {path}\n{text}" for path, text in files.items()) or "# no score has a data set on the hub\n"


def hub_result_files(board: Board, collection: Collection) -> Mapping[str, str]:
    """Return the files by path: ORG/NAME/.eval_results/FAMILY-METRIC.yaml, ORG/NAME being the model's repository.

    Complete scores only, of data that the hub has under a name that we know.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in board_entries(board, collection):
        if entry.published and entry.whole and hub_dataset(entry) is not None:
            family = entry.task.partition("/")[0]
            name = re.sub(r"[^A-Za-z0-9]+", "-", f"{family}-{entry.metric}").strip("-")
            groups.setdefault(f"{model_id(entry.spec.name)}/{FOLDER}/{name}.yaml", []).append(entry)
    return {path: _write(entries) for path, entries in groups.items()}


def _write(entries: Sequence[Entry]) -> str:
    results: list[Json] = [_result(entry) for entry in entries]
    return "\n".join(write_yaml(results)) + "\n"


def _result(entry: Entry) -> Json:
    place = hub_dataset(entry)
    dataset: dict[str, Json] = {} if place is None else {"id": place[0], "task_id": place[1]}
    result: dict[str, Json] = {"dataset": dataset, "value": entry.value}
    if entry.run is not None:
        revisions = {file.revision for file in entry.run.record.files if file.origin.value == "hub"}
        if len(revisions) == 1 and (revision := revisions.pop()) is not None:
            dataset["revision"] = revision
        result["date"] = entry.run.finished.date().isoformat()
    return {**result, "notes": _notes(entry)}


def _notes(entry: Entry) -> str:
    """Return what the number depends on, in words."""
    parts = [entry.metric]
    if entry.protocol is not None:
        parts += [f"{entry.protocol.shots}-shot", f"template {entry.protocol.template}"]
    if (cell := entry.cell) is not None:
        if cell.low is not None and cell.high is not None:
            parts.append(f"95% interval {cell.low:.1f} to {cell.high:.1f}")
        parts.append(f"{cell.n} examples")
    parts.append(f"signature {entry.signature or 'unknown'}")
    return show_hidden(f"{', '.join(parts)}; xlingual, not verified", LINE_LENGTH)
