"""How eval ends, what board draws, and the last lines of make eval: on a terminal that is 80 columns wide."""

import csv
import dataclasses
import hashlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from xlingual.board import build_board, find_board
from xlingual.cli import run_command
from xlingual.cli.board import FORMATS
from xlingual.cli.board_terminal import show_board
from xlingual.cli.evaluation.summary import show_next, show_scores, warn_shortly
from xlingual.records import FailureCount, RunRecord

from ..board.factory import collect, fail_examples, limit_run, make_estimate, make_run
from ..board.hostile import HOSTILE
from .terminal import Shown, on_terminal

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ending") / "out"
    words = ["eval", "-m", "echo", "-m", "oracle", "-t", "xquad", "-l", "ar,el,en,hi,tr,vi,zh", "--data", "sample"]
    assert run_command([*words, "-o", str(out), "--progress", "none"]) == 0
    return out


def _after_bars(shown: Shown) -> list[str]:
    """Return the lines below the last bar."""
    lines = [line for line in shown.lines if line]
    last = max((index for index, line in enumerate(lines) if "tok/s" in line), default=-1)
    return lines[last + 1 :]


def test_a_run_ends_in_what_a_person_wants(tmp_path: Path) -> None:
    run = ("eval", "-m", "oracle", "-t", "xquad", "-l", "ar,el,en,hi,tr,vi,zh", "--data", "sample")
    shown = on_terminal(80, "xlingual", *run, "-o", "out", "--limit", "20", cwd=tmp_path)
    assert shown.code == 0
    lines = _after_bars(shown)
    assert lines == [
        "oracle, xquad: containment [95% interval], 20 examples each",
        *lines[1:5],
        "note: scores on the packaged sample are never ranked beside real ones",
        "runs: out",
        "next: xlingual board out --board sample --include-limited",
        "      xlingual view out --open",
    ]
    assert lines[1].split()[:2] == ["ar", "100.0"]
    assert "source_copy" not in shown.text


def test_the_clock_runs_before_the_first_answer(tmp_path: Path) -> None:
    run = ("eval", "-m", "oracle", "-t", "xquad/en", "--data", "sample", "-o", "out")
    shown = on_terminal(80, "xlingual", *run, cwd=tmp_path)
    assert "loading oracle 0:00:0" in shown.text
    assert shown.text.index("loading oracle") < shown.text.index("0/24") < shown.text.index("24/24")
    assert all(cell_len(part) <= 80 for line in shown.text.split("\n") for part in line.split("\r"))


def test_a_failed_start_takes_the_spinner_down(tmp_path: Path) -> None:
    shown = on_terminal(
        80, "xlingual", "eval", "-m", "hf:./nothing", "-t", "xquad/en", "--data", "sample", cwd=tmp_path
    )
    assert shown.code in (2, 3)
    assert "error: " in shown.text
    assert shown.raw.count("\x1b[?25l") == shown.raw.count("\x1b[?25h"), "the cursor is shown again"


