"""What a row would hide: cut passages, dropped demonstrations, truncated answers, answers that repeat the passage."""

from collections.abc import Iterator, Mapping, Sequence

from ..records import RunRecord
from .comparison import find_estimate
from .rows import Column, Mark
from .thresholds import (
    MARKED_COPIED,
    MARKED_LENGTH,
    MARKED_OFF_TARGET,
    MARKED_SOURCE_COPY,
    MARKED_TRUNCATED,
    MOST_COPIED,
    MOST_CUT,
    MOST_SHOTS_DROPPED,
)

_JUDGED_BY_MODEL = frozenset({"comet22", "cometkiwi22"})
"""Metrics that a copy of the source does well by, and a translation into another language."""
_CONTAINMENTS = frozenset({"containment", "containment_first"})
"""Metrics that gain by every word added: only there copies of the passage keep a row from its rank."""


def find_marks(record: RunRecord, metric: str) -> tuple[Mark, ...]:
    """Return what a reader of the score of `record` by `metric` must know of how it was reached."""
    return tuple(_marks(record, metric))


def _marks(record: RunRecord, metric: str) -> Iterator[Mark]:
    counts = record.counts
    for what, count, bar in (
        ("passages cut", counts.passages_cut, MOST_CUT),
        ("demonstrations dropped", counts.shots_dropped, MOST_SHOTS_DROPPED),
    ):
        if count > 0:
            # With repeats a prompt is sent several times; a share above all of them cannot be.
            share = 100.0 * count / max(count, counts.answered + counts.failed)
            yield Mark(what=what, share=share, most=bar)
    bars: tuple[tuple[str, str, float, float | None], ...] = (
        ("truncated answers", "truncated", MARKED_TRUNCATED, None),
        ("of the passage repeated", "passage_copy", MARKED_COPIED, MOST_COPIED),
        ("of the gold answer's length", "length_ratio", MARKED_LENGTH, None),
    )
    if metric in _JUDGED_BY_MODEL:
        bars += (
            ("copies of the source", "source_copy", MARKED_SOURCE_COPY, None),
            ("off target", "off_target", MARKED_OFF_TARGET, None),
        )
    contains = metric in _CONTAINMENTS
    for what, name, least, most in bars:
        estimate = find_estimate(record, name)
        if estimate is not None and estimate.value is not None and estimate.value > least:
            yield Mark(what=what, share=estimate.value, most=most if contains else None)


def describe_mark(mark: Mark) -> str:
    """Return "100.0% passages cut, at most 5%"."""
    return f"{mark.share:.1f}% {mark.what}" + ("" if mark.most is None else f", at most {mark.most:g}%")


def describe_marks(marks: Mapping[str, Sequence[Mark]], columns: Sequence[Column]) -> tuple[str, ...]:
    """Return one line a kind of mark over the columns of a row: "passages cut: ar 100.0%, zh 3.0%"."""
    lines: dict[str, list[str]] = {}
    for column in columns:
        for mark in marks.get(column.task, ()):
            lines.setdefault(mark.what, []).append(f"{column.variant} {mark.share:.1f}%")
    return tuple(f"{what}: {', '.join(shares)}" for what, shares in lines.items())
