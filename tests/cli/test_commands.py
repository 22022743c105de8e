"""The command line as users meet it: exit codes, one error line and one hint, machine output, dry runs."""

import json
import re
from pathlib import Path

import pytest

from xlingual.cli import run_command

SAMPLE = ["--data", "sample"]


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_command(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def _eval(out: Path, *arguments: str, model: str = "oracle") -> list[str]:
    return ["eval", "-m", model, "-t", "xquad/en", *SAMPLE, "-o", str(out), *arguments]


@pytest.mark.parametrize(
    ("arguments", "code", "error", "hint"),
    [
        (["evalute"], 2, "No such command 'evalute'", "xlingual --help"),
        (["eval"], 2, "Missing option '--model'", "xlingual eval --help"),
        (["eval", "-m", "smolm2", "-t", "xquad/en"], 2, "no such model: 'smolm2'", "did you mean smollm2?"),
        (["eval", "-m", "echo", "-t", "xqaud"], 2, "no such task family: 'xqaud'", "did you mean xquad?"),
        (["eval", "-m", "echo", "-t", "xquad", "-l", "zz"], 2, "no such language: 'zz'", ""),
        (["eval", "-m", "echo", "-t", "xquad/en", "--limit", "0", *SAMPLE], 2, "'0' is not a number", "use N or A-B"),
        (["eval", "-m", "echo", "--batch-size", "0"], 2, "0 is not in the range", "xlingual eval --help"),
        (
            ["eval", "-m", "echo", "-t", "xquad/de", *SAMPLE],
            3,
            "the packaged sample has no such file",
            "it has xquad/ar",
        ),
        (["eval", "-m", "echo", "-t", "xquad/de", "--data", "no-such"], 2, "no such folder", "name a folder"),
        (["board", "no-such-runs"], 2, "no such folder", "xlingual eval --out"),
        (["score", "x.jsonl", "--task", "xquad", *SAMPLE], 2, "one predictions file", "name it whole"),
    ],
)
def test_errors(
    arguments: list[str], code: int, error: str, hint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    outside = ["-o", str(tmp_path)] if arguments[0] == "eval" else []
    returned, out, err = _run(capsys, *arguments, *outside)
    assert returned == code
    assert out == ""
    lines = err.strip().splitlines()
    assert lines[0].startswith("error: ")
    assert error in lines[0]
    assert len(lines) == 1 or (lines[1].startswith("hint: ") and hint in lines[1])


def test_errors_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(capsys, "tasks", "xqaud", "--json")
    assert (code, out) == (2, "")
    assert json.loads(err)["error"]["hint"] == "did you mean xquad?"


def test_an_unwritable_output_is_found_before_anything_is_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    code, _, err = _run(capsys, *_eval(tmp_path / "file" / "runs"))
    assert code == 5
    assert "Not a directory" in err


def test_a_bug_is_exit_code_70(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("xlingual.cli.evaluation.evaluate", fail)
    code, _, err = _run(capsys, *_eval(tmp_path))
    assert code == 70
    assert err.splitlines()[0] == "error: RuntimeError: unforeseen"


def test_a_whole_run_prints_a_table_and_exits_0(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = _run(capsys, *_eval(tmp_path))
    assert code == 0
    assert "| oracle | xquad/en | 24 | 100.0 [74.1, 100.0] |" in out
    assert "asking 24 samples of 1 tasks" in err
    assert "24/24 xquad/en" in err
    assert "packaged sample" in err


def test_json_is_one_document(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = _run(capsys, *_eval(tmp_path, "--json"))
    assert code == 0
    document = json.loads(out)
    assert document["runs"][0]["protocol"]["task"] == "xquad/en"


def test_failed_samples_exit_1_and_say_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text('{"id": "sample-xq-0001", "prediction": "x"}\n', encoding="utf-8")
    code, out, err = _run(capsys, *_eval(tmp_path / "out", "--max-errors", "99", model=f"scripted:{script}"))
    assert code == 1
    assert "| 1/24 |" in out
    assert "warning: xquad/en: answered 1 of 24 samples; the same command again asks the rest" in err


def test_the_default_tasks_on_the_sample_are_those_it_has(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = _run(capsys, "eval", "-m", "echo", *SAMPLE, "-o", str(tmp_path), "--dry-run", "--json")
    plans = json.loads(out)["plans"]
    assert (code, err, len(plans)) == (0, "", 7 + 5 + 6)
    assert {plan["origin"] for plan in plans} == {"sample"}


def test_a_dry_run_shows_everything_and_writes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = _run(capsys, *_eval(tmp_path / "out", "--dry-run", "--limit", "5"))
    assert code == 0
    assert "xquad/en: 5 samples" in out
    assert "Answer the final question with following context" in out
    assert f"goes to: {tmp_path / 'out'}" in out
    assert not (tmp_path / "out").exists()


def test_stop_strings_may_hold_line_breaks(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, out, _ = _run(capsys, *_eval(tmp_path, "--json", "--stop", r"\n", "--stop", "Q:"))
    assert json.loads(out)["runs"][0]["protocol"]["stop"] == ["\n", "Q:"]


def test_score_of_a_predictions_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    predictions, items = tmp_path / "p.jsonl", tmp_path / "items.jsonl"
    lines = [{"id": "sample-xq-0001", "prediction": "nothing of it"}, {"id": "unknown", "prediction": "x"}]
    predictions.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    command = ["score", str(predictions), "--task", "xquad/en", *SAMPLE, "--json"]
    code, out, err = _run(capsys, *command, "--items", str(items))
    report = json.loads(out)
    assert code == 1
    assert (report["n"], report["total"], report["unknown"]) == (1, 24, ["unknown"])
    assert "warning: 23 of 24 examples have no prediction: the scores are of the other 1 alone" in err
    assert report["coverage"] == pytest.approx(1 / 24)
    assert "1 ids are in no example" in err
    assert json.loads(items.read_text(encoding="utf-8"))["statistics"]["squad_em"] == [0.0, 1.0]
    code, out, err = _run(capsys, *command, "--missing", "zero")
    assert (code, json.loads(out)["n"], "no prediction" in err) == (0, 24, False)
    code, _, err = _run(capsys, *command, "--partial")
    assert (code, "no prediction" in err, "hint" in err) == (0, True, False)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"id": "a"}\n', "field 'prediction' is missing"),
        ('{"id": "a", "prediction": 3}\n', "'prediction' must be"),
        ('{"id": "sample-xq-0001", "prediction": "x"}\n' * 2, "on lines 1 and 2"),
        ('{"id": "a", "prediction": "x"}\n', "none of its 1 ids is in xquad/en"),
        ("", "no records"),
    ],
)
def test_bad_predictions(text: str, error: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(text, encoding="utf-8")
    code, _, err = _run(capsys, "score", str(path), "--task", "xquad/en", *SAMPLE)
    assert code == 3
    assert str(path) in err
    assert error in err


def test_saved_answers_are_scored_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _run(capsys, *_eval(tmp_path))
    path = next(tmp_path.rglob("results.json"))
    before = json.loads(path.read_text(encoding="utf-8"))
    spoiled = before | {"estimates": []}
    path.write_text(json.dumps(spoiled), encoding="utf-8")
    code, out, _ = _run(capsys, "score", str(path.parent), *SAMPLE, "--json")
    assert code == 0
    assert json.loads(out)["runs"][0]["estimates"] == before["estimates"]
    assert json.loads(path.read_text(encoding="utf-8"))["estimates"] == before["estimates"]


def test_a_board_of_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for model in ("oracle", "echo"):
        _run(capsys, *_eval(tmp_path, model=model))
    code, out, _ = _run(capsys, "board", str(tmp_path), "--board", "sample")
    assert code == 0
    assert "oracle" in out
    assert "echo" in out
    code, out, _ = _run(capsys, "board", str(tmp_path), "--board", "all")
    assert code == 0
    assert "sample data never enter a board of real scores" in out
    target = tmp_path / "deep" / "board.md"
    code, _, err = _run(capsys, "board", str(tmp_path), "--board", "sample", "--write", str(target))
    assert (code, str(target) in err) == (0, True)
    assert target.read_text(encoding="utf-8").startswith("# ")


def test_tasks_lists_families_and_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "tasks")
    assert code == 0
    assert all(f"| {family} |" in out for family in ("xquad", "mlqa", "flores101"))
    _, out, _ = _run(capsys, "tasks", "mlqa/zh-*", "--json")
    assert len(json.loads(out)["tasks"]) == 7
    _, out, _ = _run(capsys, "tasks", "--languages")
    assert "| zho_trad | zho_trad | Chinese (traditional) | Hant |" in out


def test_models_lists_backends(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "models")
    assert code == 0
    assert all(f"| {name} |" in out for name in ("hf", "smollm2", "echo", "oracle", "scripted"))


def test_names_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = _run(capsys, "tasks", "\x1b]0;owned\x07")
    assert "\x1b" not in err
    assert "\x07" not in err


def test_prices_make_a_forecast_and_a_bill(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = _eval(tmp_path, "--price", "1,3")
    _, out, _ = _run(capsys, *command, "--dry-run")
    assert re.search(r"^  costs about 0\.\d+ to 0\.\d+, by the prices of --price", out, re.MULTILINE), out
    assert "what oracle cost is not known: it does not count tokens" in _run(capsys, *command)[2]
    code, _, error = _run(capsys, *_eval(tmp_path, "--price", "1,x"))
    assert (code, error.startswith("error: --price")) == (2, True)


def test_wordings_are_shown_apart_with_their_spread(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["eval", "-m", "echo", "-t", "xquad/en,xquad/zh", *SAMPLE, "-o", str(tmp_path)]
    code, out, _ = _run(capsys, *command, "--variants", "all", "--prompt-language", "en")
    assert code == 0
    for name in ("xquad/en ", "xquad/en (question-first)", "xquad/zh (en)", "xquad/zh (en, no-instruction)"):
        assert f"| {name}" in out
    assert "spread over wordings" in out
    assert "| echo | xquad/zh | containment | 3 | 0.0 | 0.0 | 0.0 | 0.0 |" in out


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("--temperature", "-1"), "--temperature"),
        (("--temperature", "inf"), "--temperature"),
        (("--temperature", "nan"), "--temperature"),
        (("--temperature", "1", "--top-p", "nan"), "--top-p"),
        (("--temperature", "1", "--min-p", "nan"), "--min-p"),
        (("--timeout", "inf"), "--timeout"),
        (("--top-p", "0.5"), "--top-p"),
        (("--top-p", "2"), "--top-p"),
        (("--repeats", "2"), "--repeats"),
        (("--thinking", "maybe"), "--thinking"),
        (("--system", "@nowhere.txt"), "--system @nowhere.txt"),
        (("--variants", "sideways"), "--variants"),
        (("--prompt-language", "tr"), "--prompt-language"),
        (("--extract", "last_numbr"), "extract"),
        (("--max-thinking-tokens", "0"), "--max-thinking-tokens"),
    ],
)
def test_wrong_words_of_the_protocol_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], where: str
) -> None:
    code, _, error = _run(capsys, *_eval(tmp_path / "out", *words))
    assert code == 2
    assert where in error
    assert "hint:" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("option", ["--temperature", "--top-p", "--min-p", "--timeout"])
def test_a_number_that_is_none_is_refused(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "-m", "echo", "-t", "xquad/en", "--data", "sample", "--temperature", "1", option, value]
    assert run_command(words) == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    ["--sample-seed", "--seed", "--max-new-tokens", "--max-thinking-tokens", "--top-k", "--repeats", "--shots",
     "--batch-size", "--concurrency", "--max-model-len", "--max-errors"],
)  # fmt: skip
def test_a_number_that_no_file_or_server_can_hold_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "-m", "echo", "-t", "xquad/en", "--data", "sample", "--temperature", "1", option, "9" * 26]
    assert run_command(words) == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--top-p", "--min-p", "--top-k"])
def test_what_shapes_draws_is_not_dropped_where_nothing_is_drawn(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["eval", "-m", "echo", "-t", "xquad/en", "--data", "sample", "--temperature", "0", option, "1"]
    assert run_command(words) == 2
    assert f"error: {option}: answers are greedy here" in capsys.readouterr().err


def test_a_dry_run_of_several_models_is_one_document(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = _run(capsys, *_eval(tmp_path, "-m", "echo", "--dry-run", "--json"))
    assert code == 0
    assert [(plan["model"], plan["task"]) for plan in json.loads(out)["plans"]] == [
        ("oracle", "xquad/en"),
        ("echo", "xquad/en"),
    ]
