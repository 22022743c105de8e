"""Fields of examples that a run does not keep: the sentence that was translated, read from the run's own data again."""

from collections.abc import Mapping

from ..errors import DataError, UsageError
from ..example_hash import hash_examples
from ..plugin import DataSource
from ..records import Origin
from ..selection import select_tasks
from .judged import JudgedRun


def read_fields(run: JudgedRun, data_source: DataSource | None) -> Mapping[str, Mapping[str, str]]:
    """Return the fields of the examples of a translation run by id; `data_source` None: where the run had them from.

    Raises UsageError for a run that is no translation or whose data have to be named, DataError where the data are not
    those of the run.
    """
    record = run.record
    if data_source is None and record.origin is Origin.LOCAL:
        hint = "--data DIR, the folder that the run was given"
        raise UsageError("say where the data of the run are: the judge is shown the source", where=run.name, hint=hint)
    source = data_source or DataSource(folder=None, sample=record.origin is Origin.SAMPLE, offline=True)
    task = select_tasks([record.protocol.task], [])[0]
    rows = task.examples(record.protocol.split, source).rows
    if any("source" not in row.fields for row in rows):
        raise UsageError("is no translation", where=run.name, hint="--kind correctness, or pairwise")
    if hash_examples(rows) != record.protocol.data and not record.protocol.shots:
        raise DataError("the data are not those of the run", where=run.name, hint="give the run's own --data")
    known = {row.id for row in rows}
    absent = next((each.id for each in run.answers if each.id not in known), None)
    if absent is not None:
        raise DataError(f"example {absent!r} is not in the data", where=run.name, hint="give the run's own --data")
    return {row.id: row.fields for row in rows}
