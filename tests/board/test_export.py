"""Exports: what each format holds, and that no name breaks it, each read back by a parser that is not ours."""

import csv
import dataclasses
import io
import json
import re

import pytest
import yaml

from xlingual.board import board_json, build_board
from xlingual.board.collection import Collection
from xlingual.board.controls import CONTROLS
from xlingual.board.export import EXPORTS
from xlingual.board.export.latex import escape_latex
from xlingual.board.export.table import COLUMNS
from xlingual.board.rows import Board
from xlingual.board.spec import RATES, BoardOrigin
from xlingual.records import Origin, RunRecord

from .factory import collect, fail_examples, limit_run, make_estimate, make_run, make_spec
from .hostile import HOSTILE

COMMAND = "xlingual board runs"
UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def board_of(*runs: RunRecord, include_limited: bool = False) -> tuple[Board, Collection]:
    collection = collect(*runs)
    return build_board(make_spec("*/*"), collection, include_limited=include_limited), collection


def export(name: str, *runs: RunRecord, include_limited: bool = False) -> str:
    return EXPORTS[name](*board_of(*runs, include_limited=include_limited), COMMAND)


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def two_models() -> list[RunRecord]:
    scores = {"alpaca": (20.0, 100 / 3), "x-llama": (30.0, 44.0)}
    return [
        make_run(model, f"xquad/{code}", value)
        for model, row in scores.items()
        for code, value in zip(("ar", "zh"), row, strict=True)
    ]


def with_name(name: str) -> RunRecord:
    """Return a run in which every text of a stranger is `name`."""
    run = make_run("x", "xquad/ar", 50.0)
    model = dataclasses.replace(run.model, name=name, revision=name, dtype=name, parent=name, backend=name)
    estimates = (dataclasses.replace(run.estimates[0], signature=name, interval=name), *run.estimates[1:])
    protocol = dataclasses.replace(run.protocol, system=name, variant=name, template=name, split=name)
    return dataclasses.replace(run, model=model, estimates=estimates, protocol=protocol, versions={"xlingual": name})


def latex_rows(text: str) -> list[list[str]]:
    """Return the cells of all tables; fails where braces, environments or special characters are not in order."""
    rows, depth, cells = [], 0, [""]
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    body = "\n".join(lines)
    for token in re.findall(r"\\\\|\\[A-Za-z]+|\\.|.|\n", body):
        if token in "{}":
            depth += 1 if token == "{" else -1
        assert depth >= 0
        assert token not in ("%", "$", "#", "_", "^", "~"), "unescaped"
        if token == "&":
            assert depth == 0
            cells.append("")
        elif token == r"\\":
            rows.append(cells)
            cells = [""]
        else:
            cells[-1] += token
    assert depth == 0
    assert not re.search(r"\\\\\s*[\[*]", body), "the argument of a row's end"
    for name in ("table", "tabular"):
        assert body.count(f"\\begin{{{name}}}") == body.count(f"\\end{{{name}}}") == 1
    return rows


def test_csv_has_a_row_a_model_task_and_metric() -> None:
    rows = read_csv(export("csv", *two_models()))
    assert len(rows) == 4 * (1 + len(RATES)), "the main metric and the diagnostics"
    [row] = [
        each for each in rows if (each["model"], each["task"], each["metric"]) == ("alpaca", "xquad/zh", "containment")
    ]
    record = two_models()[1]
    expected = {
        "board": "test",
        "fingerprint": record.model.fingerprint,
        "language": "zh",
        "low": repr(100 / 3 - 2),
        "level": "95",
        "n": "1190",
        "shots": "0",
        "template": "native",
        "max_new_tokens": "64",
        "data": record.protocol.data,
        "prompts": record.protocol.prompts,
        "signature": "score:containment|v:1",
        "state": "complete",
        "ranked": "true",
        "rank": "2",
        "run": "runs/001/results.json",
    }
    assert {name: row[name] for name in expected} == expected
    assert float(row["value"]) == 100 / 3, "full precision"


