"""From run folders to run records: what can be read is taken, what cannot is listed with the reason."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from ..errors import DataError, EnvironmentFault, UsageError
from ..files import read_json
from ..groups import StoredGroup, aggregate, is_group_file, read_group
from ..identity import Json, canonical_json
from ..metrics import LM_EVAL_PREFIX
from ..records import Estimate, Origin, RunRecord
from ..serial import from_json, to_json
from ..store import walk_runs
from .rows import LeftOut

RESULTS_FILE = "results.json"
RESULTS_SCHEMA = 1
LIMITED_PREFIX = "results-limit-"
MAX_RESULTS_BYTES = 16 * 1024 * 1024
"""A results file is some kilobytes; what is larger than this is something else."""

_ROUNDING = 1e-6
"""sacrebleu gives a perfect translation 100.00000000000004."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedRun:
    """A run record and the file that holds it."""

    record: RunRecord
    where: str
    """The file, from the name of the folder that was searched."""
    finished: datetime
    """`finished_at`, in UTC."""
    path: Path | None = None
    """The file itself; None for a record that was read from none."""
    is_group: bool = False
    """Whether it is a group of tasks, whose record is computed from theirs; then `where` is the file that says so."""

    @property
    def sample(self) -> bool:
        """Whether any of the data came from the packaged sample."""
        return Origin.SAMPLE in (self.record.origin, *(file.origin for file in self.record.files))


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """All that was found below some folders."""

    runs: tuple[CollectedRun, ...]
    """One a model, task and protocol: the newest; sorted by file."""
    left_out: tuple[LeftOut, ...]
    superseded: tuple[LeftOut, ...]
    """Older records that a newer one of the same model, task and protocol replaced."""


def collect_runs(roots: Sequence[Path], *, include_limited: bool = False) -> Collection:
    """Read every results file below `roots`, in folders that are not links; a root may be such a file itself.

    What `--fresh` moved aside is no result any more, whether or not it has been answered again.

    `include_limited` also reads the files of limited runs. Raises UsageError for a root that does not exist; a file
    that cannot be used is left out with the reason.
    """
    runs: list[CollectedRun] = []
    left_out: list[LeftOut] = []
    seen: set[Path] = set()
    groups: list[tuple[str, StoredGroup]] = []
    for root in roots:
        if not root.exists():
            raise UsageError("no such folder of runs", where=str(root), hint="name the folder that holds runs")
        for path in _results_files(root, left_out, include_limited=include_limited):
            if (resolved := path.resolve()) in seen:
                continue
            seen.add(resolved)
            where = _place(root, path)
            try:
                if is_group_file(path):
                    groups.append((where, read_group(path, where)))
                else:
                    runs.append(read_run(path, where))
            except (DataError, EnvironmentFault) as error:
                left_out.append(LeftOut(where=error.where, reason=error.what.partition("\n")[0]))
    runs += [run for where, stored in groups for run in _group_runs(where, stored, runs)]
    newest, superseded = _keep_newest(runs)
    return Collection(runs=newest, left_out=tuple(sorted(left_out, key=_order)), superseded=superseded)


def read_run(path: Path, where: str) -> CollectedRun:
    """Read one results file, called `where` in messages.

    Raises DataError with the reason where it cannot be used, EnvironmentFault where the machine does not read it.
    """
    if not path.is_file():
        raise DataError("is not a regular file", where=where)
    data = read_json(path, name=where, limit=MAX_RESULTS_BYTES)
    if not isinstance(data, dict):
        raise DataError("is not a JSON object", where=where)
    if (schema := data.get("schema")) != RESULTS_SCHEMA or isinstance(schema, bool):
        raise DataError(f"has schema {_cut(schema)}, this version reads schema {RESULTS_SCHEMA}", where=where)
    try:
        record = from_json(RunRecord, data)
    except DataError as error:
        raise DataError(str(error), where=where) from error
    except OverflowError as error:
        raise DataError("holds a number that is too large", where=where) from error
    _check(record, where)
    return CollectedRun(record=record, where=where, finished=_moment(record.finished_at, where), path=path)


def _cut(value: Json) -> str:
    return canonical_json(value)[:40] if isinstance(value, bool | int | str) else type(value).__name__


