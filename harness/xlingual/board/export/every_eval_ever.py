"""A leaderboard as records of Every Eval Ever, a shared format for results of evaluations (schema 0.3.0).

https://github.com/evaleval/every_eval_ever has the schema and a validator.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from ...escape import LINE_LENGTH, show_hidden
from ...files import pretty_json
from ...identity import Json, content_hash
from ..collection import Collection, estimate_bounds
from ..comparison import find_estimate
from ..rows import Board
from .entries import Entry, board_entries
from .instances import SCHEMA_VERSION, InstanceSource, instance_lines
from .model_index import dataset_name, hub_dataset

_CONFIDENCE = 0.95
_ANYWHERE = frozenset({"openai", "lm-eval"})
"""Backends that may ask a server which somebody else runs."""


def eee_lines(board: Board, collection: Collection, _command: str) -> str:
    """Return one record a model, each a line of JSON: a line is the content of one file of their repository.

    Complete scores only: their validator refuses a missing one, and a reader takes each for the whole test set.
    """
    records = _records(board, collection)
    return "".join(f"{json.dumps(record, ensure_ascii=False, allow_nan=False)}\n" for record in records)


def eee_files(board: Board, collection: Collection, *, samples: bool = False) -> Mapping[str, str]:
    """Return the same records by the path that a file has in their repository: data/xlingual/ORG/NAME/UUID.json.

    The UUID is made of the content, so that the same board gives the same files. With `samples`, each has a file
    UUID_samples.jsonl beside it, with prompts, answers and gold answers; DataError for samples that cannot be read.
    """
    files: dict[str, str] = {}
    for entries in _by_model(board, collection):
        record = _record(board, entries)
        path = f"data/xlingual/{_folder(record)}/{uuid.UUID(hex=content_hash(record)[:32], version=4)}"
        if samples:
            lines = instance_lines(_instances(record, entries))
            files[f"{path}_samples.jsonl"] = "".join(lines)
            record["detailed_evaluation_results"] = {
                "format": "jsonl",
                "file_path": f"{path}_samples.jsonl",
                "hash_algorithm": "sha256",
                "checksum": hashlib.sha256("".join(lines).encode("utf-8")).hexdigest(),
                "total_rows": len(lines),
            }
        files[f"{path}.json"] = pretty_json(record)
    return files


def _instances(record: Mapping[str, Json], entries: Sequence[Entry]) -> Iterator[InstanceSource]:
    for entry in entries:
        if entry.run is not None:
            yield InstanceSource(
                entry=entry,
                evaluation_id=str(record["evaluation_id"]),
                model_id=_folder(record),
                name=_text(dataset_name(entry)),
                result_id=_result_id(entry),
            )


def _folder(record: Mapping[str, Json]) -> str:
    model = record["model_info"]
    return str(model["id"]) if isinstance(model, Mapping) else "unknown"


def _records(board: Board, collection: Collection) -> list[dict[str, Json]]:
    return [_record(board, entries) for entries in _by_model(board, collection)]


def _by_model(board: Board, collection: Collection) -> list[list[Entry]]:
    entries = [each for each in board_entries(board, collection) if each.published and each.whole]
    labels = dict.fromkeys(each.model for each in entries)
    return [[each for each in entries if each.model == label] for label in labels]


def _record(board: Board, entries: Sequence[Entry]) -> dict[str, Json]:
    first = entries[0]
    newest = max((each.run.finished for each in entries if each.run is not None), default=_moment(board.newest))
    seconds = str(int(newest.timestamp()))
    identity = f"{board.name}/{first.spec.fingerprint[:16]}/{seconds}"
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": _text(identity),
        "evaluation_timestamp": seconds,
        "retrieved_timestamp": seconds,
        "source_metadata": {
            "source_name": _text(board.title),
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "xlingual", "version": _versions(entries)},
        "model_info": _model(first),
        "evaluation_results": [_result(each) for each in entries],
    }


def _moment(newest: str | None) -> datetime:
    moment = datetime.fromisoformat(newest) if newest is not None else datetime.fromtimestamp(0, UTC)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _versions(entries: Sequence[Entry]) -> str:
    found = {each.run.record.versions.get("xlingual") for each in entries if each.run is not None}
    return _text(", ".join(sorted(version for version in found if version is not None)) or "unknown")


def _model(entry: Entry) -> Json:
    spec = entry.spec
    details: dict[str, Json] = {
        "deployment_type": "unknown" if spec.backend in _ANYWHERE else "self_deployed",
        "model_availability": "unknown",
        "fingerprint": spec.fingerprint,
        "backend": _text(spec.backend),
    }
    optional = {"revision": spec.revision, "dtype": spec.dtype, "parent": spec.parent}
    details |= {name: _text(value) for name, value in optional.items() if value is not None}
    name = _text(spec.name) or "unnamed"
    return {"name": name, "id": model_id(name), "additional_details": details}


def model_id(name: str) -> str:
    """Return ORG/NAME, as their folders have it."""
    parts = [re.sub(r"[^\w.+-]+", "-", part).strip("-.") or "unnamed" for part in name.split("/")][-2:]
    return "/".join(parts if len(parts) == 2 else ["unknown", *parts])


def _result(entry: Entry) -> Json:
    protocol, run = entry.protocol, entry.run
    result: dict[str, Json] = {
        "evaluation_result_id": _result_id(entry),
        "evaluation_name": _text(dataset_name(entry)),
        "source_data": _source(entry),
        "metric_config": _metric(entry),
        "score_details": _score(entry),
    }
    if run is not None:
        result["evaluation_timestamp"] = str(int(run.finished.timestamp()))
    if protocol is not None:
        arguments: dict[str, Json] = {"prompt_template": _text(protocol.template)}
        if protocol.max_new_tokens > 0:
            arguments["max_tokens"] = protocol.max_new_tokens
        if protocol.sampling is None and protocol.sampling_source is None:
            arguments["temperature"] = 0.0
        details: dict[str, Json] = {"shots": str(protocol.shots), "prompts": protocol.prompts}
        result["generation_config"] = {"generation_args": arguments, "additional_details": details}
    return result


def _result_id(entry: Entry) -> str:
    return _text(f"{entry.task}:{entry.metric}:{content_hash(_protocol_text(entry))[:12]}")


def _protocol_text(entry: Entry) -> str:
    return "" if entry.protocol is None else repr(entry.protocol)


def _source(entry: Entry) -> Json:
    details: dict[str, Json] = {"language": _text(entry.language)}
    if entry.protocol is not None:
        details |= {"split": _text(entry.protocol.split), "data": entry.protocol.data}
    source: dict[str, Json] = {"dataset_name": _text(dataset_name(entry)), "source_type": "other"}
    if (place := hub_dataset(entry)) is not None:
        source |= {"source_type": "hf_dataset", "hf_repo": place[0]}
        if entry.protocol is not None:
            source |= {"hf_split": _text(entry.protocol.split), "samples_number": entry.protocol.n}
    return {**source, "additional_details": details}


def _metric(entry: Entry) -> Json:
    estimate = find_estimate(entry.run.record, entry.metric) if entry.run is not None else None
    least, most = estimate_bounds(estimate) if estimate is not None else (None, None)
    config: dict[str, Json] = {
        "metric_id": _text(entry.metric),
        "lower_is_better": not entry.higher_is_better,
        "additional_details": {"signature": _text(entry.signature or "unknown")},
    }
    if estimate is not None:
        config["score_type"] = "continuous"
        config["min_score"] = least if least is not None else "-Infinity"
        config["max_score"] = most if most is not None else "Infinity"
        if (least, most) == (0.0, 100.0):
            config["metric_unit"] = "percent"
    return config


def _score(entry: Entry) -> Json:
    uncertainty: dict[str, Json] = {}
    details: Mapping[str, Json] = {"state": entry.state}
    if (cell := entry.cell) is not None:
        uncertainty["num_samples"] = cell.n
        if cell.low is not None and cell.high is not None:
            interval: dict[str, Json] = {"lower": cell.low, "upper": cell.high, "confidence_level": _CONFIDENCE}
            if cell.interval is not None:
                interval["method"] = _text(cell.interval)
            uncertainty["confidence_interval"] = interval
        if cell.clusters is not None:
            details = {**details, "clusters": str(cell.clusters)}
    return {"score": entry.value, "details": dict(details), "uncertainty": uncertainty}


def _text(text: str) -> str:
    return show_hidden(text, LINE_LENGTH)