def test_csv_says_what_is_not_whole_and_leaves_what_is_unknown_empty() -> None:
    other = make_run("other", "xquad/ar", 99.0)
    other = dataclasses.replace(other, protocol=dataclasses.replace(other.protocol, max_new_tokens=512))
    missing = make_run("none", "xquad/ar", None)
    runs = [*two_models(), fail_examples(make_run("broken", "xquad/ar", 12.3), 273), other, missing]
    runs.append(limit_run(make_run("part", "xquad/ar", 77.0), 40))
    found = {
        each["model"]: each
        for each in read_csv(export("csv", *runs, include_limited=True))
        if each["metric"] == "containment"
    }
    assert (found["broken"]["state"], found["broken"]["n"], found["broken"]["ranked"]) == ("incomplete", "917", "false")
    assert (found["other"]["state"], found["other"]["max_new_tokens"]) == ("not comparable", "512")
    assert found["other"]["reason"] == "max_new_tokens: 512, ranked: 64"
    assert (found["none"]["state"], found["none"]["value"]) == ("not computed", "")
    assert (found["part"]["state"], found["part"]["limit"]) == ("limited", "1-40")


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_the_csv_or_runs_in_a_spreadsheet(name: str) -> None:
    text = export("csv", *two_models(), with_name(name))
    text.encode("utf-8")
    assert not UNSEEN.search(text)
    assert text.count("\r\n") == len(text.splitlines()), "one line a row"
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert {len(row) for row in rows} == {len(COLUMNS)}
    for row in rows[1:]:
        for column, cell in zip(COLUMNS, row, strict=True):
            assert not cell.lstrip().startswith(("=", "+", "-", "@")), column


def test_latex_has_bold_best_values_and_small_intervals() -> None:
    text = export("latex", *two_models())
    header, alpaca = latex_rows(text)[0], latex_rows(text)[2]
    assert [cell.strip() for cell in header[1:]] == ["ar", "zh", "Average"]
    assert r"x{-}llama & \textbf{30.0} {\scriptsize [28.0, 32.0]} & \textbf{44.0}" in text
    assert alpaca[1].strip() == r"20.0 {\scriptsize [18.0, 22.0]}"
    assert "\\toprule" in text
    assert "containment{|}v:1".replace("{|}", r"\textbar{}") in text, "the signature stands in the caption"
    assert text.startswith(f"% {COMMAND}\n")


def test_latex_shows_cells_that_are_not_whole_without_bold() -> None:
    text = export("latex", *two_models(), fail_examples(make_run("broken", "xquad/ar", 99.0), 273))
    assert "broken & 99.0 (917/1190) & -- & -- \\\\" in text


def test_latex_tells_controls_and_marked_rows() -> None:
    """The oracle was the bold best of every column, and a parrot's 100.0 stood as any other score."""
    runs = [make_run(name, "xquad/ar", value) for name, value in (("a", 40.0), ("b", 50.0), ("p", 100.0), ("o", 100.0))]
    copies = (*runs[2].estimates[:1], make_estimate("passage_copy", 90.0))
    runs[2] = dataclasses.replace(runs[2], estimates=copies)
    runs[3] = dataclasses.replace(runs[3], model=dataclasses.replace(runs[3].model, backend="oracle"))
    text = export("latex", *runs)
    assert re.findall(r"\\textbf\{([0-9.]+)\}", text) == ["50.0"]
    assert "p & 100.0 (not ranked) \\\\\n\\midrule\no (ceiling) & 100.0 {\\scriptsize" in text
    assert (
        "Not ranked, p: xquad/ar: 90.0\\% of the passage repeated, at most 30\\%. Below the second rule: controls."
        in text
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_the_latex(name: str) -> None:
    run = with_name(name)
    runs = [
        dataclasses.replace(each, protocol=dataclasses.replace(run.protocol, task=each.protocol.task))
        for each in (run, *two_models())
    ]
    text = EXPORTS["latex"](*board_of(*runs), f"xlingual board {name}")
    assert not UNSEEN.search(text)
    text.encode("utf-8")
    rows = latex_rows(text)
    assert len({len(row) for row in rows}) == 1
    assert all(line.startswith("%") for line in text.splitlines()[:2])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b", r"a\_b"),
        ("50% & more #1", r"50\% \& more \#1"),
        ("\\x{}", r"\textbackslash{}x\{\}"),
        ("a--b", "a{-}{-}b"),
        ("[3em]", "{[}3em{]}"),
        ("a\nb", "aU+000Ab"),
        ("a\u202eb", "aU+202Eb"),
        ("中文 العربية", "中文 العربية"),
        ("", "(no name)"),
    ],
)
def test_escaped_latex(text: str, expected: str) -> None:
    assert escape_latex(text) == expected


