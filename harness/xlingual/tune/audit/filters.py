"""Which rows the filter of a source leaves out, and for which of its keys: the first that holds."""

from collections.abc import Sequence
from hashlib import blake2b

from ...errors import DataError
from ...records import Corpus, Example, Examples
from .language import is_other_language
from .lengths import is_far, log_ratio, median
from .records import Filter
from .texts import count_letters, folded, is_copy, learnt_answers, learnt_sides


def filter_rows(wanted: Filter, corpus: Corpus, found: Examples, seen: set[bytes]) -> list[str | None]:
    """Return for each row the key of `wanted` that leaves it out, None for a row that is kept.

    `seen` holds the folded rows of earlier sources, and is added to. Rows without an answer are left to the caller.
    Raises DataError where the source has no scores to filter by.
    """
    scores = _scores(wanted, corpus, found)
    middle = _median_ratio(found.rows) if wanted.max_ratio is not None else 0.0
    reasons: list[str | None] = []
    for index, row in enumerate(found.rows):
        reason = None
        if row.targets and all(answer.strip() for answer in learnt_answers(row)):
            reason = _fault(wanted, corpus, row, middle)
            if reason is None and scores is not None and wanted.min_score is not None:
                reason = "min_score" if not scores[index] >= wanted.min_score else None
            if reason is None and wanted.dedup and not _is_new(row, seen):
                reason = "dedup"
        reasons.append(reason)
    return reasons


def _scores(wanted: Filter, corpus: Corpus, found: Examples) -> Sequence[float] | None:
    if wanted.min_score is not None and found.scores is None:
        hint = 'of the readers, tsv gives scores: columns = ["en:2", "zh:3", "score:1"]'
        raise DataError("its rows have no score", where=f"source {corpus.name}: filter.min_score", hint=hint)
    return found.scores


def _median_ratio(rows: Sequence[Example]) -> float:
    return median([log_ratio(row.fields.get("source", ""), row.targets[0]) for row in rows if row.targets] or [0.0])


def _fault(wanted: Filter, corpus: Corpus, row: Example, middle: float) -> str | None:
    """Return the key that leaves `row` out for what is in it."""
    if wanted.language and _is_foreign(corpus, row):
        return "language"
    if wanted.max_ratio is not None:
        ratio = log_ratio(row.fields.get("source", ""), row.targets[0])
        if is_far(ratio, middle, wanted.max_ratio):
            return "max_ratio"
    if not wanted.copies and is_copy(row):
        return "copies"
    least = wanted.min_letters
    if least is not None and any(count_letters(side, least) < least for side in learnt_sides(row)):
        return "min_letters"
    return None


def _is_foreign(corpus: Corpus, row: Example) -> bool:
    if any(is_other_language(answer, corpus.language) for answer in learnt_answers(row)):
        return True
    source = row.fields.get("source")
    return corpus.direction is not None and source is not None and is_other_language(source, corpus.direction[0])


def _is_new(row: Example, seen: set[bytes]) -> bool:
    digest = blake2b(folded(row).encode("utf-8", "replace"), digest_size=16).digest()
    if digest in seen:
        return False
    seen.add(digest)
    return True
