"""A judge that is stopped, killed or too dear: no verdict is asked for twice, and none is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from xlingual.cli import run_command
from xlingual.judging.records import JudgeReport
from xlingual.judging.reports import read_reports
from xlingual.store import open_journal

from ..models.fault_server import Asked, FaultServer, Reply, answer, document, error, serve, usage
from .runs import Judge, evaluate, ids, read_one

pytest.importorskip("openai", reason="needs the extra `openai`")
XQUAD = ("-t", "xquad/en", "--data", "sample")
QUESTIONS = 24


@pytest.fixture
def oracle(tmp_path: Path) -> Path:
    return evaluate(tmp_path / "runs", "oracle", *XQUAD)


def _says_correct(_asked: Asked) -> Reply:
    return answer("The same fact. VERDICT: CORRECT", delay=0.02)


def _command(run: Path, server: FaultServer) -> list[str]:
    judge = f"openai:some/judge@{server.url}"
    return ["judge", str(run), "--judge", judge, "--kind", "correctness", "--concurrency", "1", "--progress", "none"]


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "OPENAI_API_KEY": "none"}
    process = subprocess.Popen(
        [sys.executable, "-m", "xlingual", *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def _stored(root: Path) -> set[str]:
    return {key for path in root.rglob("verdicts") for key in open_journal(path).responses}


def _report(root: Path) -> JudgeReport:
    [found] = read_reports([root]).reports
    return found


@pytest.mark.slow
@pytest.mark.parametrize("points", [(1,), (7,), (23,), (3, 9, 15)])
def test_a_killed_judge_goes_on_and_asks_nothing_twice(tmp_path: Path, oracle: Path, points: tuple[int, ...]) -> None:
    with serve(_says_correct) as server:
        for point in points:
            with _process(_command(oracle, server)) as process:
                deadline = time.monotonic() + 60
                while len(server.asked) < point and time.monotonic() < deadline and process.poll() is None:
                    time.sleep(0.002)
                process.send_signal(signal.SIGKILL)
                process.wait(timeout=30)
        stored, asked = _stored(tmp_path / "runs"), len(server.asked)
        # With one question at a time a kill loses the one that is on its way, and one that came back that very moment.
        assert len(stored) >= asked - 2 * len(points)
        assert run_command(_command(oracle, server)) == 0
        # What has a verdict is not asked again, not one of them.
        assert len(server.asked) - asked == QUESTIONS - len(stored)
        assert len(Counter(each.prompt for each in server.asked)) == QUESTIONS
    assert _report(tmp_path / "runs").counts.judged == QUESTIONS


def test_a_finished_judge_asks_nothing_and_says_the_same(tmp_path: Path, oracle: Path) -> None:
    with serve(_says_correct) as server:
        assert run_command(_command(oracle, server)) == 0
        first, asked = _report(tmp_path / "runs"), len(server.asked)
        assert run_command(_command(oracle, server)) == 0
        assert (asked, len(server.asked)) == (QUESTIONS, QUESTIONS)
    second = _report(tmp_path / "runs")
    assert (first.score, first.gold, first.counts) == (second.score, second.gold, second.counts)
    assert (second.spending.requests, second.spending.prompt_tokens) == (QUESTIONS, 7 * QUESTIONS)


def test_failed_verdicts_are_asked_again_and_are_no_zero(tmp_path: Path, oracle: Path) -> None:
    def script(asked: Asked) -> Reply:
        return error(400, "no") if asked.number % 4 == 0 else answer("VERDICT: CORRECT")

    with serve(script) as server:
        assert run_command([*_command(oracle, server), "--max-errors", "100"]) == 1
    report = _report(tmp_path / "runs")
    assert report.counts.failed > 0
    assert report.score.value == 100.0
    assert report.score.n == QUESTIONS - report.counts.failed
    assert any("the same command asks them again" in note for note in report.notes)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_budget_is_never_exceeded_and_the_next_command_goes_on(tmp_path: Path, oracle: Path, share: float) -> None:
    # A scripted judge counts no tokens: each verdict is taken at its worst.
    judge = Judge(tmp_path, dict.fromkeys(ids(read_one(oracle)), "VERDICT: CORRECT"))
    words = (str(oracle), "--kind", "correctness", "--price", "1,2")
    budget = f"{share * QUESTIONS * 0.0008:.6f}"
    assert judge.run(*words, "--budget", budget) == 1
    report = judge.report()
    assert 0 <= report.counts.judged < QUESTIONS
    assert report.counts.unasked == QUESTIONS - report.counts.judged
    judge.run(*words, "--budget", budget)
    assert judge.report().counts.judged >= report.counts.judged
    assert judge.run(*words) == 0
    assert judge.report().counts.judged == QUESTIONS


def test_a_budget_in_the_middle_counts_what_replies_cost(
    tmp_path: Path, oracle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 7 tokens read and 5 written a verdict, as the server counts: 12 in all, at 1 a token each.
    words = ["--price", "1e6,1e6", "--budget", "700", "--max-new-tokens", "100"]
    with serve(_says_correct) as server:
        assert run_command([*_command(oracle, server), *words]) == 1
        report = _report(tmp_path / "runs")
        asked = len(server.asked)
    assert 0 < asked < QUESTIONS
    assert report.counts.unasked == QUESTIONS - asked
    assert report.spending.cost is not None
    assert report.spending.cost <= 700
    assert "the budget of 700" in capsys.readouterr().err


def test_a_price_and_a_forecast_come_before_the_first_question(
    tmp_path: Path, oracle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(_says_correct) as server:
        assert run_command([*_command(oracle, server), "--price", "0.15,0.60", "--dry-run"]) == 0
        assert server.asked == []
    shown = capsys.readouterr()
    assert "24 questions, about" in shown.err
    assert "costs about 0.00" in shown.err
    assert "[reference answers]" in shown.out
    assert not list((tmp_path / "runs").rglob("judge_*"))


def test_the_outlook_as_json(tmp_path: Path, oracle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge = Judge(tmp_path, dict.fromkeys(ids(read_one(oracle)), "VERDICT: CORRECT"))
    capsys.readouterr()
    assert judge.run(str(oracle), "--kind", "correctness", "--price", "1,2", "--dry-run", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["outlook"]["requests"] == QUESTIONS
    assert document["outlook"]["cost"]["least"] < document["outlook"]["cost"]["most"]


def test_one_reply_serves_two_runs_with_the_same_answers(tmp_path: Path, oracle: Path) -> None:
    copy = tmp_path / "runs" / "copy" / oracle.name
    copy.mkdir(parents=True)
    for path in oracle.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    with serve(_says_correct) as server:
        assert run_command([*_command(oracle, server), str(copy)]) == 0
        assert len(server.asked) == QUESTIONS
    assert [each.counts.judged for each in read_reports([tmp_path / "runs"]).reports] == [QUESTIONS, QUESTIONS]


def test_a_server_that_gives_no_likelihoods_cannot_choose(
    tmp_path: Path, oracle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(_says_correct) as server:
        code = run_command([*_command(oracle, server), "--prompt", "correctness-choice"])
    assert code in (1, 3)
    assert "bug" not in capsys.readouterr().err


def test_a_refused_key_ends_with_what_was_said_before(tmp_path: Path, oracle: Path) -> None:
    def script(asked: Asked) -> Reply:
        return error(401, "no such key") if asked.number > 5 else answer("VERDICT: CORRECT")

    with serve(script) as server:
        assert run_command(_command(oracle, server)) == 4
    report = _report(tmp_path / "runs")
    assert (report.counts.judged, report.counts.failed) == (5, 0)
    assert report.counts.unasked == QUESTIONS - 5


def test_a_server_that_thinks_is_read_without_its_thinking(tmp_path: Path, oracle: Path) -> None:
    def script(asked: Asked) -> Reply:
        apart: dict[str, object] = {"role": "assistant", "reasoning_content": "Hm. VERDICT: INCORRECT?"}
        content, reason = [
            ({**apart, "content": "VERDICT: CORRECT"}, "stop"),
            ({**apart, "content": ""}, "length"),
            ({"role": "assistant", "content": "<think>VERDICT: CORRECT</think>\n**VERDICT: INCORRECT**"}, "stop"),
        ][asked.number % 3]
        choice = {"index": 0, "finish_reason": reason, "message": content}
        return document({"choices": [choice], "usage": usage("x")})

    with serve(script) as server:
        assert run_command(_command(oracle, server)) == 0
    report = _report(tmp_path / "runs")
    assert (report.counts.judged, report.counts.unreadable, report.score.value) == (16, 8, 50.0)
    assert "most often, 8 times, a verdict is unreadable: the reply ended while thinking" in report.notes