def test_a_family_is_shown_side_by_side_with_its_best_and_worst(capsys: pytest.CaptureFixture[str]) -> None:
    show_scores([make_run("m", f"xquad/{code}", 10.0 + 3 * at) for at, code in enumerate(LANGUAGES)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "m, xquad: containment [95% interval], 1190 examples each"
    assert lines[1].startswith("  ar  10.0 [8.0, 12.0]     de  13.0 [11.0, 15.0]")
    assert lines[-1] == "  best zh 43.0, worst ar 10.0"
    assert len(lines) <= 8
    assert all(cell_len(line) < 80 for line in lines)


def test_why_there_is_no_interval_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("m", "xquad/ar", 10.0)
    bare = dataclasses.replace(run.estimates[0], low=None, high=None, interval="none: 2 clusters are too few")
    show_scores([dataclasses.replace(run, estimates=(bare, *run.estimates[1:]))])
    assert capsys.readouterr().out.splitlines() == [
        "m, xquad: containment, 1190 examples",
        "  ar  10.0",
        "  containment: no interval: 2 clusters are too few",
    ]


def test_all_that_share_a_place_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    show_scores([make_run("m", f"xquad/{code}", 40.0 if code == "en" else 0.01) for code in LANGUAGES])
    assert capsys.readouterr().out.splitlines()[-1] == "  best en 40.0, worst ar, de, el, es and 7 more 0.0"
    show_scores([make_run("m", f"xquad/{code}", 0.0) for code in LANGUAGES])
    assert "best" not in capsys.readouterr().out


def test_lower_may_be_better(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run("m", f"x/{code}", value, metric="off_target") for code, value in (("a", 2.0), ("b", 9.0))]
    show_scores([dataclasses.replace(run, estimates=run.estimates[:1]) for run in runs])
    assert "best a 2.0, worst b 9.0" in capsys.readouterr().out


def test_many_variants_show_values_alone(capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [f"{first}-{second}" for first in LANGUAGES[:7] for second in LANGUAGES[:7]]
    show_scores([make_run("m", f"mlqa/{pair}", 20.0) for pair in pairs])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 12
    assert "[" not in "".join(lines)
    assert all(pair in "".join(lines) for pair in pairs)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_the_ending(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run(name, f"xquad/{code}", 10.0) for code in ("ar", "zh")]
    runs.append(make_run(name, f"xquad/{name or 'x'}", 10.0))
    show_scores(runs)
    text = capsys.readouterr().out
    text.encode("utf-8")
    assert len(text.splitlines()) <= 5
    assert not set(text) & set("\x1b\u202e\u2066\x07")
    assert all(cell_len(line) <= 80 for line in text.splitlines()[1:])


def _failed(task: str, *failures: FailureCount) -> RunRecord:
    run = fail_examples(make_run("m", task, 10.0), sum(each.count for each in failures))
    return dataclasses.replace(run, counts=dataclasses.replace(run.counts, failures=failures))


def test_warnings_are_said_once_over_all_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    timeout = FailureCount(kind="timeout", count=3, example="no answer\nwithin 60 s")
    broken = FailureCount(kind="broken", count=4, example="HTTP 500")
    cut = make_run("m", "xquad/el", 10.0)
    cut = dataclasses.replace(cut, counts=dataclasses.replace(cut.counts, passages_cut=7))
    other = dataclasses.replace(cut, protocol=dataclasses.replace(cut.protocol, task="xquad/en"))
    warn_shortly([_failed("xquad/ar", timeout), _failed("xquad/zh", broken, timeout), cut, other])
    assert capsys.readouterr().err.splitlines() == [
        "warning: answered 2370 of 2380 samples of xquad/ar, xquad/zh",
        "warning: the most frequent failure, 6 of 10: timeout: no answer within 60 s",
        "warning: xquad/el: 0 prompts lost demonstrations, 7 had their passage cut to fit the context window "
        "(and 1 more task)",
    ]
    warn_shortly([make_run("m", "xquad/ar", 10.0)])
    assert capsys.readouterr().err == "", "nothing is wrong, nothing is said"


def test_empty_answers_are_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("m", "xquad/ar", 10.0)
    warn_shortly([dataclasses.replace(run, estimates=(make_estimate("empty", 40.0),))])
    assert capsys.readouterr().err == "warning: xquad/ar: 40.0% of the answers are empty\n"


def test_the_next_command_is_the_one_that_resumes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["xlingual", "eval", "-m", "a b", "--fresh"])
    show_next([fail_examples(make_run("m", "xquad/ar", 1.0), 1)], "runs", limited=False)
    assert capsys.readouterr().out == "next, to ask the rest: xlingual eval -m 'a b'\n"
    show_next([limit_run(make_run("m", "xquad/ar", 1.0), 8)], "my runs", limited=True)
    assert capsys.readouterr().out == (
        "next: xlingual board 'my runs' --include-limited\n      xlingual view 'my runs' --open\n"
    )


def test_the_next_command_shows_no_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["xlingual", "eval", "--header", "Authorization: Bearer sesame123456"])
    show_next([fail_examples(make_run("m", "xquad/ar", 1.0), 1)], "runs", limited=False)
    assert "sesame" not in capsys.readouterr().out


def test_board_draws_tables_on_a_terminal(runs: Path) -> None:
    shown = on_terminal(80, "xlingual", "board", str(runs), "-b", "sample")
    assert shown.code == 0
    framed = [line for line in shown.lines if line.startswith(("│", "┃"))]
    assert any("oracle" in line and "100.0" in line for line in framed)
    assert any("74.1..100.0" in line for line in framed)
    assert "| Rank |" not in shown.text
    assert max(map(cell_len, shown.lines)) <= 80
    assert "…" not in shown.text


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_a_board_on_a_terminal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run(name, "xquad/zh", 40.0), make_run("fair", "xquad/zh", 30.0)]
    runs.append(fail_examples(make_run(f"{name} b", "xquad/zh", 20.0), 3))
    reason = dataclasses.replace(runs[0].estimates[0], value=None, low=None, high=None, reason=name)
    runs.append(dataclasses.replace(make_run("c", "xquad/zh", 20.0), estimates=(reason,)))
    show_board(build_board(find_board("all"), collect(*runs), baseline="fair"))
    text = capsys.readouterr().out
    text.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", text)
    for part in text.split("┏")[1:]:
        framed = [line for line in f"┏{part}".splitlines() if line.startswith(("│", "┃", "└", "┡", "┏"))]
        assert len({cell_len(line) for line in framed}) == 1, "all lines end at the same place"
    assert len([line for line in text.splitlines() if "not ranked, " in line]) == 2