def _check(record: RunRecord, where: str) -> None:
    """Refuse what no run of ours writes, so that a page can rely on it."""
    family, _, variant = record.protocol.task.partition("/")
    if not family or not variant:
        raise DataError(f"protocol.task {record.protocol.task!r} is not FAMILY/VARIANT", where=where)
    if record.protocol.n < 0 or min(record.counts.answered, record.counts.failed, record.counts.missing) < 0:
        raise DataError("a count is below 0", where=where)
    names = [estimate.metric for estimate in record.estimates]
    if len(set(names)) != len(names):
        raise DataError("a metric appears twice", where=where)
    for estimate in record.estimates:
        if estimate.n < 0 or estimate.unscored < 0:
            raise DataError(f"{estimate.metric}: a count is below 0", where=where)
        least, most = estimate_bounds(estimate)
        for number in (estimate.value, estimate.low, estimate.high):
            if number is None:
                continue
            if not math.isfinite(number):
                raise DataError(f"{estimate.metric}: {number} is no number", where=where)
            if not (least is None or least - _ROUNDING <= number) or not (most is None or number <= most + _ROUNDING):
                raise DataError(f"{estimate.metric}: {number} is not {_describe_bounds(least, most)}", where=where)


def estimate_bounds(estimate: Estimate) -> tuple[float | None, float | None]:
    """Return the smallest and the largest value that the metric of `estimate` can have; None: there is none.

    Metrics of lm-eval's tasks are known to be between 0 and 100 by no rule: a perplexity may be above, a task's own
    mean of log-likelihoods below.
    """
    if estimate.bounds is not None:
        return estimate.bounds
    return (None, None) if estimate.metric.startswith(LM_EVAL_PREFIX) else (0.0, 100.0)


def _describe_bounds(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"within {least:g} and {most:g}"
    return f"{least:g} or more" if least is not None else f"at most {most}"


def _moment(text: str, where: str) -> datetime:
    """Read `finished_at`; texts do not sort where one has fractions of a second and another does not."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise DataError(f"finished_at {text[:40]!r} is not a time in ISO 8601", where=where) from error


def _results_files(root: Path, left_out: list[LeftOut], *, include_limited: bool) -> Iterator[Path]:
    if not root.is_dir():
        yield root
        return

    def note(error: OSError) -> None:
        left_out.append(
            LeftOut(where=_place(root, Path(error.filename)), reason=f"cannot be searched: {error.strerror}")
        )

    for path in walk_runs(root, note):
        limited = include_limited and path.name.startswith(LIMITED_PREFIX) and path.name.endswith(".json")
        if path.name == RESULTS_FILE or limited or is_group_file(path):
            yield path


def _group_runs(where: str, stored: StoredGroup, runs: Sequence[CollectedRun]) -> list[CollectedRun]:
    """Return the group as a run, of the runs in the folders beside its file at `where`: none where one is lacking."""
    beside = PurePosixPath(where).parent
    places = {(beside / name).as_posix() for name in stored.folders}
    members = [run for run in runs if PurePosixPath(run.where).parent.as_posix() in places]
    return [
        CollectedRun(record=record, where=where, finished=_moment(record.finished_at, where), is_group=True)
        for record in aggregate([stored.group], [run.record for run in members])
    ]


def _place(root: Path, path: Path) -> str:
    """Name `path` from the last folder of `root` on, so that a page does not show the path of the machine."""
    return (Path(root.resolve().name) / path.relative_to(root)).as_posix()


def _keep_newest(runs: Iterable[CollectedRun]) -> tuple[tuple[CollectedRun, ...], tuple[LeftOut, ...]]:
    newest: dict[tuple[str, str, bool], CollectedRun] = {}
    older: list[LeftOut] = []
    for run in sorted(runs, key=lambda run: (run.finished, run.where)):
        protocol = canonical_json(to_json(run.record.protocol))
        key = (run.record.model.fingerprint, protocol, run.sample)
        if (before := newest.get(key)) is not None:
            older.append(LeftOut(where=before.where, reason=f"{run.where} is newer"))
        newest[key] = run
    return tuple(sorted(newest.values(), key=lambda run: run.where)), tuple(sorted(older, key=_order))


def _order(item: LeftOut) -> tuple[str, str]:
    return item.where, item.reason
