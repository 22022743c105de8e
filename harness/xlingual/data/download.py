"""Files from their official addresses into the cache, held to their SHA-256.

Not by pooch, which does not hold a file without a pin to its first download, writes over a damaged file instead of
setting it aside, and does not sync what it has written to the disk.
"""

from pathlib import Path
from urllib.parse import urlsplit

from ..errors import DataError
from ..files.folders import cache_folder
from ..files.network import stream_url
from ..identity import content_hash
from ..records import UrlSource
from .archive import read_member
from .cache import find, safe_path, sidecar, store, stored_hash
from .pins import find_pin


def cached_url(source: UrlSource) -> tuple[Path, str] | None:
    """Return the cached file of `source` and its SHA-256, or None; no network.

    A member that is not unpacked yet is taken from its archive where the cache has that.
    """
    path = _download_path(source)
    if source.member is None:
        digest = find(path, source.sha256)
        return None if digest is None else (path, digest)
    unpacked = _member_path(source, source.member)
    if digest := find(unpacked, None):
        return unpacked, digest
    return _unpack(source, source.member) if find(path, source.sha256) else None


def download_url(source: UrlSource) -> tuple[Path, str]:
    """Fetch `source` into the cache and return the path of its file and its SHA-256.

    Raises EnvironmentFault where the server cannot be reached or does not give the whole file, DataError where the file
    is not the pinned one, or, without a pin, not the one that was first downloaded.
    """
    path = _download_path(source)
    expected = source.sha256 or stored_hash(path)

    def check(actual: str) -> None:
        if expected is not None and actual != expected:
            raise _mismatch(source, expected, actual)

    digest = store(path, stream_url(source.url), check)
    return (path, digest) if source.member is None else _unpack(source, source.member)


def download_hash(source: UrlSource) -> str | None:
    """Return the SHA-256 of the whole download of `source`: its pin, or what was stored with the first download."""
    return source.sha256 or stored_hash(_download_path(source))


def _mismatch(source: UrlSource, expected: str, actual: str) -> DataError:
    what = f"sha256 is {actual}, expected {expected}"
    if source.sha256 is None:
        path = sidecar(_download_path(source))
        return DataError(
            f"{what}, that of the first download",
            where=source.url,
            hint=f"the file at that address was changed; delete {path} to accept it",
        )
    pin = find_pin(source.url)
    if pin is not None and not pin.checked:
        what += f"; this pin could never be verified by the maintainers ({pin.evidence})"
    return DataError(what, where=source.url, hint="give the original files with --data DIR, and report the difference")


def _unpack(source: UrlSource, member: str) -> tuple[Path, str]:
    path = _member_path(source, member)
    return path, store(path, read_member(_download_path(source), member), lambda _: None)


def _folder(source: UrlSource) -> Path:
    """Return the folder of a download; another pin is another folder, so that an old file is never taken for a new."""
    return cache_folder() / "data" / content_hash([source.url, source.sha256])[:16]


def _download_path(source: UrlSource) -> Path:
    return _folder(source) / (Path(urlsplit(source.url).path).name or "download")


def _member_path(source: UrlSource, member: str) -> Path:
    return safe_path(_folder(source) / "members", member)
