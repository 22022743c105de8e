"""Where a data file is: the packaged sample, the user's folder, the cache, or a pinned address; never a silent mix."""

from collections.abc import Iterable
from pathlib import Path

from ..errors import DataError, EnvironmentFault, UsageError
from ..files import MAX_BYTES, hash_file
from ..files.folders import cache_folder, real_path
from ..files.network import hub_is_offline
from ..plugin import DataSource
from ..plugin_files import plugin_folders
from ..records import DataFile, DatasetRef, HubSource, Origin, UrlSource
from ..text import did_you_mean
from .cache import safe_path
from .download import cached_url, download_hash, download_url
from .hub import cached_hub, download_hub
from .pins import find_pin

_NAMES_SHOWN = 3
"""Names of one file in a message."""


class NotInSampleError(DataError):
    """The packaged sample does not have the file."""


def locate(ref: DatasetRef, data_source: DataSource) -> DataFile:
    """Return the file of `ref`, downloaded if need be.

    The sample is taken only where it is asked for, and then nothing else; a folder of the user's is never completed
    from elsewhere; without one come the cache and then the remotes in their order. Raises UsageError where the folder
    does not exist, DataError where sample or folder lack the file or a download is not the pinned one, EnvironmentFault
    where no remote could be reached.
    """
    if data_source.sample:
        return _find_sample(ref)
    if data_source.folder is not None:
        return _find_local(ref, data_source.folder)
    for source in ref.remotes:
        found = cached_hub(source) if isinstance(source, HubSource) else cached_url(source)
        if found is not None:
            return _data_file(ref, Origin.CACHE, found, _revision(source))
    return _download(ref, offline=data_source.offline)


def locate_text(path: str, data_source: DataSource) -> DataFile:
    """Return the file of training text at `path` below the data folder or the packaged sample; it has no other home.

    Errors as of `locate`; UsageError where `data_source` names neither.
    """
    if not data_source.sample and data_source.folder is None:
        raise UsageError("say where the training data are", where=path, hint="--data DIR, or --data sample")
    if (
        data_source.folder is not None
        and data_source.folder.is_dir()
        and not (wanted := safe_path(data_source.folder, path)).is_file()
    ):
        raise DataError("no such file of training text", where=str(wanted), hint=_near(wanted, data_source.folder))
    return locate(DatasetRef(name=path, candidates=(path,), sample=path, remotes=()), data_source)


def _near(wanted: Path, folder: Path) -> str:
    """Return a hint for a file that is not there: the nearest folder that is, and what it holds that looks like it."""
    if wanted.is_dir():
        held = did_you_mean("", sorted(each.name for each in wanted.iterdir())) or "nothing"
        return f"it is a folder, and a path is that of a file; in it: {held}"
    present = next(parent for parent in wanted.parents if parent.is_dir())
    missing = wanted.relative_to(present).parts[0]
    near = did_you_mean(missing, sorted(each.name for each in present.iterdir()))
    return f"paths of a recipe are below --data {folder}; in {present}: {near}"


def _find_sample(ref: DatasetRef) -> DataFile:
    if ref.sample is not None:
        for folder in _sample_folders():
            path = safe_path(folder, ref.sample)
            if path.is_file():
                return _data_file(ref, Origin.SAMPLE, (path, hash_file(path)), None)
    hint = "use --data DIR with the original files"
    raise NotInSampleError("the packaged sample has no such file", where=ref.name, hint=hint)


def _sample_folders() -> list[Path]:
    return [folder / "sample" for folder in plugin_folders("tasks")]


def _find_local(ref: DatasetRef, folder: Path) -> DataFile:
    if not folder.is_dir():
        raise UsageError("no such folder", where=f"--data {folder}")
    paths = [safe_path(folder, candidate) for candidate in ref.candidates]
    for path in paths:
        if path.is_file():
            _check_size(path)
            inside_sample = any(real_path(path).is_relative_to(real_path(sample)) for sample in _sample_folders())
            origin = Origin.SAMPLE if inside_sample else Origin.LOCAL
            return _data_file(ref, origin, (path, hash_file(path)), None)
    what = f"not in the data folder; looked for {_first_names(map(str, paths), ', ')}"
    hint = "leave --data out to use the cache and the official sources" if ref.remotes else "put the file there"
    if scripts := sorted(path.name for path in folder.glob("*.py")):
        what += f"; the script {scripts[0]} there is never run"
        hint = "put the original data files there" + (", or leave --data out" if ref.remotes else "")
    raise DataError(what, where=ref.name, hint=hint)


def _check_size(path: Path) -> None:
    """Raise DataError for a file that no reader would take, before all of it is read for its hash."""
    size = path.stat().st_size
    if size > MAX_BYTES and path.suffix != ".parquet":
        raise DataError(f"{size:,} bytes are over the limit of {MAX_BYTES:,} bytes a file", where=str(path))


def _first_names(names: Iterable[str], between: str) -> str:
    """Return the first few of `names`, and how many more there are: docs/tasks.md lists them all."""
    names = list(names)
    more = [f"{len(names) - _NAMES_SHOWN} other names"] if len(names) > _NAMES_SHOWN else []
    return between.join([*names[:_NAMES_SHOWN], *more]) or "nothing"


def _download(ref: DatasetRef, *, offline: bool) -> DataFile:
    """Try the remotes in order; a remote that fails is noted, a file that is not the pinned one ends it."""
    hint = "give a folder with the original files: --data DIR"
    if ref.candidates:
        hint += f" that holds {_first_names((f'DIR/{candidate}' for candidate in ref.candidates), ' or ')}"
    if offline or hub_is_offline():
        what = f"not in the cache ({cache_folder()}), and offline: no download"
        raise EnvironmentFault(what, where=ref.name, hint=hint)
    tried = []
    for source in ref.remotes:
        try:
            if isinstance(source, HubSource):
                return _data_file(ref, Origin.HUB, download_hub(source), _revision(source))
            return _data_file(ref, Origin.URL, download_url(source), _revision(source))
        except EnvironmentFault as error:
            tried.append(str(error))
    what = f"not in the cache ({cache_folder()}), and cannot be downloaded"
    raise EnvironmentFault("\n".join([what, *(f"  {each}" for each in tried)]), where=ref.name, hint=hint)


def _revision(source: HubSource | UrlSource) -> str | None:
    if isinstance(source, HubSource):
        return source.revision
    pin = find_pin(source.url)
    return (pin.revision if pin is not None else None) or download_hash(source)


def _data_file(ref: DatasetRef, origin: Origin, found: tuple[Path, str], revision: str | None) -> DataFile:
    path, digest = found
    return DataFile(name=ref.name, origin=origin, path=str(path), revision=revision, sha256=digest)
