"""The scores of a run computed again from its answers and the data of its task.

results.json: estimates.containment.value is 99.9, the answers give 20.83
results.json: counts.failed is 0, the answers give 1
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..answers import reading_of
from ..board.collection import CollectedRun
from ..board.samples import ROUNDING
from ..demonstrations import DemonstrationChoice, choose_demonstrations
from ..earlier_scores import extra_metrics
from ..errors import UsageError, XlingualError
from ..example_hash import hash_examples
from ..identity import Json
from ..planning import parse_limit
from ..plugin import DataSource, RewordableTask
from ..records import Estimate, Example, Protocol, Response, RunRecord
from ..run_summary import recount
from ..scoring import Scores, score_answers
from ..selection import select_tasks
from ..serial import to_json
from .findings import RunFindings
from .questions import AskedQuestions, check_questions
from .sample_sums import check_sums

_ESTIMATED = ("n", "unscored", "value", "interval", "low", "high", "clusters", "clustered_by", "icc", "effective_n")
_LATER = ("interval", "clusters", "clustered_by", "icc", "effective_n")
"""An older record may lack them."""
_COUNTED = (
    "answered",
    "failed",
    "missing",
    "shots_dropped",
    "passages_cut",
    "unfinished_thinking",
    "unextracted",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The examples of a run, as the data have them here."""

    questions: AskedQuestions
    examples: Sequence[Example]
    """By line of the samples: with repeats an example stands several times."""


def check_scores(
    run: CollectedRun,
    samples: Sequence[Mapping[str, Json]],
    responses: Sequence[Response | None],
    data_source: DataSource,
    found: RunFindings,
) -> None:
    """Add to `found` what in the record and its samples does not follow from `responses`, one a line of `samples`."""
    record = run.record
    try:
        asked = _find_examples(record.protocol, len(samples), data_source, found)
    except XlingualError as error:
        found.doubts.append(f"data not here: {error!s}".partition("\n")[0])
        asked = None
    if asked is None:
        check_sums(run, samples, found)
        return
    name = f"samples{f'-limit-{record.protocol.limit}' if record.protocol.limit else ''}.jsonl"
    if (edit := _other_lines(samples, asked.examples)) is not None:
        found.edits.append(f"{name}{edit}")
        return
    task = asked.questions.task
    check_questions(record, samples, asked.questions, name, found)
    reading = reading_of(record.model, record.protocol.extract, record.protocol.repeats)
    extra = extra_metrics(task.spec, record, samples)
    scores = score_answers(task, asked.examples, responses, reading, extra=extra)
    file = name.replace("samples", "results").replace(".jsonl", ".json")
    if record.language != task.spec.language:
        found.edits.append(f"{file}: language is {record.language}, that of the task is {task.spec.language}")
    if record.main_metric != task.spec.metrics[0]:
        found.notes.append(f"{file}: main_metric is not {task.spec.metrics[0]}, as it is for the task today")
    _compare_estimates(record, scores, file, found)
    _compare_counts(record, samples, responses, scores, file, found)
    _compare_statistics(record, samples, scores, name, found)


def _find_examples(protocol: Protocol, lines: int, data_source: DataSource, found: RunFindings) -> _Asked | None:
    """Return what a run with so many lines of samples was asked.

    None where the data here are others, which is a doubt, and where the protocol tells no or too many examples.
    """
    [task, *_] = select_tasks([protocol.task], [])
    if (protocol.prompt_language or protocol.variant) and isinstance(task, RewordableTask):
        task = task.reword(prompt_language=protocol.prompt_language, variant=protocol.variant)
    rows = task.examples(protocol.split, data_source).rows
    choice = DemonstrationChoice(shots=protocol.shots, seed=protocol.seed or 0, data_source=data_source)
    shots, evaluated = choose_demonstrations(task, rows, protocol.split, choice)
    if (data := hash_examples(evaluated)) != protocol.data:
        what = f"the examples here have the hash {data[:8]}, those of the run {protocol.data[:8]}"
        found.doubts.append(f"data not here: {what}; give the run's own --data")
        return None
    if task.spec.version != protocol.task_version:
        what = f"{protocol.task} is version {task.spec.version} here, and was {protocol.task_version}"
        found.doubts.append(what)
        return None
    part = _part_asked(evaluated, protocol.limit)
    if part is None:
        found.edits.append(f"protocol.limit is {protocol.limit!r}: no part of the examples")
        return None
    if protocol.n != len(part):
        found.edits.append(f"protocol.n is {protocol.n}, and the data have {len(part)} such examples")
    repeats = protocol.repeats or 1
    if repeats < 1 or (part and repeats > lines):  # as many times are not to be written down
        found.edits.append(f"protocol.repeats is {repeats}, and the samples have {lines} lines")
        return None
    questions = AskedQuestions(task=task, evaluated=evaluated, shots=shots)
    return _Asked(questions=questions, examples=[each for each in part for _ in range(repeats)])


