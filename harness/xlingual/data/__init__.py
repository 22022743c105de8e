"""Data sets to rows: DatasetRef -> locate -> DataFile -> read_squad, read_parallel or a reader of training text."""

from ..files import Problem, data_error, hash_file, read_json, read_text, split_lines
from ..files.folders import cache_folder
from ..files.network import hub_is_offline
from .corpus import (
    column_pair,
    conversation_examples,
    fill_path,
    find_pair,
    instruction_examples,
    pair_examples,
    required_direction,
)
from .file_hashes import FileState, hash_once, known_hashes, learn_hashes
from .file_names import hub_files, question_files
from .hub import hub_fault, hub_table
from .jsonl import JsonRow, PlacedRecord, read_placed_records, read_records, type_problem
from .location import NotInSampleError, locate, locate_text
from .parallel import aligned_lines, read_lines, read_parallel
from .pins import PINS, Pin, flores101_sources, mlqa_sources, xquad_sources
from .squad import check_offsets, read_squad, squad_examples

__all__ = [
    "PINS",
    "FileState",
    "JsonRow",
    "NotInSampleError",
    "Pin",
    "PlacedRecord",
    "Problem",
    "aligned_lines",
    "cache_folder",
    "check_offsets",
    "column_pair",
    "conversation_examples",
    "data_error",
    "fill_path",
    "find_pair",
    "flores101_sources",
    "hash_file",
    "hash_once",
    "hub_fault",
    "hub_files",
    "hub_is_offline",
    "hub_table",
    "instruction_examples",
    "known_hashes",
    "learn_hashes",
    "locate",
    "locate_text",
    "mlqa_sources",
    "pair_examples",
    "question_files",
    "read_json",
    "read_lines",
    "read_parallel",
    "read_placed_records",
    "read_records",
    "read_squad",
    "read_text",
    "required_direction",
    "split_lines",
    "squad_examples",
    "type_problem",
    "xquad_sources",
]
