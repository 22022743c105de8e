"""Writes `docs/reliability.md`: what is promised, which tests show it, and what came out when they were run.

    make docs                                        # the page anew, of the outcomes that are recorded
    make reliability                                 # the tests run, their outcomes recorded, the page anew
    make reliability ARGS=--missing                  # the same with those tests only that have not passed

Promises, threats and bad inputs are in `reliability.toml`, outcomes in `reliability-outcomes.json`, what the same
faults did to other tools in `bench/contrast/recorded`. Nothing in these holds a date, a path or a number of this
machine, so the page changes only where a sentence, a test or an outcome does. A promise is called kept where all its
tests passed in all their cases; one with a test that failed, was skipped or was never run says so.
"""

import argparse
import ast
import functools
import json
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlingual.files.json_file import MAX_DEPTH
from xlingual.files.text_file import MAX_BYTES
from xlingual.journal import SYNC_SECONDS
from xlingual.lease import BEAT_SECONDS, STALE_SECONDS
from xlingual.redaction import SHORTEST_SECRET
from xlingual.toml_table import MAX_TOML_BYTES

DOCS = Path(__file__).parent
ROOT = DOCS.parent
TABLE, OUTCOMES, PAGE = (DOCS / f"reliability{ending}" for ending in (".toml", "-outcomes.json", ".md"))
RECORDED = ROOT / "bench" / "contrast" / "recorded"
TOOLS = ("xlingual", "lm-eval", "inspect")
TITLES = {"lm-eval": "lm-eval", "inspect": "inspect_ai"}
CONSTANTS = {
    "SYNC_SECONDS": f"{SYNC_SECONDS:g}",
    "BEAT_SECONDS": f"{BEAT_SECONDS:g}",
    "STALE_SECONDS": f"{STALE_SECONDS:g}",
    "SHORTEST_SECRET": f"{SHORTEST_SECRET}",
    "MAX_DEPTH": f"{MAX_DEPTH}",
    "MAX_TOML_BYTES": f"{MAX_TOML_BYTES:,}",
    "MAX_BYTES": f"{MAX_BYTES:,}",
}
"""Limits that the table names, as the code has them now."""
BATCH = 15
"""Tests of one pytest, about."""
Outcomes = Mapping[str, Mapping[str, int]]
"""By FILE::FUNCTION, how many of its cases passed, failed and were skipped."""
HEAD = """\
# Reliability

Written by `make docs` from a table and from the outcomes of a test run; do not edit it by hand.

    xlingual eval -m org/name -t xquad --data DIR --out runs      # kill -9, a full disk, a lost network ...
    xlingual eval -m org/name -t xquad --data DIR --out runs      # ... and the same command goes on
    xlingual verify runs                                          # do the scores follow from the answers?

First come the promises, each with the numbers of the tests that show it. "kept" means that all of these passed, in all
their cases, when they were last run; it is said where one failed, was skipped or was not run. Then: what happens under
which threat, and where that ends; bad inputs and their exit codes; the same faults, done to lm-eval and inspect_ai; the
tests by name.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One line of the first table."""

    group: str
    says: str
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Threat:
    """One line of the table of threats."""

    threat: str
    happens: str
    limit: str
    promises: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One line of the table of bad inputs."""

    input: str
    code: str
    """And what else is to be said."""
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What `reliability.toml` holds."""

    awaited: frozenset[str]
    """Tests that are not merged yet: shown as not run, whether or not they are there."""
    promises: Mapping[str, Promise]
    threats: tuple[Threat, ...]
    inputs: tuple[Input, ...]

    def tests(self) -> tuple[str, ...]:
        """Return every test that is named, each once, in the order of the page."""
        rows: Iterable[Promise | Input] = (*self.promises.values(), *self.inputs)
        return tuple(dict.fromkeys(test for row in rows for test in row.tests))


def read_table(path: Path = TABLE) -> Table:
    """Return the table, its constants filled in."""
    text = path.read_text(encoding="utf-8")
    for name, value in CONSTANTS.items():
        text = text.replace(f"{{{name}}}", value)
    found: dict[str, Any] = tomllib.loads(text)

    def row(fields: Mapping[str, Any]) -> dict[str, Any]:
        return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}

    return Table(
        awaited=frozenset(found["awaited"]),
        promises={name: Promise(**row(fields)) for name, fields in found["promises"].items()},
        threats=tuple(Threat(**row(fields)) for fields in found["threats"]),
        inputs=tuple(Input(**row(fields)) for fields in found["inputs"]),
    )