def _part_asked(examples: Sequence[Example], limit: str | None) -> Sequence[Example] | None:
    """Return the examples that a run with this limit asked; None for what is no limit."""
    if limit is None:
        return examples
    try:
        part = parse_limit(limit)
    except UsageError:
        return None
    return examples[part.first - 1 : part.last]


def _other_lines(samples: Sequence[Mapping[str, Json]], examples: Sequence[Example]) -> str | None:
    """Return what of the lines is not of these examples, with the number of the line."""
    if len(samples) != len(examples):
        return f": {len(samples)} lines, and {len(examples)} were to be asked"
    for number, (sample, example) in enumerate(zip(samples, examples, strict=True), start=1):
        for field, value in (("id", example.id), ("targets", list(example.targets)), ("cluster", example.cluster)):
            if sample.get(field) != value:
                return f":{number}: {field} is not that of the data"
        if "group" in sample and sample["group"] != example.group:
            return f":{number}: group is not that of the data"
    return None


def _compare_estimates(record: RunRecord, scores: Scores, file: str, found: RunFindings) -> None:
    today = {each.metric: each for each in scores.estimates}
    for each in record.estimates:
        again = today.get(each.metric)
        place = f"{file}: estimates.{each.metric}"
        if again is None:
            found.doubts.append(f"{place}: not computed here")
        elif again.value is None and again.reason is not None and each.value is not None:
            found.doubts.append(f"{place}: not computed here: {again.reason}")
        elif again.signature != each.signature:
            found.doubts.append(f"{place}: signature is {each.signature}, and {again.signature} here")
        elif each.value is None and again.value is not None:
            found.notes.append(f"{place}: was not computed, and can be here: xlingual score")
        else:
            found.edits.extend(f"{place}.{what}" for what in _differences(each, again))


def _differences(said: Estimate, again: Estimate) -> list[str]:
    """Return the fields in which an estimate is not what the answers give; an older record may lack the later ones."""
    found = [] if said.value is None or said.reason is None else [f"reason is {said.reason!r}, beside a value"]
    for name in _ESTIMATED:
        before, now = getattr(said, name), getattr(again, name)
        if name in ("low", "high") and said.interval != again.interval:
            continue
        if before == now or (name in _LATER and before is None):
            continue
        if isinstance(before, float) and isinstance(now, float) and abs(before - now) <= ROUNDING:
            continue
        found.append(f"{name} is {_show(before)}, the answers give {_show(now)}")
    return found


def _show(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else "null" if value is None else str(value)


def _compare_counts(
    record: RunRecord,
    samples: Sequence[Mapping[str, Json]],
    responses: Sequence[Response | None],
    scores: Scores,
    file: str,
    found: RunFindings,
) -> None:
    failed = sum(each is not None and each.failure is not None for each in responses)
    missing = sum(each is None for each in responses)
    counts = recount(record.counts, scores)
    given = {
        "answered": len(responses) - failed - missing,
        "failed": failed,
        "missing": missing,
        "shots_dropped": sum(bool(each.get("shots_dropped")) for each in samples),
        "passages_cut": sum(bool(each.get("passage_cut")) for each in samples),
        "unfinished_thinking": counts.unfinished_thinking,
        "unextracted": counts.unextracted,
    }
    for name in _COUNTED:
        if (said := getattr(record.counts, name)) != given[name]:
            found.edits.append(f"{file}: counts.{name} is {_show(said)}, the answers give {_show(given[name])}")


def _compare_statistics(
    record: RunRecord, samples: Sequence[Mapping[str, Json]], scores: Scores, name: str, found: RunFindings
) -> None:
    """Add the first line whose statistics are not those of its answer, for metrics of the same signature."""
    signatures = {each.metric: each.signature for each in scores.estimates}
    for each in record.estimates:
        values = scores.statistics.get(each.metric)
        if values is None or signatures.get(each.metric) != each.signature:
            continue
        for number, (sample, value) in enumerate(zip(samples, values, strict=True), start=1):
            statistics = sample.get("statistics")
            said = statistics.get(each.metric) if isinstance(statistics, Mapping) else None
            if not _is_alike(said, to_json(value)):
                found.edits.append(f"{name}:{number}: statistics.{each.metric} are not those of the answer")
                break


def _is_alike(said: Json, again: Json) -> bool:
    if not isinstance(said, list) or not isinstance(again, list):
        return said == again
    if len(said) != len(again):
        return False
    return all(
        isinstance(one, int | float) and isinstance(other, int | float) and abs(one - other) <= ROUNDING
        for one, other in zip(said, again, strict=True)
    )
