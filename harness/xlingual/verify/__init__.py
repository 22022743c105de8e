"""Whether the numbers of runs follow from their answers: `xlingual verify`.

    hashes         the record and samples.jsonl are those that were written
    run.json       model and protocol are those that were planned
    journal        each answer in samples.jsonl is the one that the model gave; every line holds its checksum
    data           as many examples as the task has, each with its own targets; the hash of the data
    scores         computed again from the answers: values, intervals, counts, by the same signature

A folder of a judge's verdicts is checked by its hashes, its plan and the sums of its samples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from ..board.collection import LIMITED_PREFIX, RESULTS_FILE, CollectedRun, read_run
from ..board.integrity import PLAN_FILE, differs_from_plan
from ..errors import EnvironmentFault, UsageError, XlingualError
from ..files.text_file import read_fault
from ..journal import JOURNAL
from ..plugin import DataSource
from ..record_hash import NOT_ITS_HASH, hash_samples, was_edited
from ..store import read_samples, walk_runs
from .findings import RunFindings
from .sample_sums import check_sums
from .scores import check_scores
from .stored_answers import read_stored_answers

JUDGED_FILE = "judge"
"""Begins the name of a judge's report, beside results of its own."""


class RunVerdict(StrEnum):
    """What is said of a run."""

    VERIFIED = "verified"
    EDITED = "edited"
    CANNOT_TELL = "cannot tell"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found of one results file."""

    where: str
    """The file, as it was named."""
    verdict: RunVerdict
    reasons: tuple[str, ...]
    """What differs, file and field first; else why nobody can tell, or what was not checked."""


def verify_runs(roots: Sequence[Path], data_source: DataSource) -> Iterator[Verification]:
    """Yield what is found of every results file below `roots`, as soon as it is known; nothing is written.

    What `--fresh` moved aside is not walked. Raises UsageError for a root that does not exist, or holds no results.
    """
    for root in roots:
        if not root.exists():
            raise UsageError("no such run", where=str(root), hint="name a run folder, or the folder that holds runs")
        paths = [root] if root.is_file() else [path for path in walk_runs(root) if _is_results(path)]
        if not paths:
            raise UsageError("no results here", where=str(root), hint="name a run folder, or the folder of runs")
        for path in paths:
            yield verify_run(path, data_source)


def verify_run(path: Path, data_source: DataSource) -> Verification:
    """Return what is found of the results file `path` and of the files beside it."""
    where = str(path)
    try:
        run = read_run(path, where)
        found = _check(run, path, data_source)
    except (XlingualError, OSError) as caught:
        error = read_fault(caught, str(caught.filename or where)) if isinstance(caught, OSError) else caught
        what = f"{error.where}: {error.what}" if error.where != where else error.what
        return Verification(where=where, verdict=RunVerdict.UNREADABLE, reasons=(what.partition("\n")[0],))
    if found.edits:
        return Verification(where=where, verdict=RunVerdict.EDITED, reasons=tuple(found.edits))
    verdict = RunVerdict.CANNOT_TELL if found.doubts else RunVerdict.VERIFIED
    return Verification(where=where, verdict=verdict, reasons=(*found.doubts, *found.notes))


def _is_results(path: Path) -> bool:
    return path.name == RESULTS_FILE or (path.name.startswith(LIMITED_PREFIX) and path.suffix == ".json")


def _check(run: CollectedRun, path: Path, data_source: DataSource) -> RunFindings:
    found = RunFindings()
    suffix = path.stem.removeprefix("results")
    samples_path = path.with_name(f"samples{suffix}.jsonl")
    _check_results_hash(run, path, found)
    plan = path.with_name(PLAN_FILE)
    if not plan.is_file():
        found.doubts.append(f"{PLAN_FILE} is not here")
    elif (field := differs_from_plan(run)) is not None:
        found.edits.append(f"{path.name}: {field} is not that of {PLAN_FILE}")
    if not samples_path.is_file():
        found.doubts.append(f"{samples_path.name} is not here")
        return found
    try:
        samples = read_samples(path.parent, samples_path.name)
    except EnvironmentFault:
        raise
    except XlingualError as error:
        found.edits.append(f"{Path(error.where).name}: {error.what.partition(chr(10))[0]}")
        return found
    _check_samples_hash(run, samples_path, found)
    if path.with_name(f"{JUDGED_FILE}{suffix}.json").is_file():
        check_sums(run, samples, found)
        return found
    if not path.with_name(JOURNAL).is_file():
        found.doubts.append(f"{JOURNAL} is not here: nothing says that the answers are the model's")
    responses = read_stored_answers(path.parent, samples_path.name, samples, found)
    if run.sample and data_source.folder is None:
        data_source = replace(data_source, sample=True)
    check_scores(run, samples, responses, data_source, found)
    return found


def _check_results_hash(run: CollectedRun, path: Path, found: RunFindings) -> None:
    if run.record.hashes is None:
        found.notes.append("no hash: the results are from before there were any")
    elif was_edited(run.record):
        found.edits.append(f"{path.name}: {NOT_ITS_HASH}")


def _check_samples_hash(run: CollectedRun, samples: Path, found: RunFindings) -> None:
    """Compare the hash of samples that have been read: they are within the limits of such a file."""
    hashes = run.record.hashes
    if hashes is not None and hash_samples(samples.read_bytes()) != hashes.samples:
        found.edits.append(f"{samples.name}: it is not the one that hashes.samples was made of")
