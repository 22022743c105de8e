"""A file of weights whose header is none of safetensors is an error of the model, whatever the header holds."""

import struct
from importlib import import_module
from pathlib import Path

import pytest

from xlingual.errors import ModelError

check_safetensors = import_module("xlingual.plugins.models.hf.checkpoint.weight_headers").check_safetensors


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a": 1}',
        b'{"a": {}}',
        b'{"a": {"data_offsets": "08"}}',
        b'{"a": {"data_offsets": [0]}}',
        b'{"a": {"data_offsets": [0, "8"]}}',
        b'{"a": {"data_offsets": [0, 8]}, "a": {"data_offsets": [0, 8]}}',
    ],
)
def test_a_wrong_header(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 8)
    with pytest.raises(ModelError, match="not a safetensors file, or cut off within its header"):
        check_safetensors(path)


@pytest.mark.parametrize(("data", "is_whole"), [(8, True), (7, False), (9, False)])
def test_the_end_of_the_data(data: int, is_whole: bool, tmp_path: Path) -> None:
    header = b'{"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * data)
    if is_whole:
        check_safetensors(path)
        return
    with pytest.raises(ModelError, match=f"has {8 + len(header) + data} bytes instead of {16 + len(header)}"):
        check_safetensors(path)
