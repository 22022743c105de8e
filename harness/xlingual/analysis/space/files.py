"""The file of an analysis: written by `xlingual analyze space`, read by it, by view and by report."""

from pathlib import Path

from ...errors import DataError
from ...files import disk_fault, read_json, write_atomically
from ...identity import Json, canonical_json, content_hash, slug
from ...records import ModelSpec
from ...serial import from_json, to_json
from .analysis import METHOD, SpaceSettings
from .records import SCHEMA, SpaceRecord
from .sentences import ParallelText

PREFIX = "space-"


def space_file(spec: ModelSpec, text: ParallelText, settings: SpaceSettings, folder: Path) -> Path:
    """Return the file of an analysis in `folder`, "space-MODEL-HASH.json": one for a model, its data and settings."""
    identity: list[Json] = [SCHEMA, METHOD, spec.fingerprint, text.data, to_json(settings)]
    return folder / f"{PREFIX}{slug(spec.name, content_hash(identity))}.json"


def save_space(record: SpaceRecord, path: Path) -> None:
    """Write an analysis whole, into a folder that is made where need be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # In one line: indented, a number a line, it would be ten times as long.
        write_atomically(path, canonical_json(to_json(record)) + "\n")
    except OSError as error:
        raise disk_fault(error, path.parent) from error


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
