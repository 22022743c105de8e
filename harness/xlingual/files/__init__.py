"""Files: read strictly, written whole or not at all.

Read in this order: `writing` (a file is the old one or the new one, never a mix), `text_file` (bytes to text),
`json_file` (text to JSON), `problems` (one error that names everything wrong with a file), `hashing` (the SHA-256 of a
file), `network` (what is fetched).
Every JSON file is read by `read_json`, `read_json_object`, `read_json_lines` or, a line at a time, `parse_object`.
"""

from .hashing import hash_file
from .json_file import (
    MAX_DEPTH,
    MAX_JSON_BYTES,
    parse_object,
    pretty_json,
    read_json,
    read_json_lines,
    read_json_object,
)
from .problems import Problem, data_error
from .text_file import (
    MAX_BYTES,
    MAX_LINE_BYTES,
    MAX_TEXT,
    open_to_read,
    read_fault,
    read_text,
    require_file,
    split_lines,
)
from .writing import disk_fault, remove_file, replace_whole, sync_path, write_atomically

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_JSON_BYTES",
    "MAX_LINE_BYTES",
    "MAX_TEXT",
    "Problem",
    "data_error",
    "disk_fault",
    "hash_file",
    "open_to_read",
    "parse_object",
    "pretty_json",
    "read_fault",
    "read_json",
    "read_json_lines",
    "read_json_object",
    "read_text",
    "remove_file",
    "replace_whole",
    "require_file",
    "split_lines",
    "sync_path",
    "write_atomically",
]
