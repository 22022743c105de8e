"""Local models as judges: a random one, which keeps to no form, and whose choices are worth nothing."""

from pathlib import Path

import pytest

from xlingual.cli import run_command
from xlingual.judging.reports import read_reports

from ..small_base import make_small_base
from .runs import evaluate, ids, read_one

XQUAD = ("-t", "xquad/en", "--data", "sample", "--limit", "12")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_base(tmp_path_factory.mktemp("models") / "base")


def _judge(base: Path, run: Path, *words: str) -> int:
    options = ("--progress", "none", "--dtype", "float32", "--device", "cpu")
    return run_command(["judge", str(run), "--judge", f"hf:{base}", *words, *options])


def test_a_judge_that_says_nothing_that_can_be_read_gives_no_score(tmp_path: Path, base: Path) -> None:
    run = evaluate(tmp_path / "runs", "oracle", *XQUAD)
    assert _judge(base, run, "--kind", "correctness", "--prompt", "correctness-brief") == 0
    [report] = read_reports([tmp_path / "runs"]).reports
    assert report.counts.unreadable == 12
    assert (report.score.value, report.spending.requests) == (None, 12)
    assert report.spending.prompt_tokens is not None


@pytest.mark.slow
def test_a_judge_that_chooses_always_has_a_verdict_and_its_agreement_shows_what_it_is_worth(
    tmp_path: Path, base: Path
) -> None:
    run = evaluate(tmp_path / "runs", "oracle", *XQUAD)
    echo = evaluate(tmp_path / "runs", "echo", *XQUAD)
    assert _judge(base, run, "--kind", "correctness", "--prompt", "correctness-choice") == 0
    pairs = ("--kind", "pairwise", "--against", str(echo), "--prompt", "pairwise-choice")
    assert _judge(base, run, *pairs) == 0
    correctness, pairwise = read_reports([tmp_path / "runs"]).reports
    assert correctness.counts.judged == pairwise.counts.judged == 12
    assert correctness.gold[0].n == 12
    assert pairwise.orders is not None
    assert pairwise.orders.consistency.value is not None
    assert correctness.judge.max_new_tokens == 0
    assert "|max-tokens:0|" in correctness.judge.signature


def test_a_window_that_is_too_small_is_a_failure_and_no_zero(
    tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = evaluate(tmp_path / "runs", "oracle", *XQUAD)
    longest = max(len(each.asked) for each in read_one(run).answers)
    assert longest > 300
    assert _judge(base, run, "--kind", "correctness", "--max-model-len", "400", "--max-new-tokens", "8") == 1
    [report] = read_reports([tmp_path / "runs"]).reports
    assert report.counts.failed == len(ids(read_one(run)))
    assert report.score.value is None
    assert "12 do not fit its window" in capsys.readouterr().err
    assert any("context window" in note for note in report.notes)