def test_a_terminal_tells_controls_marks_and_other_protocols_too(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run(name, "xquad/zh", 40.0) for name in ("good", "fair", "parrot", "floor")]
    runs[2] = dataclasses.replace(runs[2], estimates=(*runs[2].estimates[:1], make_estimate("passage_copy", 80.0)))
    runs[3] = dataclasses.replace(runs[3], model=dataclasses.replace(runs[3].model, backend="echo"))
    show_board(build_board(find_board("paper"), collect(*runs)))
    shown = capsys.readouterr().out
    assert "not ranked, parrot: xquad/zh: 80.0% of the passage repeated, at most 30%" in shown
    assert "marked" in shown
    assert any(line.startswith("│ floor │ floor") for line in shown.splitlines())
    assert "4 figures that others report" in shown
    five = [dataclasses.replace(run, protocol=dataclasses.replace(run.protocol, shots=5)) for run in runs]
    show_board(build_board(find_board("paper"), collect(*five)))
    assert "xquad: no run was asked as this leaderboard wants; see --board all" in capsys.readouterr().out


def test_board_is_markdown_in_a_pipe_and_the_named_format_anywhere(runs: Path) -> None:
    words = [sys.executable, "-m", "xlingual", "board", str(runs), "-b", "sample"]
    piped = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "| Rank | Model | ar |" in piped
    for name in FORMATS:
        in_pipe = subprocess.run([*words, "--format", name], capture_output=True, text=True, check=True).stdout
        shown = on_terminal(80, "xlingual", "board", str(runs), "-b", "sample", "--format", name)
        assert shown.text.split() == in_pipe.split(), name


