"""The names that data files of questions go by in the folders of users, best first."""

from collections.abc import Sequence

_ORIGINALS = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
_TABLES = ("-00000-of-00001.parquet", "-00000.parquet", "/0000.parquet")
"""How the hub calls the one file of a split; the last is that of its parquet branches."""


def question_files(folders: Sequence[str], stem: str) -> tuple[str, ...]:
    """Return the names of a file of questions that is called by its data set, below each of `folders` ("": on top)."""
    return tuple(_below(folder, f"{stem}{ending}") for ending in _ORIGINALS for folder in folders)


def hub_files(folders: Sequence[str], subset: str, splits: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the hub's parquet file of one of `splits`, in the folder that is called by its subset.

    Such a file outside of that folder does not say which language it holds, and has no place among the names.
    """
    tables = [f"{subset}/{split}{ending}" for split in splits for ending in _TABLES]
    return tuple(_below(folder, table) for table in tables for folder in folders)


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
