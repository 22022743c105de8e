"""A leaderboard as CSV for spreadsheets and data frames: a row a model, task and metric."""

import csv
import io
from collections.abc import Mapping

from ...escape import LINE_LENGTH, show_hidden
from ...records import no_interval
from ...sampling import show_sampling
from ..collection import Collection
from ..rows import Board
from .entries import Entry, board_entries

COLUMNS = (
    *("board", "model", "fingerprint", "backend", "revision", "dtype"),
    *("family", "variant", "task", "language", "metric", "higher_is_better"),
    *("value", "low", "high", "level", "interval", "n", "expected"),
    *("clusters", "clustered_by", "icc", "effective_n"),
    *("state", "reason", "ranked", "rank", "rank_low", "rank_high", "control"),
    *("split", "limit", "shots", "seed", "template", "prompt_language", "wording", "system"),
    *("max_new_tokens", "stop", "on_overflow", "sampling", "repeats", "thinking", "max_thinking_tokens", "extract"),
    *("task_version", "data", "prompts", "signature", "origin", "finished_at", "run"),
)
"""The header. An empty cell is "not known" or "not computed", never 0."""

LEVEL = 95
"""Per cent, of every interval."""
_FORMULA = tuple("=+-@＝＋－＠")
"""What a spreadsheet takes for the beginning of a formula, in full width too."""
Value = str | float | int | bool | None


def board_csv(board: Board, collection: Collection) -> str:
    """Return `board` by RFC 4180 in full precision, one line a row.

    Texts are shown as on the page: what cannot be seen is written as U+202E. One that a spreadsheet would run as a
    formula has an apostrophe before it.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for entry in board_entries(board, collection):
        values = {
            "board": board.name,
            **_of_model(entry),
            **_of_score(entry),
            **_of_place(entry),
            **_of_protocol(entry),
        }
        writer.writerow([_show(values.get(name)) for name in COLUMNS])
    return stream.getvalue()


def _of_model(entry: Entry) -> Mapping[str, Value]:
    spec = entry.spec
    return {
        "model": entry.model,
        "fingerprint": spec.fingerprint,
        "backend": spec.backend,
        "revision": spec.revision,
        "dtype": spec.dtype,
    }


def _of_score(entry: Entry) -> Mapping[str, Value]:
    family, _, variant = entry.task.partition("/")
    values: dict[str, Value] = {
        "family": family,
        "variant": variant,
        "task": entry.task,
        "language": entry.language,
        "metric": entry.metric,
        "higher_is_better": entry.higher_is_better,
        "value": entry.value,
        "state": entry.state,
        "reason": entry.reason,
        "signature": entry.signature,
    }
    if (cell := entry.cell) is not None:
        values |= {
            "low": cell.low,
            "high": cell.high,
            "level": LEVEL if cell.low is not None else None,
            "interval": cell.interval,
            "n": cell.n,
            "expected": cell.expected,
            "clusters": cell.clusters,
            "clustered_by": cell.clustered_by,
            "icc": cell.icc,
            "effective_n": cell.effective_n,
            "reason": cell.reason or no_interval(cell.interval),
        }
    return values


def _of_place(entry: Entry) -> Mapping[str, Value]:
    row, run = entry.row, entry.run
    return {
        "ranked": row is not None and row.rank is not None,
        "rank": row.rank if row is not None else None,
        "rank_low": row.rank_low if row is not None else None,
        "rank_high": row.rank_high if row is not None else None,
        "control": row.control if row is not None else None,
        "origin": run.record.origin.value if run is not None else None,
        "finished_at": run.record.finished_at if run is not None else None,
        "run": run.where if run is not None else None,
    }


def _of_protocol(entry: Entry) -> Mapping[str, Value]:
    protocol = entry.protocol
    if protocol is None:
        return {}
    return {
        "split": protocol.split,
        "limit": protocol.limit,
        "shots": protocol.shots,
        "seed": protocol.seed,
        "template": protocol.template,
        "prompt_language": protocol.prompt_language,
        "wording": protocol.variant,
        "system": protocol.system,
        "max_new_tokens": protocol.max_new_tokens,
        "stop": None if protocol.stop is None else repr(list(protocol.stop)),
        "on_overflow": protocol.on_overflow,
        "sampling": show_sampling(protocol.sampling) if protocol.sampling is not None else protocol.sampling_source,
        "repeats": protocol.repeats,
        "thinking": protocol.thinking.value if protocol.thinking is not None else None,
        "max_thinking_tokens": protocol.max_thinking_tokens,
        "extract": protocol.extract,
        "task_version": protocol.task_version,
        "data": protocol.data,
        "prompts": protocol.prompts,
    }


def _show(value: Value) -> str:
    """Return a cell: numbers in full precision, texts visible on one line and safe for spreadsheets."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = show_hidden(value, LINE_LENGTH)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