def test_formats_are_written_too_and_one_at_a_time(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "board.csv"
    words = ["board", str(runs), "-b", "sample"]
    assert run_command([*words, "--format", "csv", "--write", str(target)]) == 0
    rows = list(csv.DictReader(io.StringIO(target.read_bytes().decode("utf-8"), newline="")))
    assert {row["model"] for row in rows} == {"oracle", "echo"}
    capsys.readouterr()
    assert run_command([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 1
    assert run_command([*words, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 1
    assert run_command([*words, "--json", "--format", "csv"]) == 2


def _write_script(path: Path) -> str:
    lines = [{"id": f"sample-xq-{number:04d}", "prediction": f"an \ud800 answer {number}"} for number in range(1, 25)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return f"scripted:{path}"


def test_every_eval_ever_goes_to_a_folder_as_their_repository_has_it(runs: Path, tmp_path: Path) -> None:
    out, model = str(tmp_path / "runs"), _write_script(tmp_path / "own.jsonl")
    asked = ["eval", "-m", model, "-t", "xquad", "--data", "sample", "-l", "ar,el,en,hi,tr,vi,zh"]
    assert run_command([*asked, "-o", out]) == 0
    words = ["board", str(runs), out, "-b", "sample", "--write", f"{tmp_path}/eee/"]
    assert run_command([*words, "--format", "csv"]) == 2
    for _ in range(2):
        assert run_command([*words, "--format", "every-eval-ever"]) == 0
    paths = sorted(path.relative_to(tmp_path / "eee").as_posix() for path in (tmp_path / "eee").rglob("*.json"))
    unit = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert len(paths) == 1, "the same board, the same files; controls are no models"
    assert re.fullmatch(f"data/xlingual/unknown/scripted-own/{unit}.json", paths[0])
    record = json.loads((tmp_path / "eee" / paths[0]).read_text(encoding="utf-8"))
    assert len(record["evaluation_results"]) == 7
    assert "detailed_evaluation_results" not in record

    assert run_command([*words, "--format", "every-eval-ever", "--samples"]) == 0
    record = json.loads((tmp_path / "eee" / paths[0]).read_text(encoding="utf-8"))
    details = record["detailed_evaluation_results"]
    content = (tmp_path / "eee" / details["file_path"]).read_bytes()
    assert details["file_path"] == f"{paths[0].removesuffix('.json')}_samples.jsonl"
    assert details["checksum"] == hashlib.sha256(content).hexdigest()
    lines = [json.loads(line) for line in content.splitlines()]
    assert details["total_rows"] == len(lines) == 7 * 24
    results = {each["evaluation_result_id"]: each["evaluation_name"] for each in record["evaluation_results"]}
    for line in lines:
        assert results[line["evaluation_result_id"]] == line["evaluation_name"]
        assert (line["evaluation_id"], line["model_id"]) == (record["evaluation_id"], record["model_info"]["id"])
        assert (line["output"]["raw"][0][:5], line["messages"]) == ("an \ufffd ", None)
        assert line["evaluation"] == {"score": 0.0, "is_correct": False}


@pytest.mark.parametrize("words", [[], ["--format", "csv"], ["--format", "every-eval-ever"]])
def test_single_samples_want_their_format_and_a_folder(runs: Path, tmp_path: Path, words: list[str]) -> None:
    assert run_command(["board", str(runs), "-b", "sample", "--samples", *words]) == 2
    assert run_command(["board", str(runs), "-b", "sample", "--samples", *words, "-w", f"{tmp_path}/x.json"]) == 2


def test_make_eval_ends_in_the_paths_of_board_and_page(tmp_path: Path) -> None:
    words = {"MODEL": "oracle", "DATA": "sample", "TASKS": "xquad/en", "OUT": "out"}
    shown = on_terminal(
        80, "xlingual.cli.make", "eval", cwd=tmp_path, **{f"XLINGUAL_MAKE_{key}": value for key, value in words.items()}
    )
    assert shown.code == 0
    board, page = [line for line in shown.lines if line][-2:]
    assert board == "leaderboard: out/leaderboard-sample.md"
    assert page.startswith("view: out/view.html")
    assert "| Rank | Model | en |" in (tmp_path / "out" / "leaderboard-sample.md").read_text(encoding="utf-8")
    assert "| Rank |" not in shown.text, "a terminal gets drawn tables"