def read_outcomes(path: Path = OUTCOMES) -> Outcomes:
    """Return what is recorded; nothing where there is no record yet."""
    found: Outcomes = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


@functools.cache
def exists(test: str) -> bool:
    """Return whether a test is in its file."""
    name, _, function = test.partition("::")
    path = ROOT / name
    if not path.is_file():
        return False
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body)


def fault_of(test: str, outcomes: Outcomes) -> str | None:
    """Return why a test shows nothing, in a word; None where it passed in all its cases."""
    if not exists(test):
        return "not here"
    counts = outcomes.get(test, {})
    if not any(counts.values()):
        return "not run"
    if counts.get("failed"):
        return "failed"
    if not counts.get("skipped"):
        return None
    return "skipped" if not counts.get("passed") else "skipped in part"


def page_of(table: Table, outcomes: Outcomes, contrast: Mapping[str, Any]) -> str:
    """Return the page."""
    parts = [
        HEAD,
        *_promises(table, outcomes),
        *_threats(table),
        *_inputs(table, outcomes),
        *_contrast(contrast),
        *_tests(table, outcomes),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


def _links(tests: Sequence[str], table: Table, outcomes: Outcomes) -> str:
    """Return a number for each test, as in the last table, which leads to its file; and what is wrong with it."""
    numbers = {test: number for number, test in enumerate(table.tests(), start=1)}
    links = []
    for test in tests:
        fault = _fault(test, table, outcomes)
        is_linked = exists(test) and test not in table.awaited
        text = f"[{numbers[test]}](../{test.partition('::')[0]})" if is_linked else f"{numbers[test]}"
        links.append(text if fault is None else f"{text} **{fault}**")
    return ", ".join(links)


def _fault(test: str, table: Table, outcomes: Outcomes) -> str | None:
    return "not run" if test in table.awaited else fault_of(test, outcomes)


def _state(tests: Sequence[str], table: Table, outcomes: Outcomes) -> str:
    """Return whether a promise is kept, as its tests have it."""
    faults = [_fault(test, table, outcomes) for test in tests]
    if not any(faults):
        return "kept"
    return "**not kept**" if "failed" in faults else "**not shown**"


def _promises(table: Table, outcomes: Outcomes) -> Iterator[str]:
    states = Counter(_state(promise.tests, table, outcomes) for promise in table.promises.values())
    cases = sum(sum(outcomes.get(test, {}).values()) for test in table.tests())
    yield "## Promises\n"
    said = ", ".join(f"{count} {state.strip('*')}" for state, count in sorted(states.items()))
    yield f"{len(table.promises)} promises, {len(table.tests())} tests with {cases} cases: {said}."
    for group in dict.fromkeys(promise.group for promise in table.promises.values()):
        yield f"\n### {group}\n"
        yield "| promise | | tests |\n| --- | --- | --- |"
        for promise in table.promises.values():
            if promise.group == group:
                links = _links(promise.tests, table, outcomes)
                yield f"| {promise.says} | {_state(promise.tests, table, outcomes)} | {links} |"
    yield ""


def _threats(table: Table) -> Iterator[str]:
    yield "## Threats\n"
    yield "| threat | what happens | where it ends |\n| --- | --- | --- |"
    yield from (f"| {row.threat} | {row.happens} | {row.limit} |" for row in table.threats)
    yield ""


def _inputs(table: Table, outcomes: Outcomes) -> Iterator[str]:
    yield "## Bad inputs\n"
    yield "| input | exit code | tests |\n| --- | --- | --- |"
    for row in table.inputs:
        yield f"| {row.input} | {row.code} | {_links(row.tests, table, outcomes)} |"
    yield ""


def read_contrast(folder: Path = RECORDED) -> dict[str, Any]:
    """Return what was recorded of each tool, by its name."""
    paths = {name: folder / f"{name}.json" for name in TOOLS}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.is_file()}


