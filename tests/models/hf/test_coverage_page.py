"""The coverage table of docs/engine.md is that of the tests."""

from pathlib import Path

from .architectures import biased, coverage_table, dense, experts_and_wrappers, static, windowed

PAGE = Path(__file__).resolve().parents[3] / "docs" / "engine.md"


def test_the_page_has_the_table_of_the_tests() -> None:
    assert coverage_table() in PAGE.read_text(encoding="utf-8"), "print(coverage_table()) is what belongs there"
    names = [each.name for each in (*dense(), *biased(), *windowed(), *experts_and_wrappers(), *static())]
    assert len(names) == len(set(names))
