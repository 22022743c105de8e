"""Data sets to rows: DatasetRef -> locate -> DataFile -> read_squad or read_parallel -> Example."""

from .cache import cache_folder, hash_file
from .json_file import Row, read_json, read_records
from .location import locate
from .parallel import read_lines, read_parallel
from .pins import PINS, Pin, flores101_sources, mlqa_sources, xquad_sources
from .squad import check_offsets, read_squad

__all__ = [
    "PINS",
    "Pin",
    "Row",
    "cache_folder",
    "check_offsets",
    "flores101_sources",
    "hash_file",
    "locate",
    "mlqa_sources",
    "read_json",
    "read_lines",
    "read_parallel",
    "read_records",
    "read_squad",
    "xquad_sources",
]
