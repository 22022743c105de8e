"""What stands beside a model in a table: its marks, and how it was run where the rows were not run alike."""

from collections.abc import Mapping, Sequence

from ..records import ModelSpec, RunRecord
from .collection import CollectedRun
from .controls import find_control
from .integrity import IntegrityFinding
from .marks import describe_marks
from .rows import Cell, Column

_SERVERS = frozenset({"openai"})
"""Backends that ask a server which weights it serves, and must believe the answer."""

_FILES = frozenset({"scripted"})
"""Backends that read answers, whoever gave them."""


def describe_rows(
    shown: Mapping[str, Mapping[str, CollectedRun]],
    findings: Mapping[str, Mapping[str, IntegrityFinding]],
    cells: Mapping[str, Mapping[str, Cell]],
    columns: Sequence[Column],
) -> Mapping[str, tuple[str, ...]]:
    """Return the notes of each row by fingerprint; all arguments but `columns` are by fingerprint, then task."""
    settings = {
        fingerprint: _settings([run.record for run in found.values()])
        for fingerprint, found in shown.items()
        if not any(find_control(run.record.model) for run in found.values())
    }
    unlike = [
        name for name in ("template", "dtype", "engine") if len({each.get(name) for each in settings.values()}) > 1
    ]
    return {
        fingerprint: (
            *(f"{name} {settings[fingerprint][name]}" for name in unlike if fingerprint in settings),
            *dict.fromkeys(remark for run in found.values() if (remark := describe_backend(run.record.model))),
            *describe_marks({task: cell.marks for task, cell in cells[fingerprint].items()}, columns),
            *_collect_notes(findings[fingerprint], columns),
        )
        for fingerprint, found in shown.items()
    }


def _settings(records: Sequence[RunRecord]) -> Mapping[str, str]:
    """Return what a protocol leaves to the model: two rows may be compared and yet differ in it."""
    return {
        "template": ", ".join(sorted({record.template for record in records})),
        "dtype": ", ".join(sorted({record.model.dtype or "not known" for record in records})),
        "engine": ", ".join(sorted({record.model.backend for record in records})),
    }


def describe_backend(model: ModelSpec) -> str | None:
    """Return what a backend cannot know of its model, or None."""
    if model.backend in _SERVERS and model.revision is None:
        return "weights not known: a server's word"
    return "answers from a file" if model.backend in _FILES else None


def _collect_notes(findings: Mapping[str, IntegrityFinding], columns: Sequence[Column]) -> tuple[str, ...]:
    """Return what could not be checked, with the columns where it is not all of them."""
    places: dict[str, list[str]] = {}
    for column in columns:
        finding = findings.get(column.task)
        if finding is not None and (said := finding.fault or finding.note) is not None:
            places.setdefault(said, []).append(column.variant)
    return tuple(
        said if len(variants) == len(findings) else f"{said} ({', '.join(variants)})"
        for said, variants in places.items()
    )