def test_the_hub_section_has_a_result_a_task_with_all_that_the_number_depends_on() -> None:
    broken = fail_examples(make_run("x-llama", "xquad/hi", 12.3), 273)
    text = export("eval-results", *two_models(), broken)
    sections = {each["model-index"][0]["name"]: each for each in yaml.safe_load_all(text)}
    assert sorted(sections) == ["alpaca", "x-llama"]
    alpaca, other = sections["alpaca"], sections["x-llama"]
    result = alpaca["model-index"][0]["results"][1]
    record = two_models()[1]
    assert result["task"] == {"type": "question-answering", "name": "Question answering"}
    assert result["dataset"] == {"type": "google/xquad", "name": "xquad/zh", "config": "xquad.zh", "split": "test"}
    [metric] = result["metrics"]
    assert (metric["type"], metric["name"]) == ("xlingual.containment", "containment, 0-shot")
    assert metric["value"] == 100 / 3
    assert metric["args"]["signature"] == "score:containment|v:1"
    assert metric["args"]["fingerprint"] == record.model.fingerprint
    assert {"low", "high", "level", "n", "prompts", "data"} <= set(metric["args"])
    assert len(other["model-index"][0]["results"]) == 2, "incomplete scores are not published"
    assert "# left out: xquad/hi, containment: incomplete 917 of 1190\n" in text
    assert "verif" not in text, "that is not ours to claim"


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_the_hub_section(name: str) -> None:
    text = export("eval-results", with_name(name))
    assert not UNSEEN.search(text)
    [document] = yaml.safe_load_all(text)
    [model] = document["model-index"]
    assert isinstance(model["name"], str)
    assert model["results"][0]["metrics"][0]["value"] == 50.0


def test_small_numbers_are_numbers_in_yaml() -> None:
    runs = make_run("a", "xquad/ar", 1e-05)
    [document] = yaml.safe_load_all(export("eval-results", runs))
    assert document["model-index"][0]["results"][0]["metrics"][0]["value"] == 1e-05


_TOP = {"schema_version", "evaluation_id", "evaluation_timestamp", "retrieved_timestamp", "source_metadata"}
_TOP |= {"eval_library", "model_info", "evaluation_results"}


def _check_details(value: object) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("additional_details", "details"):
                assert all(isinstance(each, str) for each in item.values()), key
            _check_details(item)
    elif isinstance(value, list):
        for item in value:
            _check_details(item)


def test_every_eval_ever_has_a_record_a_model() -> None:
    broken = fail_examples(make_run("x-llama", "xquad/hi", 12.3), 273)
    records = [json.loads(line) for line in export("every-eval-ever", *two_models(), broken).splitlines()]
    assert sorted(each["model_info"]["id"] for each in records) == ["unknown/alpaca", "unknown/x-llama"]
    for record in records:
        assert set(record) == _TOP, "their schema refuses other keys at the top"
        assert record["schema_version"] == "0.3.0"
        assert record["retrieved_timestamp"].isdigit()
        _check_details(record)
        assert len(record["evaluation_results"]) == 2, "complete scores only"
    [alpaca] = [each for each in records if each["model_info"]["name"] == "alpaca"]
    result = alpaca["evaluation_results"][1]
    assert result["score_details"]["score"] == 100 / 3
    interval = result["score_details"]["uncertainty"]["confidence_interval"]
    assert (interval["lower"], interval["upper"], interval["confidence_level"]) == (100 / 3 - 2, 100 / 3 + 2, 0.95)
    config = result["metric_config"]
    assert (config["lower_is_better"], config["score_type"], config["min_score"], config["max_score"]) == (
        False,
        "continuous",
        0.0,
        100.0,
    )
    assert result["source_data"]["hf_repo"] == "google/xquad"
    assert result["source_data"]["additional_details"]["language"] == "zh"


