"""docs/reliability.md is what its table and the recorded outcomes give, and calls nothing kept that is not shown."""

import dataclasses
import re
from pathlib import Path
from types import ModuleType

import pytest

from .scripts import load_script

DOCS = Path(__file__).resolve().parents[2] / "docs"
PASSED = {"passed": 3, "failed": 0, "skipped": 0}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("make_reliability")


def test_the_committed_page_is_what_is_written_now(script: ModuleType) -> None:
    page = script.page_of(script.read_table(), script.read_outcomes(), script.read_contrast())
    assert (DOCS / "reliability.md").read_text(encoding="utf-8") == page, "run `make docs`"
    assert page == script.page_of(script.read_table(), script.read_outcomes(), script.read_contrast())


def test_every_test_that_is_named_is_there_and_every_promise_has_one(script: ModuleType) -> None:
    table = script.read_table()
    assert [test for test in table.tests() if not script.exists(test) and test not in table.awaited] == []
    assert table.awaited <= set(table.tests())
    assert [name for name, promise in table.promises.items() if not promise.tests] == []
    assert [row.input for row in table.inputs if not row.tests] == []


def test_threats_name_promises_and_all_promises_are_on_the_page(script: ModuleType) -> None:
    table, page = script.read_table(), (DOCS / "reliability.md").read_text(encoding="utf-8")
    assert [name for row in table.threats for name in row.promises if name not in table.promises] == []
    assert [name for name, promise in table.promises.items() if f"\n| {promise.says} | " not in page] == []
    assert page.index("## Promises") < page.index("## Threats") < page.index("## Bad inputs")


def test_outcomes_are_of_the_tests_that_are_named(script: ModuleType) -> None:
    assert set(script.read_outcomes()) <= set(script.read_table().tests()), "run `make reliability`"


@pytest.mark.parametrize(
    ("counts", "word", "state"),
    [
        (PASSED, None, "kept"),
        ({**PASSED, "failed": 1}, "failed", "**not kept**"),
        ({**PASSED, "skipped": 1}, "skipped in part", "**not shown**"),
        ({"passed": 0, "failed": 0, "skipped": 3}, "skipped", "**not shown**"),
        ({"passed": 0, "failed": 1, "skipped": 3}, "failed", "**not kept**"),
        ({"passed": 0, "failed": 0, "skipped": 0}, "not run", "**not shown**"),
        (None, "not run", "**not shown**"),
    ],
)
def test_only_a_promise_whose_tests_all_passed_is_kept(
    script: ModuleType, counts: dict[str, int] | None, word: str | None, state: str
) -> None:
    name, promise = next(iter(script.read_table().promises.items()))
    table = dataclasses.replace(script.read_table(), promises={name: promise}, inputs=(), awaited=frozenset())
    first, *others = promise.tests
    outcomes = dict.fromkeys(others, PASSED) | ({first: counts} if counts else {})
    page = script.page_of(table, outcomes, {})
    [row] = [line for line in page.splitlines() if line.startswith(f"| {promise.says} | ")]
    assert row.split(" | ")[1] == state
    assert (f" **{word}**" in row) == (word is not None)
    assert f"cases: 1 {state.strip('*')}." in page


def test_a_test_that_is_not_there_proves_nothing(script: ModuleType) -> None:
    for test in ("tests/docs/test_reliability.py::test_no_such_test", "tests/no_such_file.py::test_x"):
        assert not script.exists(test)
        assert script.fault_of(test, {test: PASSED}) == "not here"
        assert script._state([test], script.read_table(), {test: PASSED}) == "**not shown**"


def test_outcomes_are_read_from_a_report(script: ModuleType, tmp_path: Path) -> None:
    case = '<testcase file="tests/test_a.py" name="{}">{}</testcase>'
    cases = [("test_x[1]", ""), ("test_x[2]", "<skipped/>"), ("test_x[3]", "<failure/>"), ("test_y", "<error/>")]
    path = tmp_path / "report.xml"
    path.write_text(f"<testsuites>{''.join(case.format(*each) for each in cases)}</testsuites>", encoding="utf-8")
    assert script.read_report(path) == {
        "tests/test_a.py::test_x": {"passed": 1, "failed": 1, "skipped": 1},
        "tests/test_a.py::test_y": {"passed": 0, "failed": 1, "skipped": 0},
    }


def test_limits_are_those_of_the_code(script: ModuleType) -> None:
    page = (DOCS / "reliability.md").read_text(encoding="utf-8")
    for value in script.CONSTANTS.values():
        assert value in page
    assert not re.search(r"\{[A-Z_]+\}", page)
