"""Single members of zip and tar archives; nothing else of an archive is ever unpacked."""

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import DataError
from ..files import MAX_BYTES
from ..text import did_you_mean

_BLOCK = 2**20


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
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
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
    with tarfile.open(archive) as opened:
        try:
            information = opened.getmember(member)
        except KeyError:
            raise _absent(member, opened.getnames(), where) from None
        stream = opened.extractfile(information) if information.isreg() else None
        if stream is None:
            raise DataError("is not a regular file", where=where)
        with stream:
            yield stream


def _absent(member: str, names: list[str], where: str) -> DataError:
    return DataError("the archive has no such member", where=where, hint=did_you_mean(member, names))
