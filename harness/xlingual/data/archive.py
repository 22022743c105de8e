"""Single members of zip and tar archives; nothing else of an archive is ever unpacked."""

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from ..errors import DataError
from ..files import MAX_BYTES
from ..text import did_you_mean

_BLOCK = 2**20
MAX_ARCHIVE = 4 * MAX_BYTES
"""Bytes of a tar file, unpacked, before and with the member that is looked for."""
MAX_HEADER = 2**24
"""Bytes of a header of a member; with its attributes it may have some hundred."""


def read_member(archive: Path, member: str) -> Iterator[bytes]:
    """Yield the bytes of the regular file `member` in a zip or tar archive, in blocks.

    Raises DataError for a damaged archive, and for a member that is absent, no regular file, or over
    `files.MAX_BYTES` once unpacked.
    """
    where = f"{archive}: {member}"
    try:
        opener = _open_zip_member if zipfile.is_zipfile(archive) else _open_tar_member
        with opener(archive, member, where) as stream:
            total = 0
            while block := stream.read(_BLOCK):
                total += len(block)
                if total > MAX_BYTES:
                    raise DataError(f"unpacks to more than the limit of {MAX_BYTES:,} bytes a file", where=where)
                yield block
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
            RuntimeError) as error:  # fmt: skip
        raise _damaged(error, where) from error
    except OSError as error:
        raise _damaged(error, where) from error


def _damaged(error: Exception, where: str) -> DataError:
    return DataError(f"cannot be unpacked ({error})", where=where, hint="delete the archive to have it fetched anew")


@contextmanager
def _open_zip_member(archive: Path, member: str, where: str) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(archive) as opened:
        if member not in opened.namelist():
            raise _absent(member, opened.namelist(), where)
        information = opened.getinfo(member)
        kind = stat.S_IFMT(information.external_attr >> 16)
        if information.is_dir() or kind not in (0, stat.S_IFREG):
            raise DataError("is not a regular file", where=where)
        with opened.open(information) as stream:
            yield stream


@contextmanager
def _open_tar_member(archive: Path, member: str, where: str) -> Iterator[IO[bytes]]:
    with _open_packed(archive) as packed, tarfile.open(fileobj=_Measured(packed, where), mode="r:") as opened:
        names, information = [], None
        for each in opened:
            names.append(each.name)
            if each.name == member:
                information = each
                break
        if information is None:
            raise _absent(member, names, where)
        stream = opened.extractfile(information) if information.isreg() else None
        if stream is None:
            raise DataError("is not a regular file", where=where)
        with stream:
            yield stream


def _open_packed(archive: Path) -> IO[bytes]:
    """Return what a tar file is packed in, unpacked while it is read."""
    with archive.open("rb") as stream:
        magic = stream.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.open(archive))
    if magic.startswith(b"BZh"):
        return bz2.open(archive)
    if magic == b"\xfd7zXZ\0":
        return cast("IO[bytes]", lzma.open(archive))
    return archive.open("rb")


class _Measured(io.RawIOBase):
    """A tar file that claims no more than it may: by its headers it could be of any size, and packed in a few bytes."""

    def __init__(self, inner: IO[bytes], where: str) -> None:
        """Read `inner`; `where` is for messages."""
        self.inner = inner
        self.where = where

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place."""
        return self.inner.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place; DataError for one beyond the limit."""
        self._check(offset if whence == 0 else self.tell() + offset)
        return self.inner.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes; DataError for more at once than any header has."""
        if not 0 <= size <= MAX_HEADER:
            raise DataError(f"claims a header of more than {MAX_HEADER:,} bytes", where=self.where)
        self._check(self.tell() + size)
        return self.inner.read(size)

    def _check(self, place: int) -> None:
        if place > MAX_ARCHIVE:
            raise DataError(f"unpacks to more than the limit of {MAX_ARCHIVE:,} bytes", where=self.where)


def _absent(member: str, names: list[str], where: str) -> DataError:
    return DataError("the archive has no such member", where=where, hint=did_you_mean(member, names))
