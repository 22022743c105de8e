"""Where converted COMET models lie, and whether they are what they should be."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...errors import DataError
from ...files import hash_file, read_json
from ...files.folders import cache_folder
from ...serial import from_json
from .model_record import RECORD, SCHEMA, TOKENIZER, WEIGHTS, CometRecord, find_fault

FOLDER = "XLINGUAL_COMET_DIR"
"""The variable that names the folder of the models, one folder a metric."""


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A converted model on this machine, or why there is none that can be used."""

    folder: Path
    record: CometRecord | None
    fault: str | None
    """None: it can be used, as far as can be told without reading the weights."""


def model_folder(name: str) -> Path:
    """Return the folder of the model of the metric `name`: below $XLINGUAL_COMET_DIR, else in the cache."""
    word = os.environ.get(FOLDER)
    return (Path(word).expanduser() if word else cache_folder() / "comet") / name


def find_model(name: str) -> FoundModel:
    """Return the model of the metric `name`, without reading its weights."""
    folder = model_folder(name)
    path = folder / RECORD
    if not path.is_file():
        return FoundModel(folder, None, f"the model {name} is not on this machine")
    try:
        content = read_json(path)
        if isinstance(content, dict) and content.get("schema") != SCHEMA:
            return FoundModel(folder, None, f"{path} has schema {content.get('schema')}, not {SCHEMA}")
        record = from_json(CometRecord, content, where=str(path))
    except DataError as error:
        return FoundModel(folder, None, str(error))
    weights, tokenizer = folder / WEIGHTS, folder / TOKENIZER
    if record.name != name:
        return FoundModel(folder, None, f"{path} is of {record.name}")
    if (fault := find_fault(record)) is not None:
        return FoundModel(folder, None, f"{path}: {fault}")
    if not weights.is_file() or not tokenizer.is_file():
        return FoundModel(folder, None, f"{folder} lacks {WEIGHTS if not weights.is_file() else TOKENIZER}")
    if weights.stat().st_size != record.weights_bytes:
        return FoundModel(folder, None, f"{weights} has {weights.stat().st_size:,} bytes, not {record.weights_bytes:,}")
    return FoundModel(folder, record, None)


def find_change(found: FoundModel) -> str | None:
    """Return which file of a model is not the one that was converted, by its SHA-256, or None; reads it all."""
    if found.record is None:
        return found.fault
    for name, expected in ((WEIGHTS, found.record.weights_sha256), (TOKENIZER, found.record.tokenizer_sha256)):
        path = found.folder / name
        status = path.stat()
        digest = _digest(path, status.st_mtime_ns, status.st_size)
        if digest != expected:
            return f"{path} has changed: its SHA-256 is {digest[:8]}..., not {expected[:8]}..."
    return None


@lru_cache(maxsize=8)
def _digest(path: Path, _changed: int, _size: int) -> str:
    return hash_file(path)
