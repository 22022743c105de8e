"""The file of an analysis: written by `xlingual analyze space`, read by it, by view and by report."""

from pathlib import Path

from ...errors import DataError
from ...files import pretty_json, read_json, write_atomically
from ...identity import Json, content_hash, slug
from ...serial import from_json, to_json
from .records import SCHEMA, SpaceRecord

PREFIX = "space-"


def save_space(record: SpaceRecord, folder: Path) -> Path:
    """Write `space-MODEL-HASH.json` into `folder`, which is made; the same model and settings have one file."""
    settings: list[Json] = [record.model.fingerprint, record.data, list(record.poolings), record.seed]
    path = folder / f"{PREFIX}{slug(record.model.name, content_hash(settings))}.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, pretty_json(to_json(record)))
    return path


def read_space(path: Path) -> SpaceRecord:
    """Read the file of an analysis; DataError naming file and field where it is none."""
    data = read_json(path)
    found = data.get("schema") if isinstance(data, dict) else None
    if found != SCHEMA:
        raise DataError(f"schema {found!r}, not {SCHEMA}", where=str(path), hint="analyse the model again")
    return from_json(SpaceRecord, data, where=str(path))


def read_spaces(folder: Path) -> tuple[SpaceRecord, ...]:
    """Read all analyses in a folder and those below it, in the order of their names; none where there is no folder."""
    return tuple(read_space(path) for path in sorted(folder.rglob(f"{PREFIX}*.json")))
