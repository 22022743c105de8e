"""Single samples as instance records of Every Eval Ever (schema 0.3.0): prompt, answer, gold answers, score."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import DataError
from ...identity import Json, repair_surrogates
from ...metrics import find_metric
from ...plugin import Metric
from ...store import read_samples
from ..collection import RESULTS_FILE
from .entries import Entry

SCHEMA_VERSION = "0.3.0"
"""Of Every Eval Ever: of its records, and of its instance records."""
CORRECT_FROM = 50.0
"""Points from which on a sample is called correct, which the schema wants to know of graded scores, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSource:
    """A score whose samples are wanted, and how its records are named in their aggregate."""

    entry: Entry
    evaluation_id: str
    model_id: str
    name: str
    result_id: str


def instance_lines(sources: Iterable[InstanceSource]) -> list[str]:
    """Return a line of JSON for each scored answer of each source; DataError for samples that cannot be read."""
    return [f"{_dump(record)}\n" for source in sources for record in _records(source)]


def _dump(record: Json) -> str:
    return repair_surrogates(json.dumps(record, ensure_ascii=False, allow_nan=False))


def _records(source: InstanceSource) -> Iterator[Json]:
    run = source.entry.run
    if run is None or run.path is None or run.is_group or run.path.name != RESULTS_FILE:
        return
    metric = find_metric(source.entry.metric, task=source.entry.task)
    for sample in read_samples(run.path.parent):
        score = _score(sample, metric, run.where)
        output = _output(sample)
        if score is not None and output is not None:
            yield _record(source, sample, output, score)


def _record(source: InstanceSource, sample: Mapping[str, Json], output: str, score: float) -> Json:
    run = source.entry.run
    extract = run.record.protocol.extract if run is not None else None
    scored, thinking = sample.get("scored"), sample.get("thinking")
    raw, targets = _prompt(sample), _texts(sample.get("targets"))
    known = {"language": source.entry.language, "is_correct": f"score of {CORRECT_FROM:g} or more"}
    if isinstance(sample.get("repeat"), int):
        known["repeat"] = str(sample["repeat"])
    given: dict[str, Json] = {"raw": raw, "reference": targets}
    if choices := _texts(sample.get("choices")):
        given["choices"] = choices
    said: dict[str, Json] = {"raw": [output]}
    if isinstance(thinking, str):
        said["reasoning_trace"] = [thinking]
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": source.evaluation_id,
        "model_id": source.model_id,
        "evaluation_name": source.name,
        "evaluation_result_id": source.result_id,
        "sample_id": str(sample["id"]),
        "sample_hash": hashlib.sha256(repair_surrogates("".join((raw, *targets))).encode("utf-8")).hexdigest(),
        "interaction_type": "single_turn",
        "input": given,
        "output": said,
        "messages": None,
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": scored if isinstance(scored, str) else output,
                "extraction_method": extract or "none",
                "is_terminal": True,
            }
        ],
        "evaluation": {"score": score, "is_correct": (score >= CORRECT_FROM) is source.entry.higher_is_better},
        "metadata": {name: value for name, value in known.items() if value},
    }


def _score(sample: Mapping[str, Json], metric: Metric, where: str) -> float | None:
    """Return the score of one sample by itself, on the scale of the metric; None where it has none."""
    statistics = sample["statistics"]
    values = statistics.get(metric.name) if isinstance(statistics, Mapping) else None
    if values is None:
        return None
    try:
        score = float(metric.combine(np.asarray(values, dtype=np.float64)))
    except (TypeError, ValueError) as error:
        raise DataError(f"sample {sample['id']} has no statistics of {metric.name}", where=where) from error
    return score if np.isfinite(score) else None


def _output(sample: Mapping[str, Json]) -> str | None:
    """Return the answer, or the likeliest choice; None for a sample without either."""
    answer, choices, likelihoods = (sample.get(name) for name in ("answer", "choices", "likelihoods"))
    if isinstance(answer, str):
        return answer
    if not isinstance(choices, list) or not isinstance(likelihoods, list):
        return None
    sums = [each["logarithm"] for each in likelihoods if isinstance(each, Mapping)]
    known = [float(each) for each in sums if isinstance(each, int | float)]
    texts = _texts(choices)
    return texts[known.index(max(known))] if known and len(known) == len(texts) else None


def _prompt(sample: Mapping[str, Json]) -> str:
    """Return the messages as one text; a single one is that text."""
    messages = sample.get("messages")
    rows = [each for each in messages if isinstance(each, Mapping)] if isinstance(messages, list) else []
    if len(rows) == 1:
        return str(rows[0].get("text", ""))
    return "\n\n".join(f"{each.get('role')}: {each.get('text')}" for each in rows)


def _texts(values: Json) -> list[str]:
    items: Sequence[Json] = values if isinstance(values, list) else ()
    return [
        each if isinstance(each, str) else str(each.get("text", ""))
        for each in items
        if isinstance(each, str | Mapping)
    ]
