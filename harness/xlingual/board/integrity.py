"""Whether a record says what its samples say: numbers that do not follow from them are not ranked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import DataError, EnvironmentFault, XlingualError
from ..estimate import estimate
from ..files import open_to_read, read_json
from ..identity import Json
from ..metrics import find_metric
from ..plugin import Metric
from ..record_hash import NOT_ITS_HASH, hash_samples_in, was_edited
from ..records import Estimate
from ..serial import to_json
from ..statistics.parallel import ScoredExample
from .collection import RESULTS_FILE, CollectedRun
from .comparison import find_estimate
from .samples import ROUNDING, SAMPLES_FILE, ScoreReader

PLAN_FILE = "run.json"
"""Written before the first answer, with model and protocol."""
_OF_THE_MODEL = ("fingerprint", "backend", "dtype")
EDITED = "edited"
"""Begins what is said of a run whose results and samples do not agree."""


@dataclass(frozen=True, slots=True)
class IntegrityFinding:
    """What the samples of a run say of its numbers."""

    fault: str | None = None
    """Why the run is not ranked."""
    note: str | None = None
    """What could not be checked."""


def check_run(
    run: CollectedRun, metric: str, scores: ScoreReader, samples: Sequence[Mapping[str, Json]] | None = None
) -> IntegrityFinding:
    """Compute the score of `run` by `metric` anew from its samples, and count them.

    `samples` are the lines of its file, where they have been read already.

    A group of tasks has no samples of its own, and a limited run is never ranked: nothing is said of either. What the
    samples do not show, a model's name or a count, the hashes in the record do.
    """
    finding = check_scores(run, metric, scores, samples)
    if finding.fault is None and (fault := hash_fault(run)) is not None:
        return IntegrityFinding(fault=fault)
    return finding


def hash_fault(run: CollectedRun) -> str | None:
    """Return which hash of a whole run's record does not hold; None where all do, or there is none."""
    hashes = run.record.hashes
    if run.path is None or run.is_group or run.path.name != RESULTS_FILE or hashes is None:
        return None
    if was_edited(run.record):
        return f"{EDITED}: {NOT_ITS_HASH}"
    try:
        with open_to_read(run.path.parent / SAMPLES_FILE) as stream:
            is_changed = hash_samples_in(stream) != hashes.samples
    except OSError:  # that they are not there, or cannot be read, is said elsewhere
        return None
    return f"{EDITED}: {SAMPLES_FILE} is not the one that hashes.samples was made of" if is_changed else None


def check_scores(
    run: CollectedRun, metric: str, scores: ScoreReader, samples: Sequence[Mapping[str, Json]] | None = None
) -> IntegrityFinding:
    """Do what `check_run` does, but for the hashes: what is found is a fault of this metric alone, or of the plan."""
    try:
        return _check_scores(run, metric, scores, samples)
    except EnvironmentFault as error:  # nobody has edited it, and nobody can tell
        return IntegrityFinding(fault=f"cannot be checked: {error.what}")


def _check_scores(
    run: CollectedRun, metric: str, scores: ScoreReader, samples: Sequence[Mapping[str, Json]] | None
) -> IntegrityFinding:
    recorded = find_estimate(run.record, metric)
    if run.path is None or run.is_group or run.path.name != RESULTS_FILE or recorded is None or recorded.value is None:
        return IntegrityFinding()
    if (field := differs_from_plan(run)) is not None:
        return IntegrityFinding(fault=f"{EDITED}: {field} is not that of {PLAN_FILE}")
    no_plan = None if (run.path.parent / PLAN_FILE).is_file() else f"{PLAN_FILE} missing"
    if not (run.path.parent / SAMPLES_FILE).is_file():
        return IntegrityFinding(note="samples missing" if no_plan is None else f"samples and {no_plan}")
    try:
        known = find_metric(metric, task=run.record.protocol.task)
    except XlingualError:
        return IntegrityFinding(note=f"not checked: {metric} is not known here")
    try:
        found = scores.read(run, known, samples)
    except DataError as error:
        return IntegrityFinding(fault=f"{EDITED}: {error.what.partition(chr(10))[0]}")
    if len(found) != recorded.n:
        return IntegrityFinding(fault=f"{EDITED}: {len(found)} samples were scored, the results say {recorded.n}")
    if _has_another_interval(recorded, known, run.record.language, tuple(found.values())):
        return IntegrityFinding(fault=f"{EDITED}: its samples do not give the interval of its {metric}")
    return IntegrityFinding(note=no_plan)


def _has_another_interval(recorded: Estimate, metric: Metric, language: str, examples: Sequence[ScoredExample]) -> bool:
    """Return whether the samples give another interval than was recorded, by the very same method.

    Rates only, whose intervals are formulas: resamples of every cell would make a board wait for minutes.
    """
    if recorded.effective_n is None or recorded.low is None or recorded.high is None:
        return False
    groups = [each.group for each in examples]
    known = [each for each in groups if each is not None]
    found = estimate(
        metric,
        language,
        [each.statistics for each in examples],
        [each.cluster for each in examples],
        groups=known if len(known) == len(groups) else None,
    )
    if found.interval != recorded.interval or found.low is None or found.high is None:
        return False
    return max(abs(found.low - recorded.low), abs(found.high - recorded.high)) > ROUNDING


def differs_from_plan(run: CollectedRun) -> str | None:
    """Return a field in which a whole run is not what was planned; None without a plan that can be read."""
    path = run.path.with_name(PLAN_FILE) if run.path is not None else None
    try:
        plan = read_json(path) if path is not None and path.is_file() else None
    except DataError:
        return None
    if not isinstance(plan, Mapping):
        return None
    record = to_json(run.record)
    if not isinstance(record, Mapping):
        raise TypeError("a run is a record")
    for part, names in (("protocol", None), ("model", _OF_THE_MODEL)):
        planned, said = plan.get(part), record[part]
        if not isinstance(planned, Mapping) or not isinstance(said, Mapping):
            continue
        for name in names or planned:
            # A record from before a field was written down has the field's None.
            if name in planned and name in said and planned[name] != said[name]:
                return name
    return None