def test_the_packaged_sample_does_not_pass_for_the_benchmark() -> None:
    runs = [dataclasses.replace(each, origin=Origin.SAMPLE) for each in two_models()]
    collection = collect(*runs)
    board = build_board(dataclasses.replace(make_spec("*/*"), origin=BoardOrigin.SAMPLE), collection)
    pages = {name: EXPORTS[name](board, collection, COMMAND) for name in EXPORTS}
    assert "google/xquad" not in "".join(pages.values())
    document = next(yaml.safe_load_all(pages["eval-results"]))
    assert document["model-index"][0]["results"][0]["dataset"]["type"] == "xlingual-sample"
    record = json.loads(pages["every-eval-ever"].splitlines()[0])
    assert record["evaluation_results"][0]["source_data"]["dataset_name"] == "xlingual-sample/xquad/ar"
    assert {row["origin"] for row in read_csv(pages["csv"])} == {"sample"}
    assert "packaged sample" in pages["latex"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_the_records(name: str) -> None:
    text = export("every-eval-ever", with_name(name))
    [line] = text.splitlines()
    assert not UNSEEN.search(line)
    assert re.fullmatch(r"[\w.+-]+/[\w.+-]+", json.loads(line)["model_info"]["id"])


def test_the_hub_results_have_a_file_a_table() -> None:
    text = export("hub-results", *two_models(), make_run("alpaca", "flores101/en-zh", 3.0, metric="chrf++"))
    documents = list(yaml.safe_load_all(text))
    paths = re.findall("^# (.*)$", text, re.MULTILINE)
    assert paths == [f"unknown/{name}/.eval_results/xquad-containment.yaml" for name in ("x-llama", "alpaca")]
    assert len(documents) == 2, "Flores-101 has no data set on the hub that we know"
    result = documents[1][1]
    assert result["dataset"] == {"id": "google/xquad", "task_id": "xquad.zh"}
    assert (result["value"], result["date"]) == (100 / 3, "2025-01-01")
    notes = "containment, 0-shot, template native, 95% interval 31.3 to 35.3, 1190 examples"
    assert result["notes"] == f"{notes}, signature score:containment|v:1; xlingual, not verified"
    assert "verify" not in text.replace("not verified", "")


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_the_hub_results(name: str) -> None:
    text = export("hub-results", with_name(name))
    assert not UNSEEN.search(text)
    [document] = yaml.safe_load_all(text)
    assert set(document[0]) == {"dataset", "value", "date", "notes"}
    assert re.search(r"^# [\w.+-]+/[\w.+-]+/\.eval_results/xquad-containment\.yaml$", text, re.MULTILINE)


@pytest.mark.parametrize("format_name", ["eval-results", "hub-results", "every-eval-ever"])
def test_controls_are_not_published_as_models(format_name: str) -> None:
    for backend in CONTROLS:
        run = make_run(f"the-{backend}", "xquad/ar", 100.0)
        control = dataclasses.replace(run, model=dataclasses.replace(run.model, backend=backend))
        text = export(format_name, *two_models(), control)
        assert ("alpaca" in text, f"the-{backend}" in text) == (True, False)
        [row] = [row for row in read_csv(export("csv", *two_models(), control)) if row["model"] == f"the-{backend}"][:1]
        assert row["control"] == CONTROLS[backend]


@pytest.mark.parametrize("name", HOSTILE)
def test_json_has_the_texts_as_they_are(name: str) -> None:
    board, _ = board_of(with_name(name))
    assert json.loads(json.dumps(board_json(board)))["models"][0]["spec"]["name"] == name


@pytest.mark.parametrize("format_name", EXPORTS)
def test_a_board_without_runs_is_well_formed(format_name: str) -> None:
    text = export(format_name)
    assert "Traceback" not in text
    if format_name == "csv":
        assert read_csv(text) == []
    if format_name == "eval-results":
        assert [each for each in yaml.safe_load_all(text) if each] == []
