"""Parallel sentences from files of every layout, and what is wrong with others."""

from pathlib import Path

import pytest

from xlingual.analysis.space import read_sentences
from xlingual.errors import DataError, UsageError
from xlingual.plugin import DataSource
from xlingual.records import Origin

SAMPLE = DataSource(folder=None, sample=True, offline=True)
REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "parallel" / "flores-dev-510"


def _write(folder: Path, names: dict[str, int]) -> DataSource:
    for name, count in names.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{path.stem} {number}\n" for number in range(count)), encoding="utf-8")
    return DataSource(folder=folder, sample=False, offline=True)


def test_the_sample() -> None:
    text = read_sentences(["en", "zh"], None, 12, SAMPLE)
    assert text.languages == ("en", "zh")
    assert [len(each) for each in text.sentences] == [12, 12]
    assert text.is_sample
    assert {each.origin for each in text.files} == {Origin.SAMPLE}
    with pytest.raises(DataError, match="at least 8"):
        read_sentences(["en", "zh"], None, 7, SAMPLE)


@pytest.mark.parametrize(
    ("names", "split"),
    [
        ({"flores101/dev/eng.dev": 9, "flores101/dev/ell.dev": 9}, None),
        ({"flores101_dataset/devtest/eng.devtest": 9, "flores101_dataset/devtest/ell.devtest": 9}, "devtest"),
        ({"dev/eng_Latn.dev": 9, "dev/ell_Grek.dev": 9}, "dev"),
        ({"eng.txt": 9, "ell.txt": 9}, None),
        ({"en.txt": 9, "el.txt": 9}, None),
    ],
)
def test_layouts(tmp_path: Path, names: dict[str, int], split: str | None) -> None:
    text = read_sentences(["en", "el"], split, None, _write(tmp_path, names))
    assert [len(each) for each in text.sentences] == [9, 9]
    assert not text.is_sample
    assert all(each.sha256 for each in text.files)


def test_the_same_sentences_have_the_same_hash(tmp_path: Path) -> None:
    first = read_sentences(["en", "el"], None, 8, _write(tmp_path / "a", {"eng.txt": 9, "ell.txt": 9}))
    other = read_sentences(["en", "el"], None, 8, _write(tmp_path / "b", {"dev/eng.dev": 8, "dev/ell.dev": 8}))
    assert first.data == other.data
    assert first.data != read_sentences(["en", "el"], None, 9, _write(tmp_path / "a", {})).data
    assert first.data != read_sentences(["el", "en"], None, 8, _write(tmp_path / "a", {})).data


def test_what_is_wrong(tmp_path: Path) -> None:
    source = _write(tmp_path, {"eng.txt": 9, "ell.txt": 8})
    with pytest.raises(DataError, match=r"8 lines, but 9 in .*eng.txt") as caught:
        read_sentences(["en", "el"], None, None, source)
    assert "ell.txt" in caught.value.where
    with pytest.raises(DataError, match="not in the data folder"):
        read_sentences(["en", "zh"], None, None, source)
    with pytest.raises(UsageError, match="no such split: 'test'"):
        read_sentences(["en", "el"], "test", None, source)
    with pytest.raises(UsageError):
        read_sentences(["en", "klingon"], None, None, source)
    (tmp_path / "ell.txt").write_text("a\n\n" + "b\n" * 7, encoding="utf-8")
    with pytest.raises(DataError, match="blank line"):
        read_sentences(["en", "el"], None, None, source)


def test_real_sentences() -> None:
    if not REAL.is_dir():
        pytest.skip(f"no real data at {REAL}")
    source = DataSource(folder=REAL, sample=False, offline=True)
    text = read_sentences(["en", "ar", "el", "hi", "tr", "vi", "zh"], None, 200, source)
    assert {len(each) for each in text.sentences} == {200}
    assert text.sentences[0][0].startswith("On Monday, scientists")
