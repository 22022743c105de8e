"""GGUF files that are none: each is named, and leaves nothing behind."""

from pathlib import Path

import pytest

from xlingual.errors import ModelError
from xlingual.plugin import ModelOptions
from xlingual.registry import MODELS


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGUF",
        b"GGUF\x03\x00\x00\x00",
        b"GGUF" + b"\x00" * 40,
        b"GGUF\x03\x00\x00\x00" + b"\xff" * 64,
        b"GGUF\x03\x00\x00\x00" + b"\x01" + b"\x00" * 7 + b"\x40" + b"\x00" * 7 + b"\x05" + b"\x00" * 7 + b"abc",
        bytes(range(256)) * 3,
    ],
)
def test_a_broken_gguf_is_named_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        MODELS.get("hf")(str(path), ModelOptions(device="cpu"))
    assert caught.value.where == "broken.gguf"
    assert [each for each in (tmp_path / "cache").rglob("*") if each.is_file()] == []
