"""`xlingual analyze content` as users meet it: tables, JSON, a kept file, and how it fails."""

import json
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from rich.cells import cell_len

from xlingual.analysis.content import read_analysis
from xlingual.cli import run_command

from ..analysis.content.labelled_table import sentences
from ..analysis.content.runs import make_rows, put_answers
from ..board.hostile import HOSTILE
from .terminal import on_terminal

Captured = pytest.CaptureFixture[str]


def run(capsys: Captured, *arguments: str) -> tuple[int, str, str]:
    code = run_command(["analyze", "content", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("content") / "runs"
    for code in ("ar", "zh"):
        english = [*sentences("en", "plain"), *sentences("en", "boilerplate"), "Paris"]
        put_answers(root, "SmolLM2-135M-Instruct", f"xquad/{code}", make_rows(f"xquad/{code}", english))
        own = [*sentences(code, "plain"), *sentences(code, "loop"), None]
        put_answers(root, "x-llama-zh-mini", f"xquad/{code}", make_rows(f"xquad/{code}", own))
    return root


def test_tables_in_a_pipe_are_markdown(runs: Path, capsys: Captured) -> None:
    code, out, err = run(capsys, str(runs))
    assert (code, err) == (0, "")
    page = MarkdownIt().enable("table").render(out)
    for title in (
        "Answers",
        "xquad/ar: content",
        "xquad/zh: against SmolLM2-135M-Instruct",
        "Languages and scripts",
        "xquad/ar, x-llama-zh-mini: examples",
    ):
        assert f"\n{title}\n" in out
    assert page.count("<table>") > 6
    assert re.search(r"\| english \| 100\.0 \[.*\] of \d+ \| 0\.0 \[.*\] of \d+ \|", out)
    assert "note: source_copy: not computed" in out


def test_tables_fit_a_terminal_of_80_columns(runs: Path) -> None:
    shown = on_terminal(80, "xlingual", "analyze", "content", str(runs))
    assert shown.code == 0
    framed = [line for line in shown.lines if line.startswith(("│", "┃", "└", "┡", "┏"))]
    assert framed
    assert max(map(cell_len, framed)) <= 80
    assert "…" not in "".join(framed)
    examples = [line for line in shown.lines if line.startswith("    ")]
    assert len(examples) > 10
    assert max(map(cell_len, examples)) <= 80
    arabic = [line for line in examples if "الجسر" in line]
    assert arabic
    assert all(line.startswith("    \u200e") for line in arabic), "Arabic does not turn its line around"


def test_json_is_one_document_and_the_kept_file_is_the_same(runs: Path, tmp_path: Path, capsys: Captured) -> None:
    target = tmp_path / "new" / "content.json"
    code, out, err = run(capsys, str(runs), "--json", "--keep", str(target), "--examples", "1")
    assert code == 0
    assert err == f"written: {target}\n"
    document = json.loads(out)
    assert document["schema"] == 1
    assert {each["task"] for each in document["records"]} == {"xquad/ar", "xquad/zh"}
    kept = read_analysis(target)
    assert [each.model for each in kept.records] == [each["model"] for each in document["records"]]
    assert kept.records[0].counts.answered == 23
    assert kept.records[1].counts.failed == 1


@pytest.mark.parametrize(
    ("arguments", "code", "error", "hint"),
    [
        (["no-such"], 2, "no-such: no such folder", "xlingual eval --out"),
        ([".", "--baseline", "nobody"], 3, "no run can be read", "xlingual eval --out DIR"),
        (["--examples", "-1"], 2, "--examples", "--help"),
        ([".", "--keep", "."], 2, "--keep .: is a folder", "content.json"),
        (["--no-such"], 2, "No such option", "--help"),
    ],
)
def test_what_is_wrong_is_said_in_two_lines(
    arguments: list[str],
    code: int,
    error: str,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.chdir(tmp_path)
    found, out, err = run(capsys, *arguments)
    assert (found, out) == (code, "")
    lines = err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "hint"]
    assert error in lines[0]
    assert hint in lines[1]


def test_a_bad_line_ends_with_3_and_names_its_field(tmp_path: Path, capsys: Captured) -> None:
    rows = make_rows("xquad/zh", list(sentences("zh", "plain")))
    rows[2]["answer"] = ["a"]
    put_answers(tmp_path / "runs", "m", "xquad/zh", rows)
    code, out, err = run(capsys, str(tmp_path / "runs"))
    assert (code, out) == (3, "")
    assert "xquad-zh/samples.jsonl:3: field 'answer' must be a text, got list" in err
    assert "hint: the file was changed" in err


def test_an_unknown_baseline_names_the_models(runs: Path, capsys: Captured) -> None:
    code, _, err = run(capsys, str(runs), "--baseline", "smollm")
    assert code == 2
    assert "error: --baseline: no run of 'smollm'" in err


def test_hostile_answers_move_nothing(tmp_path: Path, capsys: Captured) -> None:
    loops = [f"{text[:40]} {sentences('ar', 'loop')[0]}" for text in HOSTILE if "\ud800" not in text]
    put_answers(tmp_path / "runs", "m", "xquad/ar", make_rows("xquad/ar", loops))
    code, out, _ = run(capsys, str(tmp_path / "runs"), "--examples", "100")
    assert code == 0
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", out)
    rows = [line for line in out.splitlines() if line.startswith("| loop |") and "times" in line]
    assert len(rows) == len(loops)
    assert {len(re.split(r"(?<!\\)\|", line)) for line in rows} == {6}
    shown = on_terminal(80, "xlingual", "analyze", "content", str(tmp_path / "runs"))
    assert shown.code == 0
    assert "\u200e" in shown.text, "Arabic is kept from moving what stands behind it"


def test_controls_from_the_question_to_the_analysis(tmp_path: Path, capsys: Captured) -> None:
    """Echo says what it was asked, oracle the gold answer: the one copies everything, the other is beyond reproach."""
    for model in ("echo", "oracle"):
        words = ["eval", "-m", model, "-t", "xquad/zh,flores101/en-zh", "--data", "sample", "-o", str(tmp_path)]
        assert run_command(words) == 0
    capsys.readouterr()
    code, out, _ = run(capsys, str(tmp_path), "--json", "--baseline", "echo")
    assert code == 0
    document = json.loads(out)
    values = {
        (record["model"], record["task"], each["metric"]): each["value"]
        for record in document["records"]
        for each in record["estimates"]
    }
    for measure in ("source_copy", "off_target", "english"):
        assert values["echo", "flores101/en-zh", measure] == 100.0
    assert values["echo", "xquad/zh", "question_copy"] == 100.0
    faults = ("source_copy", "question_copy", "whole_passage", "loop", "refusal", "abstention", "boilerplate", "empty")
    found = {values["oracle", task, name] for task in ("xquad/zh", "flores101/en-zh") for name in faults}
    assert found == {0.0, None}
    assert values["oracle", "xquad/zh", "verbatim"] == 100.0
    copies = next(each for each in document["differences"] if each["measure"] == "source_copy")
    assert (copies["model"], copies["baseline"], copies["found"]["difference"]) == ("oracle", "echo", -100.0)
    assert copies["p_holm"] < 0.05
