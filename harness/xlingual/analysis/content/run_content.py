"""From a run to its content record: every answer through every detector, then rates and means with intervals."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...board.collection import RESULTS_FILE, CollectedRun
from ...errors import DataError
from ...estimate import estimate
from ...records import Estimate, RunRecord, Statistics
from ...scoring import mean_statistics
from ...statistics.paired import paired_difference
from .excerpts import find_examples
from .findings import ContentFindings, find_all
from .measures import FEWEST_JUDGED, MEASURES, MEASURES_BY_NAME, ContentMeasure
from .passage_position import Third
from .records import UNKNOWN, AnswerCounts, ContentRecord, ThirdShare
from .samples import AnsweredSample, AnswerState, StoredSample, read_stored


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysedRun:
    """A content record, and what it was made of, for comparisons."""

    run: RunRecord
    record: ContentRecord
    ids: tuple[str, ...]
    """Of the examples, in the order of the file; with repeats, each once."""
    clusters: tuple[str, ...]
    groups: tuple[str, ...] | None
    statistics: Mapping[str, tuple[Statistics | None, ...]]
    """By measure, in step with `ids`; None: not answered, or not to be told."""


def analyse_run(run: CollectedRun, most_examples: int) -> AnalysedRun:
    """Return what is in the answers of a run.

    Raises DataError naming file, line and field where its samples are not there or not ours, EnvironmentFault without
    the language identifier.
    """
    if run.path is None or run.is_group:
        raise DataError("a group of tasks has no answers of its own", where=run.where)
    path = run.path.with_name(run.path.name.replace(RESULTS_FILE[:-5], "samples", 1).replace(".json", ".jsonl"))
    stored = read_stored(path, run.record)
    pairs = [(each.answered, find_all(each.answered)) for each in stored if each.answered is not None]
    places = _places(stored)
    statistics = _statistics(places, pairs)
    clusters = tuple(stored[indexes[0]].cluster for indexes in places.values())
    named = [stored[indexes[0]].group for indexes in places.values()]
    groups = None if None in named else tuple(str(each) for each in named)
    language = run.record.language
    estimates = tuple(
        estimate_measure(measure, language, statistics[measure.name], clusters, groups) for measure in MEASURES
    )
    record = ContentRecord(
        model=run.record.model.name,
        fingerprint=run.record.model.fingerprint,
        task=run.record.label,
        language=language,
        limit=run.record.protocol.limit,
        origin=run.record.origin,
        where=run.where,
        samples=hashlib.sha256(path.read_bytes()).hexdigest(),
        finished_at=run.record.finished_at,
        counts=_count(stored),
        estimates=estimates,
        languages=_count_names(each.language.language for _, each in pairs),
        span_languages=_count_names(span.language for _, each in pairs for span in each.language.spans),
        thinking_languages=_count_names(each.thinking.language for sample, each in pairs if sample.thinking),
        scripts=_script_shares([each for _, each in pairs]),
        thirds=_thirds(pairs),
        examples=find_examples(pairs, most_examples),
    )
    return AnalysedRun(
        run=run.record, record=record, ids=tuple(places), clusters=clusters, groups=groups, statistics=statistics
    )


def estimate_measure(
    measure: ContentMeasure,
    language: str,
    statistics: Sequence[Statistics | None],
    clusters: Sequence[str],
    groups: Sequence[str] | None,
) -> Estimate:
    """Return a measure with its interval; without a value where too few answers could be judged."""
    judged = sum(each is not None for each in statistics)
    if measure.missing(language) is None and judged < FEWEST_JUDGED:
        return _not_computed(measure, language, judged, len(statistics))
    return estimate(measure, language, statistics, clusters, groups=groups)


def _not_computed(measure: ContentMeasure, language: str, judged: int, total: int) -> Estimate:
    what = "no answer could be judged" if not judged else f"only {judged} of {total} answers could be judged"
    needed = "" if not judged else f", at least {FEWEST_JUDGED} are needed"
    return Estimate(
        metric=measure.name,
        value=None,
        low=None,
        high=None,
        n=judged,
        unscored=total - judged,
        signature=measure.signature(language),
        reason=f"{what}{needed}: {measure.unjudged}",
        bounds=measure.bounds,
    )


def _places(stored: Sequence[StoredSample]) -> dict[str, list[int]]:
    """Return the lines of each example; with repeats several."""
    places: dict[str, list[int]] = {}
    for index, each in enumerate(stored):
        places.setdefault(each.id, []).append(index)
    return places


def _statistics(
    places: Mapping[str, Sequence[int]], pairs: Sequence[tuple[AnsweredSample, ContentFindings]]
) -> dict[str, tuple[Statistics | None, ...]]:
    """Return the statistics of each example by measure; of repeats the mean, as metrics have it."""
    by_id: dict[str, list[ContentFindings]] = {}
    for sample, findings in pairs:
        by_id.setdefault(sample.id, []).append(findings)
    return {
        measure.name: tuple(mean_statistics([measure.judge(each) for each in by_id.get(name, ())]) for name in places)
        for measure in MEASURES
    }


def _count(stored: Sequence[StoredSample]) -> AnswerCounts:
    states = Counter(each.state for each in stored)
    return AnswerCounts(
        answered=states[AnswerState.ANSWERED],
        failed=states[AnswerState.FAILED],
        missing=states[AnswerState.MISSING],
        unfinished=states[AnswerState.UNFINISHED],
        choices=states[AnswerState.CHOICE],
    )


def _count_names(names: Iterable[str | None]) -> dict[str, int]:
    counted = Counter(UNKNOWN if name is None else name for name in names)
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _script_shares(findings: Sequence[ContentFindings]) -> dict[str, float]:
    letters: Counter[str] = Counter()
    for each in findings:
        letters.update(each.scripts.letters)
    return {name: 100.0 * count / letters.total() for name, count in letters.most_common()}


def _thirds(pairs: Sequence[tuple[AnsweredSample, ContentFindings]]) -> tuple[ThirdShare, ...]:
    """Return the shares of the thirds of the passage, of answers and golds; () for too few that stand in one third."""
    known = [
        (sample, each.position)
        for sample, each in pairs
        if each.position.answer is not None and each.position.gold is not None
    ]
    if len(known) < FEWEST_JUDGED:
        return ()
    groups = [sample.group for sample, _ in known]
    shares = []
    for place, third in enumerate(Third):
        found = paired_difference(
            MEASURES_BY_NAME[f"at_{third.value}"],
            [(float(position.answer is third), 1.0) for _, position in known],
            [(float(position.gold is third), 1.0) for _, position in known],
            [sample.cluster for sample, _ in known],
            groups=None if None in groups else [str(each) for each in groups],
        )
        if found is not None:
            chances = [position.chance[place] for _, position in known if position.chance is not None]
            shares.append(
                ThirdShare(
                    third=third,
                    answers=found.first,
                    golds=found.second,
                    chance=100.0 * float(np.mean(chances)),
                    low=found.low,
                    high=found.high,
                    p=found.p,
                    n=found.n,
                )
            )
    return tuple(shares)
