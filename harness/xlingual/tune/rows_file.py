"""Tokenized rows on disk: one array a file, memory-mapped when read, and their hash."""

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError
from ..files import disk_fault, replace_whole
from .records import EncodedRows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ARRAYS = ("tokens", "offsets", "answer_starts", "sources", "draws")
"""Fields of EncodedRows, each in `rows/FIELD.npy`."""
LEARNT = "learnt"
"""A field that only rows of several answers have."""
RESTORE_HINT = "xlingual tune plan makes them again"


def hash_rows(rows: EncodedRows) -> str:
    """Return the SHA-256 over name, dtype, shape and bytes of every array, 64 hex digits."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    digest = hashlib.sha256()
    for name in _arrays(rows):
        array = np.ascontiguousarray(getattr(rows, name))
        digest.update(f"{name} {array.dtype.newbyteorder('<').str} {array.shape}\n".encode("ascii"))
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
    return digest.hexdigest()


def _arrays(rows: EncodedRows) -> tuple[str, ...]:
    return ARRAYS if rows.learnt is None else (*ARRAYS, LEARNT)


def write_rows(rows: EncodedRows, folder: Path) -> None:
    """Write the arrays below `folder`, each whole or not at all; EnvironmentFault where they cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _arrays(rows):
            _write(getattr(rows, name), folder / f"{name}.npy")
    except OSError as error:
        raise disk_fault(error, folder) from error


def _write(array: "NDArray[np.generic]", path: Path) -> None:
    import numpy as np  # noqa: PLC0415 - the command line stays light

    with replace_whole(path) as stream:
        header = io.BytesIO()
        description = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_2_0(header, description)
        stream.write(header.getvalue())
        stream.write(np.ascontiguousarray(array).data)


def read_rows(folder: Path) -> EncodedRows:
    """Return the rows below `folder`, memory-mapped; EnvironmentFault or DataError where they cannot be read."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    arrays = []
    present = (*ARRAYS, LEARNT) if (folder / f"{LEARNT}.npy").is_file() else ARRAYS
    for name in present:
        path = folder / f"{name}.npy"
        try:
            arrays.append(np.load(path, mmap_mode="r", allow_pickle=False))
        except OSError as error:
            raise disk_fault(error, path) from error
        except (ValueError, EOFError) as error:
            raise DataError(f"no array ({error})", where=str(path), hint=RESTORE_HINT) from error
    return EncodedRows(*arrays)
