"""Where complaints about a TOML file point, in whatever form its tables and keys are written."""

import time
from pathlib import Path

import pytest

from xlingual.errors import DataError
from xlingual.toml_table import TomlTable, read_toml, toml_comments

TEXT = '''# key = 1
plain = 1
a.b."c.d" = 2 # not = this
many = """
plain = 3
[table]
"""
items = [
  "x", # [table]
  'y = 1',
]
"quoted key" = { inner = 1 }

  [ table ]  # the table
plain = '4'
[table."sub.table"]
deep = true
[[rows]]
plain = 5
[[rows]]
plain = 6
[rows.inner]
plain = 7
[table.more]
plain = 8
'''


def _read(tmp_path: Path, text: str = TEXT) -> TomlTable:
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8")
    return read_toml(path)


@pytest.mark.parametrize(
    ("table", "key", "line"),
    [
        ((), "plain", 2),
        (("a", "b"), "c.d", 3),
        ((), "a", 3),
        ((), "many", 4),
        ((), "items", 8),
        (("quoted key",), "inner", 12),
        ((), "table", 14),
        (("table",), "plain", 15),
        (("table", "sub.table"), "deep", 17),
        (("table", "sub.table"), "none", 16),
        (("table", "more"), "plain", 25),
    ],
)
def test_lines(table: tuple[str, ...], key: str, line: int, tmp_path: Path) -> None:
    found = _read(tmp_path)
    for name in table:
        found = found.table(name)
    assert found.fault(key, "is wrong").where == f"{found.path}:{line}"


def test_tables_of_an_array_have_lines_of_their_own(tmp_path: Path) -> None:
    top = _read(tmp_path)
    first, second = top.tables("rows")
    assert [each.fault("plain", "").where for each in (first, second)] == [f"{top.path}:19", f"{top.path}:21"]
    assert second.table("inner").fault("plain", "").where == f"{top.path}:23"
    assert first.fault("", "").where == f"{top.path}:18"
    assert top.tables("none") == ()
    with pytest.raises(DataError, match=r"a\.toml:8: 'items' must be written as \[\[items\]\] tables"):
        top.tables("items")


def test_what_is_missing_from_the_file_itself_has_no_line(tmp_path: Path) -> None:
    top = _read(tmp_path)
    with pytest.raises(DataError, match=r"a\.toml: key 'none' is missing"):
        top.text("none")


def test_comments(tmp_path: Path) -> None:
    assert toml_comments(TEXT) == ["# key = 1", "# not = this", "# [table]", "# the table"]
    assert toml_comments('a = "#" # "b"\n') == ['# "b"']


@pytest.mark.parametrize(
    ("written", "key"),
    [('"z\\u0068"', "zh"), ('"a\\"b"', 'a"b'), ("\"'a'\"", "'a'"), ("'\"a\"'", '"a"'), ("'a\\n'", "a\\n"), ('""', "")],
)
def test_quoted_keys_have_lines(written: str, key: str, tmp_path: Path) -> None:
    table = _read(tmp_path, f"a = 1\n[t.{written}]\n{written} = 1\n").table("t").table(key)
    assert table.fault(key, "is wrong").where == f"{table.path}:3" or not key
    assert table.fault("none", "is wrong").where == f"{table.path}:2"


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, "0x" + "f" * 5000, "9" * 400])
@pytest.mark.parametrize("form", ["b = {}", "b = [1, {}]", "b = {{c = {}}}", "[[b]]\nc = {}"])
def test_whole_numbers_over_64_bits(number: object, form: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.toml:\d: a whole number over 64 bits"):
        _read(tmp_path, "a = 9223372036854775807\n" + form.format(number))


@pytest.mark.parametrize("text", ['"""\n\\' * 100_000, "a." * 500_000, "[" + "a." * 500_000, "[[" + "a." * 500_000])
def test_a_broken_file_is_refused_in_seconds(text: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(DataError):
        _read(tmp_path, text)
    assert time.monotonic() - began < 20  # one second; hours if its time grew with the square


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        ("a = [1, 2, 5]", (1, 2, 5), ""),
        ("a = [2, 1]", (), "'a' must rise, each number once, got [2, 1]"),
        ("a = [1, 1]", (), "'a' must rise, each number once, got [1, 1]"),
        ("a = []", (), "'a' must be a list of whole numbers from 1 up, got []"),
        ("a = [0]", (), "'a' must be a list of whole numbers from 1 up, got [0]"),
        ("a = [true]", (), "'a' must be a list of whole numbers from 1 up, got [True]"),
        ("a = 1", (), "'a' must be a list, got 1"),
    ],
)
def test_rising_numbers(text: str, values: tuple[int, ...], message: str, tmp_path: Path) -> None:
    top = _read(tmp_path, text)
    if values:
        assert top.counts("a", least=1) == values
        return
    with pytest.raises(DataError) as caught:
        top.counts("a", least=1)
    assert str(caught.value) == f"{top.path}:1: {message}"
