"""A split of a declared task to rows: of the data folder, a pinned address, the hub, or the TOML file itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..data import hub_table, locate
from ..errors import DataError, EnvironmentFault, XlingualError
from ..identity import Json
from ..plugin import DataSource
from ..records import DataFile, DatasetRef, HubSource, Origin, UrlSource
from .declaration import Declaration, HubRule, SourceRule
from .paths import fill_path, path_names
from .tables import Row, format_of, read_table


@dataclass(frozen=True, slots=True)
class FoundRows:
    """The rows of a split in one language."""

    rows: tuple[Row, ...]
    files: tuple[DataFile, ...]
    path: str
    """For messages."""


def read_rows(
    declaration: Declaration, language: str, split: str, columns: tuple[str, ...], data_source: DataSource
) -> FoundRows:
    """Return the rows of a split, those that the declaration's `where` leaves out left out.

    `columns` are those that are needed, so that no others are fetched from the hub. Errors as of `locate` and
    `hub_table`; DataError where no row is left.
    """
    source = declaration.splits[split].source
    names = path_names(language, split, declaration.languages[language].words)
    where = str(declaration.table.path)
    if source.rows is not None:
        rows = [Row(f" row {number}", values) for number, values in enumerate(source.rows, start=1)]
        rows = [row for row in rows if row.values.get("language", language) == language]
        found = FoundRows(tuple(rows), (), where)
    else:
        found = _read_file(declaration, source, names, columns, data_source)
    wanted = {column: fill_path(text, names, where) for column, text in source.where.items()}
    kept = tuple(row for row in found.rows if _has(row.values, wanted, found.path, row.place))
    if not kept:
        what = (
            "no rows" if not wanted else f"no row has {', '.join(f'{key} = {text!r}' for key, text in wanted.items())}"
        )
        raise DataError(f"{what} for {language} in {split}", where=found.path)
    return FoundRows(kept, found.files, found.path)


def _read_file(
    declaration: Declaration,
    source: SourceRule,
    names: Mapping[str, str],
    columns: tuple[str, ...],
    data_source: DataSource,
) -> FoundRows:
    where = str(declaration.table.path)
    paths = [fill_path(each, names, where) for each in source.files]
    plain = [path.partition("#")[0] for path in paths]
    local = data_source.sample or data_source.folder is not None
    if source.hub is not None and not local:
        needed = tuple(dict.fromkeys([*columns, *source.where]))
        path, file = _fetch(source.hub, names, needed, data_source, where)
        return FoundRows(tuple(read_table(path, "jsonl", source, "")), (file,), str(path))
    remotes: list[HubSource | UrlSource] = []
    if source.url is not None:
        member = None if source.member is None else fill_path(source.member, names, where)
        url = fill_path(source.url, {**names, "file": plain[0] if plain else ""}, where)
        remotes.append(UrlSource(url=url, sha256=source.sha256, member=member))
    name = f"{declaration.name}/{names['language']}.{names['split']}"
    ref = DatasetRef(name=name, candidates=tuple(plain), sample=plain[0] if plain else None, remotes=tuple(remotes))
    if not local and not remotes:
        hint = "give the folder of the files: --data DIR"
        raise DataError("the task names no place to download from", where=name, hint=hint)
    file = locate(ref, data_source)
    inside = next((full.partition("#")[2] for full in paths if Path(file.path).match(full.partition("#")[0])), "")
    if not inside and paths:
        inside = paths[0].partition("#")[2]
    kind = format_of(plain[0] if not local and plain else file.path, source)
    return FoundRows(tuple(read_table(Path(file.path), kind, source, inside)), (file,), file.path)


def _fetch(
    hub: HubRule, names: Mapping[str, str], columns: tuple[str, ...], data_source: DataSource, where: str
) -> tuple[Path, DataFile]:
    source = HubSource(
        repository=hub.repository,
        revision=hub.revision,
        subset=fill_path(hub.subset, names, where),
        split=fill_path(hub.split, names, where),
    )
    try:
        path, digest = hub_table(source, columns, offline=data_source.offline)
    except XlingualError as error:
        hint = "the columns and the commit are those of the TOML file; or give a folder with the files: --data DIR"
        if isinstance(error, EnvironmentFault):
            hint = "run once with a network, or give a folder with the files: --data DIR"
        raise type(error)(error.what, where=error.where, hint=hint) from error
    name = f"{hub.repository}/{source.subset}/{source.split}"
    return path, DataFile(name=name, origin=Origin.HUB, path=str(path), revision=hub.revision, sha256=digest)


def _has(values: Mapping[str, Json], wanted: Mapping[str, str], path: str, place: str) -> bool:
    for column, text in wanted.items():
        if column not in values:
            has = ", ".join(values)
            raise DataError(f"column {column!r} of `where` is missing (has: {has})", where=f"{path}{place}")
        if str(values[column]) != text:
            return False
    return True