def _contrast(contrast: Mapping[str, Any]) -> Iterator[str]:
    names = [f"{TITLES[name]} {contrast[name]['version']}" if name in TITLES and name in contrast else
             TITLES.get(name, name) for name in TOOLS]  # fmt: skip
    yield "## The same faults elsewhere\n"
    yield (
        "Measured by `python -m bench.contrast`: a model on 127.0.0.1 answers 12 questions, one at a time; a whole\n"
        "run scores 75.0. Each tool is run by its own command line and goes on as its documentation says: lm-eval\n"
        "with `--use_cache` and the same command, inspect_ai with `log recover` and `eval-retry`. What was not\n"
        "measured says so. A damaged place of a file with free space in it, as SQLite's, may hold no answer. Tools\n"
        "aim at different things; this is about these faults only.\n"
    )
    yield f"| fault | {' | '.join(names)} |\n| --- | {' | '.join('---' for _ in names)} |"
    titles = {fault: one["title"] for found in contrast.values() for fault, one in found["faults"].items()}
    for fault, title in titles.items():
        cells = (contrast.get(name, {}).get("faults", {}).get(fault, {}).get("words") for name in TOOLS)
        yield f"| {title} | {' | '.join(cell.replace('|', '&#124;') if cell else 'not measured' for cell in cells)} |"
    yield "\nThe commands, with URL for the address of the server:\n"
    for name in TOOLS:
        faults = contrast.get(name, {}).get("faults", {})
        lines = dict.fromkeys(line for fault in faults.values() for line in fault["commands"])
        if lines:
            yield "\n".join(["```text", *lines, "```"])


def _tests(table: Table, outcomes: Outcomes) -> Iterator[str]:
    yield "\n## The tests\n"
    yield "| | test | file | cases |\n| --- | --- | --- | --- |"
    for number, test in enumerate(table.tests(), start=1):
        name, _, function = test.partition("::")
        words = function.removeprefix("test_").replace("_", " ")
        is_linked = exists(test) and test not in table.awaited
        file = f"[{name.removeprefix('tests/')}](../{name})" if is_linked else name.removeprefix("tests/")
        fault = _fault(test, table, outcomes)
        counts = outcomes.get(test, {})
        told = f"{sum(counts.values())}" if fault is None else f"**{fault}**"
        yield f"| {number} | {words} | {file} | {told} |"


def batches(tests: Iterable[str]) -> list[list[str]]:
    """Return tests by file, some files together: what a batch has given is kept, whatever becomes of the next one."""
    found: list[list[str]] = [[]]
    by_file: dict[str, list[str]] = {}
    for test in tests:
        by_file.setdefault(test.partition("::")[0], []).append(test)
    for chosen in by_file.values():
        if len(found[-1]) + len(chosen) > BATCH and found[-1]:
            found.append([])
        found[-1] += chosen
    return [batch for batch in found if batch]


def keep(outcomes: Outcomes) -> None:
    """Write the outcomes down, a test a line."""
    lines = ",\n".join(f" {json.dumps(test)}: {json.dumps(counts)}" for test, counts in outcomes.items())
    OUTCOMES.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def run_tests(tests: Sequence[str], words: Sequence[str]) -> dict[str, dict[str, int]]:
    """Run tests, and return what came out."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}", "-o", "junit_family=xunit1"]
        subprocess.run([sys.executable, "-m", "pytest", *options, *words, *tests], cwd=ROOT, check=False)  # noqa: S603
        return read_report(report)


def read_report(path: Path) -> dict[str, dict[str, int]]:
    """Return the outcomes in a report of pytest, by FILE::FUNCTION."""
    found: dict[str, dict[str, int]] = {}
    for case in ET.parse(path).iter("testcase"):  # noqa: S314 - written by the pytest that was started here
        test = f"{case.get('file')}::{(case.get('name') or '').partition('[')[0]}"
        kinds = {child.tag for child in case}
        state = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        counts = found.setdefault(test, {"passed": 0, "failed": 0, "skipped": 0})
        counts[state] += 1
    return found


def main() -> None:
    """Write the page, and before it the outcomes where the tests are to be run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="run the tests first")
    parser.add_argument("--missing", action="store_true", help="run those first that have not passed")
    options, words = parser.parse_known_args()
    table, outcomes = read_table(), read_outcomes()
    if options.run or options.missing:
        outcomes = dict(outcomes) if options.missing else {}
        for tests in batches(test for test in table.tests() if exists(test) and fault_of(test, outcomes)):
            outcomes.update(run_tests(tests, words))
            keep({test: outcomes[test] for test in table.tests() if test in outcomes})
        outcomes = read_outcomes()
    PAGE.write_text(page_of(table, outcomes, read_contrast()), encoding="utf-8")
    if any(fault_of(test, outcomes) == "failed" for test in table.tests()):
        sys.exit("a test has failed: see docs/reliability.md")


if __name__ == "__main__":
    main()
