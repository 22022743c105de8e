"""A file is read for its hash once, and again after any change of it."""

import os
from pathlib import Path

import pytest

from xlingual.data import file_hashes, hash_file, hash_once, known_hashes, learn_hashes
from xlingual.errors import EnvironmentFault


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read, in a process that knows no hash yet."""
    names: list[str] = []

    def read(path: Path) -> str:
        names.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(file_hashes, "_known", {})
    monkeypatch.setattr(file_hashes, "hash_file", read)
    return names


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is too new for its hash to be kept."""
    monkeypatch.setattr(file_hashes, "FRESH_NS", -(10**12))


@pytest.mark.usefixtures("old")
def test_an_unchanged_file_is_read_once(tmp_path: Path, reads: list[str]) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    assert [hash_once(path) for _ in range(3)] == [hash_file(path)] * 3
    assert reads == ["weights"]


@pytest.mark.usefixtures("old")
def test_a_changed_file_is_read_again_even_where_size_and_time_are_set_back(tmp_path: Path, reads: list[str]) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    before = path.stat()
    assert hash_once(path) == hash_file(path)
    path.write_bytes(b"two")
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # the clock of a file system is coarse
        path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert hash_once(path) == hash_file(path)
    other = tmp_path / "other"
    other.write_bytes(b"six")
    other.replace(path)
    assert hash_once(path) == hash_file(path)
    assert reads == ["weights"] * 3


def test_a_file_that_was_just_written_is_read_every_time(tmp_path: Path, reads: list[str]) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    hash_once(path)
    hash_once(path)
    assert len(reads) == 2
    assert known_hashes() == {}


@pytest.mark.usefixtures("old")
def test_another_process_takes_what_is_known(tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    expected = hash_once(path)
    handed = known_hashes()
    monkeypatch.setattr(file_hashes, "_known", {})
    learn_hashes(handed)
    assert hash_once(path) == expected
    assert len(reads) == 1
    [state] = handed
    assert (state.path, state.size) == (str(path), 3)


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        hash_once(tmp_path / "nothing")
