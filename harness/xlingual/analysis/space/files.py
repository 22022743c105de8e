"""The file of an analysis: written by `xlingual analyze space`, read by it, by view and by report."""

from pathlib import Path

from ...errors import DataError
from ...files import disk_fault, read_json, write_atomically
from ...identity import Json, canonical_json, content_hash, slug
from ...records import ModelSpec
from ...serial import from_json, to_json
from .analysis import METHOD, SpaceSettings
from .comparison import find_curve
from .measures import MEASURES
from .records import SCHEMA, LensRecord, SpaceRecord
from .sentences import ParallelText
from .token_language import OTHER, UNDECIDED

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
    record = from_json(SpaceRecord, data, where=str(path))
    if (fault := _find_fault(record)) is not None:
        raise DataError(fault, where=str(path), hint="analyse the model again")
    return record


def read_spaces(folder: Path) -> tuple[SpaceRecord, ...]:
    """Read all analyses in a folder and those below it, in the order of their names; none where there is no folder."""
    return tuple(read_space(path) for path in sorted(folder.rglob(f"{PREFIX}*.json")))


def _find_fault(record: SpaceRecord) -> str | None:
    """Return what of a record does not fit the rest of it, or None; tables and pictures take it as it is."""
    if len(set(record.languages)) < max(2, len(record.languages)) or not record.poolings or record.layers < 1:
        return "holds no languages, poolings or layers"
    curves = (*record.curves, *(() if record.lens is None else record.lens.overlap))
    whole = record.layers + 1
    for each in curves:
        if any(part is not None and len(part) != whole for part in (each.values, each.low, each.high)):
            return f"the curve {each.measure} of {each.scope} does not have a value for each of {record.layers} layers"
    for found in record.effects:
        if len(found.values) != whole or any(len(layer) != record.sentences for layer in found.values):
            return f"the effects of {found.measure} are not those of {record.layers} layers and all sentences"
        if find_curve(record.curves, found.measure, found.pooling) is None:
            return f"there are effects of {found.measure}, and no curve"
    layers = [*(each.layer or 0 for each in record.peaks), *(each.layer for each in record.projections)]
    if not all(0 <= each <= record.layers for each in layers):
        return f"names a layer that is none of {record.layers}"
    if unknown := [each.measure for each in record.peaks if each.measure not in MEASURES]:
        return f"no such measure: {unknown[0]!r}"
    if any(set(each.points) != set(record.languages) for each in record.projections):
        return "a map is of other languages"
    return None if record.lens is None else _find_lens_fault(record, record.lens)


def _find_lens_fault(record: SpaceRecord, lens: LensRecord) -> str | None:
    names = {*record.languages, OTHER, UNDECIDED}
    for each in lens.decoded:
        if each.language not in record.languages or set(each.shares) != names:
            return f"the lens of {each.language} is of other languages"
        if any(len(part) != record.layers + 1 for part in each.shares.values()):
            return f"the lens of {each.language} does not have a share for each of {record.layers} layers"
    wanted = {(code, best, shuffled) for code in record.languages for best in (1, lens.top_k) for shuffled in (0, 1)}
    if {(each.language, each.best, each.shuffled) for each in lens.decoded} != wanted:
        return "the lens lacks a language"
    return None
