"""Scores without a model: answers of an earlier run under today's metrics, and predictions from anywhere else."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .answers import AnswerReading, reading_of
from .data import read_records
from .demonstrations import DemonstrationChoice, choose_demonstrations
from .earlier_scores import extra_metrics
from .errors import DataError, UsageError
from .estimate import estimate
from .example_hash import hash_examples
from .files import pretty_json, read_json, write_atomically
from .identity import Json, canonical_json
from .lease import lock_folder
from .metrics import find_metric
from .metrics.comet.metric import CometMetric
from .metrics.extra import unfit
from .metrics.mean import MeanMetric
from .plugin import DataSource, Task
from .provenance import installed_versions, timestamp
from .record_hash import with_hashes
from .records import Estimate, Example, Finish, Likelihood, Response, RunRecord
from .run import VERSIONED
from .run_summary import ANSWER_PARTS, parts_of_answer, recount
from .scoring import Scores, score_answers
from .serial import from_json, to_json
from .store import read_samples

RESULTS = "results.json"
LIMITED = "results-limit-*.json"
PREDICTION_FIELDS: Mapping[str, type] = {"id": str, "prediction": str, "language": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionScores:
    """Scores of a predictions file on a task: what `xlingual score PRED.jsonl --json` prints.

    `n` of `total` examples were scored, `coverage` is n / total; with `missing` "zero" the absent ones count as wrong,
    as the official scripts do, with "skip" they are left out. `unknown` ids of the file are in no example.
    """

    schema: int
    task: str
    task_version: str
    data: str
    """Content hash of the examples."""
    files: tuple[str, ...]
    n: int
    total: int
    coverage: float
    missing: str
    unknown: tuple[str, ...]
    scores: tuple[Estimate, ...]


def score_predictions(
    task: Task, data_source: DataSource, path: Path, *, split: str | None, missing: str, metrics: Sequence[str] = ()
) -> tuple[PredictionScores, str]:
    """Score the JSONL file `path` of `{"id", "prediction"}` lines on `task`, by `metrics` besides its own.

    Returns the scores and the per-example lines as JSONL. Raises DataError naming file and line for a bad file, for an
    id given twice, and where no id of the file is known.
    """
    found = task.examples(split or task.spec.split, data_source)
    predictions = read_predictions(path, task.spec.language)
    known = {example.id for example in found.rows}
    unknown = tuple(each for each in predictions if each not in known)
    if len(unknown) == len(predictions):
        raise DataError(
            f"none of its {len(predictions)} ids is in {task.spec.name}",
            where=str(path),
            hint=f"ids look like {found.rows[0].id!r}, not like {unknown[0]!r}",
        )
    given = len(predictions) - len(unknown)
    absent = {example.id for example in found.rows} - set(predictions)
    if missing == "zero":
        predictions = {example.id: predictions.get(example.id, "") for example in found.rows}
    examples = [example for example in found.rows if example.id in predictions]
    responses = [_as_response(example.id, predictions[example.id], None) for example in examples]
    _require_fit(task, metrics)
    extra = extra_metrics(task.spec, None, (), metrics)
    scores = score_answers(task, examples, responses, AnswerReading(extract=task.spec.extract), extra=extra)
    scores = _without_absent(scores, examples, absent)
    report = PredictionScores(
        schema=1,
        task=task.spec.name,
        task_version=task.spec.version,
        data=hash_examples(found.rows),
        files=tuple(file.path for file in found.files),
        n=len(examples),
        total=len(found.rows),
        coverage=given / len(found.rows),
        missing=missing,
        unknown=unknown,
        scores=scores.estimates,
    )
    return report, _item_lines(examples, predictions, scores)


def _without_absent(scores: Scores, examples: Sequence[Example], absent: Collection[str]) -> Scores:
    """Return `scores` with nothing for what has no prediction, where an empty answer would match an empty gold answer.

    Rules that drop articles and punctuation leave nothing of the gold answer "A", nor of an answer that is not there.
    """
    missing = [example.id in absent for example in examples]
    if not any(missing):
        return scores
    statistics, estimates = dict(scores.statistics), list(scores.estimates)
    clusters, groups = [each.cluster for each in examples], [each.group for each in examples]
    for place, each in enumerate(estimates):
        metric = find_metric(each.metric)
        if isinstance(metric, MeanMetric | CometMetric) and metric.higher_is_better and each.metric in statistics:
            rows = zip(missing, statistics[each.metric], strict=True)
            statistics[each.metric] = tuple((0.0, 1.0) if gone and row else row for gone, row in rows)
            rows_of = statistics[each.metric]
            estimates[place] = estimate(metric, examples[0].language, rows_of, clusters, groups=groups)
    return replace(scores, statistics=statistics, estimates=tuple(estimates))


def read_predictions(path: Path, language: str) -> dict[str, str]:
    """Return the predictions of a JSONL file by id: those of `language`, and those that name none.

    Raises DataError for bad lines, for ids that come twice in one language, and where no line is of `language`.
    """
    rows = read_records(path, PREDICTION_FIELDS, optional=("language",), beside_id="language")
    said: dict[object, dict[str, str]] = {language: {}, None: {}}
    for row in rows:
        said.setdefault(row.values.get("language"), {})[str(row.values["id"])] = str(row.values["prediction"])
    named, common = said[language], said[None]
    if not named and not common:
        other = str(rows[0].values["language"])
        raise DataError(f"no line is of {language!r}, the first is of {other!r}", where=str(path))
    return {**common, **named}


def rescore_run(
    folder: Path,
    task: Task,
    data_source: DataSource,
    metrics: Sequence[str] = (),
    results: str = RESULTS,
    note: Callable[[str], None] = lambda _: None,
) -> RunRecord:
    """Score the stored answers of a run folder again, with today's metrics, and replace its summary files.

    Besides the task's own metrics those of `metrics` are computed, and those that were computed before.
    The record says what is installed now in `scored_with`, and what gave the answers, as before, in `versions`.
    `results` names the record in the folder: another one where the run had a limit. The folder is locked before
    anything is read, so that no run changes it meanwhile; `note` as in `lock_folder`.
    Raises DataError where the data of the task are not those the run was made on, EnvironmentFault where a run is at
    work there.
    """
    path = folder / results
    with lock_folder(folder, note) as lease:
        samples_path = path.with_name(f"samples{path.stem.removeprefix('results')}.jsonl")
        record, lines = _rescored(path, samples_path.name, task, data_source, metrics)
        lease.check()
        write_atomically(samples_path, lines)
        write_atomically(path, pretty_json(to_json(record)))
    return record


def _rescored(
    path: Path, samples_name: str, task: Task, data_source: DataSource, metrics: Sequence[str]
) -> tuple[RunRecord, str]:
    """Return the new record, and the new text of the samples file."""
    folder = path.parent
    record = from_json(RunRecord, read_json(path), where=str(path))
    samples = read_samples(folder, samples_name, expected=record.protocol.n * (record.protocol.repeats or 1))
    asked = _asked(record, task, data_source, [str(sample["id"]) for sample in samples], folder)
    responses = [_stored(sample) for sample in samples]
    reading = reading_of(record.model, record.protocol.extract, record.protocol.repeats)
    _require_fit(task, metrics)
    extra = extra_metrics(task.spec, record, (), metrics)
    scores = score_answers(task, asked, responses, reading, extra=extra)
    scored = replace(
        record,
        estimates=scores.estimates,
        counts=recount(record.counts, scores),
        main_metric=task.spec.metrics[0],
        scored_with=installed_versions(VERSIONED),
        finished_at=timestamp(),
    )
    lines = []
    for index, sample in enumerate(samples):
        statistics = {name: to_json(values[index]) for name, values in scores.statistics.items()}
        kept = {name: value for name, value in sample.items() if name not in ANSWER_PARTS}
        parts = parts_of_answer(responses[index], scores.answers[index])
        line: Json = {**kept, **parts, "group": asked[index].group, "statistics": statistics}
        lines.append(canonical_json(line) + "\n")
    return with_hashes(scored, "".join(lines)), "".join(lines)


def _asked(record: RunRecord, task: Task, data_source: DataSource, names: Sequence[str], folder: Path) -> list[Example]:
    """Return the example of each name; DataError where the data are not those of the run."""
    protocol = record.protocol
    rows = task.examples(protocol.split, data_source).rows
    examples = {example.id: example for example in rows}
    if absent := [name for name in names if name not in examples]:
        raise DataError(
            f"example {absent[0]!r} is not in the data", where=str(folder), hint="give the run's own --data"
        )
    asked = [examples[name] for name in names]
    evaluated = tuple({example.id: example for example in asked}.values())
    if protocol.limit is not None:  # the hash of the data is of all that could have been asked
        choice = DemonstrationChoice(shots=protocol.shots, seed=protocol.seed or 0, data_source=data_source)
        _, evaluated = choose_demonstrations(task, rows, protocol.split, choice)
    if hash_examples(evaluated) != protocol.data:
        raise DataError("the data differ from those of the run", where=str(folder), hint="give the run's own --data")
    return asked


def _require_fit(task: Task, metrics: Sequence[str]) -> None:
    """Raise UsageError for a metric that does not fit the answers of a task, or that there is not."""
    for name in unfit(task.spec, metrics):
        raise UsageError(f"{name} judges translations, and {task.spec.name} asks for none", where="--metrics")


def results_of(folder: Path) -> list[Path]:
    """Return the results in a run folder: of the whole run, else those of runs with a limit; UsageError for none."""
    whole = folder / RESULTS
    is_there = whole.exists() or whole.is_symlink()  # what is no file is named where it is read
    found = [whole] if is_there else sorted(folder.glob(LIMITED))
    if not found:
        raise UsageError("no finished run here", where=str(folder), hint="name a folder that holds a results.json")
    return found


def recorded_task(path: Path) -> str:
    """Return the name of the task that the results at `path` are of; DataError for what are none."""
    return from_json(RunRecord, read_json(path), where=str(path)).protocol.task


def _stored(sample: Mapping[str, Json]) -> Response | None:
    answer, finish, likelihoods = (sample.get(name) for name in ("answer", "finish", "likelihoods"))
    if isinstance(likelihoods, list):
        known = tuple(from_json(Likelihood, each, where=f"sample {sample['id']}") for each in likelihoods)
        return replace(_as_response(str(sample["id"]), "", None), text=None, likelihoods=known)
    if not isinstance(answer, str):
        return None
    reasoning, tokens = sample.get("reasoning"), sample.get("thinking_tokens")
    known_finish = None if finish is None else from_json(Finish, finish, where=f"sample {sample['id']}")
    return replace(
        _as_response(str(sample["id"]), answer, known_finish),
        thinking=reasoning if isinstance(reasoning, str) else None,
        thinking_tokens=tokens if isinstance(tokens, int) else None,
    )


def _as_response(identifier: str, text: str, finish: Finish | None) -> Response:
    return Response(key=identifier, text=text, failure=None, finish=finish, prompt_tokens=None, tokens=None)


def _item_lines(examples: Sequence[Example], predictions: Mapping[str, str], scores: Scores) -> str:
    lines = []
    for index, example in enumerate(examples):
        statistics = {name: to_json(values[index]) for name, values in scores.statistics.items()}
        item: Json = {"id": example.id, "prediction": predictions[example.id], "statistics": statistics}
        lines.append(canonical_json(item) + "\n")
    return "".join(lines)
