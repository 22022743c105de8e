"""Reading what judges said: every `judge.json` below some folders, as records."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, EnvironmentFault, UsageError
from ..files import read_json_object
from ..serial import from_json
from ..store import walk_runs
from .records import JUDGE_SCHEMA, JudgeReport

STEM = "judge"
_MOST_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundReports:
    """What was found below some folders."""

    reports: tuple[JudgeReport, ...]
    """Sorted by task, judge and model."""
    left_out: tuple[tuple[str, str], ...]
    """Files that could not be used, from the name of the folder that was searched, and why."""


def read_reports(roots: Sequence[Path], *, include_limited: bool = True) -> FoundReports:
    """Read all reports below `roots`; what is none is left out. UsageError for a folder that is not there."""
    reports: list[JudgeReport] = []
    left_out: list[tuple[str, str]] = []
    for root in roots:
        if not root.exists():
            raise UsageError("no such folder of runs", where=str(root), hint="name the folder that holds runs")
        for path in walk_runs(root):
            limited = path.name.startswith(f"{STEM}-limit-") and path.suffix == ".json"
            if path.name == f"{STEM}.json" or (limited and include_limited):
                where = (Path(root.resolve().name) / path.relative_to(root)).as_posix()
                try:
                    reports.append(read_report(path, where))
                except (DataError, EnvironmentFault) as error:
                    left_out.append((where, error.what.partition("\n")[0]))
    return FoundReports(reports=tuple(sorted(reports, key=_order)), left_out=tuple(left_out))


def read_report(path: Path, where: str) -> JudgeReport:
    """Read one report, called `where` in messages; DataError with the reason where it is none."""
    if path.stat().st_size > _MOST_BYTES:
        raise DataError("is too large for a report of a judge", where=where)
    data = read_json_object(path)
    if data.get("schema") != JUDGE_SCHEMA:
        raise DataError(f"has another schema than {JUDGE_SCHEMA}", where=where)
    return from_json(JudgeReport, data, where=where)


def _order(report: JudgeReport) -> tuple[str, ...]:
    judge = report.judge
    return (judge.kind, report.task, judge.model, judge.prompt, report.model, report.against or "", report.limit or "")
