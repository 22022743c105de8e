"""Whole judgements through the command line: scores, rules, records that boards and comparisons read."""

import json
from pathlib import Path

import pytest

from xlingual.board.collection import collect_runs
from xlingual.cli import run_command
from xlingual.comparison import compare_runs
from xlingual.judging.judged import find_runs
from xlingual.judging.reports import read_reports
from xlingual.judging.section import section
from xlingual.records import Origin

from .runs import PARIS, Judge, answer_questions, evaluate, ids, read_one, read_samples, write_lines

XQUAD = ("-t", "xquad/en", "--data", "sample")
HINDI = "पेरिस फ़्रांस की राजधानी है और यह सीन नदी के किनारे बसा हुआ है। यहाँ हर साल बहुत से लोग घूमने आते हैं और संग्रहालय देखते हैं।"


@pytest.fixture
def oracle(tmp_path: Path) -> Path:
    return evaluate(tmp_path / "runs", "oracle", *XQUAD)


def test_verdicts_become_a_score_with_counts_and_agreement(tmp_path: Path, oracle: Path) -> None:
    names = ids(read_one(oracle))
    replies = dict.fromkeys(names, "It is the same. VERDICT: CORRECT")
    replies |= dict.fromkeys(names[:4], "VERDICT: INCORRECT") | {names[4]: "VERDICT: CANNOT TELL", names[5]: "Hm."}
    judge = Judge(tmp_path, replies)
    assert judge.run(str(oracle), "--kind", "correctness") == 0
    report = judge.report()
    assert report.score.value == pytest.approx(100 * 18 / 22)
    assert (report.score.n, report.score.unscored) == (22, 2)
    assert report.score.low is not None
    assert (report.counts.judged, report.counts.unclear, report.counts.unreadable) == (22, 1, 1)
    assert any("75.0 to 83.3" in note for note in report.notes)
    gold = report.gold[0]
    assert gold.metric == "containment"
    # Every answer is its gold: exact match holds the same ones to be right, and is shown all the same.
    assert [each.metric for each in report.gold] == ["containment", "mlqa_em"]
    assert (gold.both, gold.judge_only, gold.metric_only, gold.neither) == (18, 0, 4, 0)
    assert gold.agreement.value == pytest.approx(100 * 18 / 22)
    assert gold.kappa.value == pytest.approx(0.0)
    assert gold.accepts_others.value is None


def test_the_judged_run_is_not_touched_and_the_result_reads_as_a_run(tmp_path: Path, oracle: Path) -> None:
    before = {path.name: path.read_bytes() for path in oracle.iterdir()}
    judge = Judge(tmp_path, dict.fromkeys(ids(read_one(oracle)), "VERDICT: CORRECT"))
    judge.run(str(oracle), "--kind", "correctness")
    assert {path.name: path.read_bytes() for path in oracle.iterdir()} == before
    runs = {each.record.protocol.task: each for each in collect_runs([tmp_path / "runs"]).runs}
    assert set(runs) == {"xquad/en", "judge_correctness/xquad/en"}
    record = runs["judge_correctness/xquad/en"].record
    assert record.model == runs["xquad/en"].record.model
    assert record.origin is Origin.SAMPLE
    assert (record.main_metric, record.complete) == ("judge_correct", True)
    assert "model:scripted-judge#" in record.estimates[0].signature
    # Another judge with the same prompt makes another result, and replaces none.
    other = Judge(tmp_path, dict.fromkeys(ids(read_one(oracle)), "VERDICT: INCORRECT"), name="other")
    other.run(str(oracle), "--kind", "correctness")
    assert len(collect_runs([tmp_path / "runs"]).runs) == 3
    # A judged result is not judged again.
    assert [each.record.protocol.task for each in find_runs([str(tmp_path / "runs")])[0]] == ["xquad/en"]


def test_two_models_are_compared_by_what_one_judge_says(tmp_path: Path, oracle: Path) -> None:
    names = ids(read_one(oracle))
    echo = evaluate(tmp_path / "runs", "echo", *XQUAD)
    for number, (run, right) in enumerate(((oracle, 24), (echo, 6))):
        replies = {name: f"VERDICT: {'CORRECT' if place < right else 'INCORRECT'}" for place, name in enumerate(names)}
        # One judge for both: the script is a part of its fingerprint, so that both are in one file, by two ids.
        assert Judge(tmp_path, replies, name=f"judge{number}").run(str(run), "--kind", "correctness") == 0
    folders = sorted((tmp_path / "runs").glob("*/judge_correctness*"))
    with pytest.raises(Exception, match="signature of judge_correct"):
        compare_runs(folders[0], folders[1], [])
    same = Judge(tmp_path, dict.fromkeys(names, "VERDICT: CORRECT"), name="same")
    assert same.run(str(oracle), str(echo), "--kind", "correctness") == 0
    signature = "model:scripted-same#"
    both = [path.parent for path in (tmp_path / "runs").rglob("judge.json") if signature in path.read_text("utf-8")]
    [found] = compare_runs(both[0], both[1], [])
    assert (found.metric, found.difference, found.n) == ("judge_correct", 0.0, 24)


def test_board_and_view_take_judged_results(tmp_path: Path, oracle: Path) -> None:
    Judge(tmp_path, dict.fromkeys(ids(read_one(oracle)), "VERDICT: CORRECT")).run(str(oracle), "--kind", "correctness")
    runs = str(tmp_path / "runs")
    board = tmp_path / "judged.toml"
    board.write_text(
        'name = "judged"\ntitle = "t"\ndescription = "d"\norigin = "sample"\ntasks = ["judge_correctness/*"]\n', "utf-8"
    )
    target = tmp_path / "board.md"
    assert run_command(["board", runs, "--board", str(board), "--write", str(target)]) == 0
    text = target.read_text(encoding="utf-8")
    assert r"judge\_correct" in text
    assert "100.0" in text
    assert "edited" not in text
    assert run_command(["view", runs, "-o", str(tmp_path / "view.html")]) == 0
    assert "judge_correctness/xquad/en" in (tmp_path / "view.html").read_text(encoding="utf-8")


def test_a_pair_is_asked_in_both_orders(tmp_path: Path, oracle: Path) -> None:
    echo = evaluate(tmp_path / "runs", "echo", *XQUAD)
    names = ids(read_one(oracle))
    replies = {f"{name}#1": "VERDICT: A" for name in names} | {f"{name}#2": "VERDICT: B" for name in names}
    replies[f"{names[0]}#2"] = "VERDICT: A"  # now the first for both: a tie
    replies[f"{names[1]}#1"] = replies[f"{names[1]}#2"] = "VERDICT: TIE"
    replies[f"{names[2]}#1"] = "nothing to be read"
    judge = Judge(tmp_path, replies)
    assert judge.run(str(oracle), "--kind", "pairwise", "--against", str(echo)) == 0
    report = judge.report()
    assert report.score.value == pytest.approx(100 * (21 + 0.5 + 0.5) / 23)
    assert (report.counts.ties, report.counts.unreadable, report.against) == (2, 1, "echo")
    assert report.orders is not None
    assert report.orders.consistency.value == pytest.approx(100 * 22 / 23)
    assert report.orders.first_position.value == pytest.approx(100 * (21 * 0.5 + 0.5 + 1) / 23)
    assert {(each.shown_first, each.shown_second): each.count for each in report.orders.counts} == {
        ("win", "win"): 21,
        ("win", "loss"): 1,
        ("tie", "tie"): 1,
    }
    # The oracle matches the gold, the echo does not.
    assert report.pair_gold[0].prefers_match.value == report.score.value


def test_a_judge_that_always_says_a_is_seen_through(tmp_path: Path, oracle: Path) -> None:
    echo = evaluate(tmp_path / "runs", "echo", *XQUAD)
    names = ids(read_one(oracle))
    judge = Judge(tmp_path, {f"{name}#{order}": "A" for name in names for order in (1, 2)})
    judge.run(str(oracle), "--kind", "pairwise", "--against", str(echo))
    report = judge.report()
    assert report.orders is not None
    assert (report.score.value, report.counts.ties) == (50.0, 24)
    assert (report.orders.consistency.value, report.orders.first_position.value) == (0.0, 100.0)
    assert report.orders.kappa.value == pytest.approx(0.0)


def test_rules_come_before_the_judge(tmp_path: Path, oracle: Path) -> None:
    names = ids(read_one(oracle))
    answers = dict.fromkeys(names, PARIS) | {names[0]: " \u200b\n", names[1]: HINDI}
    run = answer_questions(tmp_path, "model", answers)
    judge = Judge(tmp_path, dict.fromkeys(names[1:], "VERDICT: CORRECT"))
    assert judge.run(str(run), "--kind", "correctness") == 0
    report = judge.report()
    assert (report.counts.empty, report.counts.wrong_language, report.counts.judged) == (1, 1, 22)
    assert report.score.value == pytest.approx(100 * 22 / 24)
    assert [sample["rule"] for sample in read_samples(tmp_path)[:3]] == ["empty", "wrong language", None]
    # Without the gate the judge is asked, and the result has a folder and a signature of its own.
    assert judge.run(str(run), "--kind", "correctness", "--no-language-gate") == 0
    reports = read_reports([tmp_path / "runs"]).reports
    assert sorted(each.counts.wrong_language for each in reports) == [0, 1]
    assert len({each.judge.signature for each in reports}) == 2


def test_two_wrong_answers_tie_as_the_paper_meant_it(tmp_path: Path, oracle: Path) -> None:
    names = ids(read_one(oracle))
    ours = {names[0]: HINDI, names[1]: HINDI, names[2]: "", names[3]: PARIS}
    theirs = {names[0]: HINDI, names[1]: PARIS, names[2]: HINDI, names[3]: ""}
    run = answer_questions(tmp_path, "ours", dict.fromkeys(names, PARIS) | ours)
    other = answer_questions(tmp_path, "theirs", dict.fromkeys(names, PARIS) | theirs)
    replies = {f"{name}#{order}": "SCORE A: 5\nSCORE B: 5" for name in names for order in (1, 2)}
    judge = Judge(tmp_path, replies)
    words = ("--kind", "pairwise", "--against", str(other), "--prompt", "pairwise-xllama")
    assert judge.run(str(run), *words) == 0
    scores = [sample["statistics"] for sample in read_samples(tmp_path)[:5]]
    assert scores == [{"judge_win": [each, 1.0]} for each in (0.5, 0.0, 0.5, 1.0, 0.5)]
    # From the other side the same pairs have the opposite score: wins are counted for the run that is judged.
    assert judge.run(str(other), "--kind", "pairwise", "--against", str(run), "--prompt", "pairwise-xllama") == 0
    values = [each.score.value for each in read_reports([tmp_path / "runs"]).reports]
    assert sum(value for value in values if value is not None) == pytest.approx(100.0)


def test_one_and_the_same_answer_ties_without_asking(tmp_path: Path, oracle: Path) -> None:
    names = ids(read_one(oracle))
    ours = answer_questions(tmp_path, "ours", dict.fromkeys(names, PARIS))
    theirs = answer_questions(tmp_path, "theirs", dict.fromkeys(names, f" {PARIS}\n") | {names[0]: "Rome"})
    judge = Judge(tmp_path, {f"{names[0]}#1": "A", f"{names[0]}#2": "B"})
    assert judge.run(str(ours), "--kind", "pairwise", "--against", str(theirs)) == 0
    report = judge.report()
    assert (report.counts.same, report.counts.judged, report.counts.ties) == (23, 1, 0)
    assert report.score.value == pytest.approx(100 * (1 + 23 / 2) / 24)


def test_a_run_that_failed_in_part_is_judged_in_part(tmp_path: Path, oracle: Path) -> None:
    names = ids(read_one(oracle))
    run = answer_questions(tmp_path, "model", dict.fromkeys(names[4:], PARIS))
    judge = Judge(tmp_path, dict.fromkeys(names[4:], "VERDICT: CORRECT"))
    assert judge.run(str(run), "--kind", "correctness") == 0
    report = judge.report()
    assert (report.counts.unanswered, report.score.n, report.score.unscored) == (4, 20, 4)


def test_limited_runs_and_parts_of_runs(tmp_path: Path) -> None:
    run = evaluate(tmp_path / "runs", "oracle", *XQUAD, "--limit", "12")
    judge = Judge(tmp_path, dict.fromkeys(ids(read_one(run)), "VERDICT: CORRECT"))
    assert judge.run(str(tmp_path / "runs"), "--kind", "correctness", "--limit", "10") == 0
    report = judge.report()
    assert (report.limit, report.score.n) == ("1-10", 10)
    [results] = (tmp_path / "runs").rglob("judge_*/results-limit-1-10.json")
    assert json.loads(results.read_text(encoding="utf-8"))["protocol"]["n"] == 10


def test_translations_get_a_score(tmp_path: Path) -> None:
    run = evaluate(tmp_path / "runs", "oracle", "-t", "flores101/en-vi", "--data", "sample")
    names = ids(read_one(run))
    judge = Judge(tmp_path, {name: f"SCORE: {50 + place}" for place, name in enumerate(names)})
    assert judge.run(str(run), "--kind", "translation") == 0
    report = judge.report()
    assert report.score.metric == "judge_translation"
    assert report.score.value == pytest.approx(50 + (len(names) - 1) / 2)
    assert judge.run(str(run), "--kind", "translation", "--prompt", "translation-no-reference") == 0
    prompts = {each.judge.prompt for each in read_reports([tmp_path / "runs"]).reports}
    assert prompts == {"translation-v1", "translation-no-reference-v1"}


def test_open_instructions_are_judged_in_pairs(tmp_path: Path) -> None:
    texts = {"ours": "Dear neighbours, " * 4, "theirs": "No."}
    names: list[str] = []
    runs = []
    for name, text in texts.items():
        echo = evaluate(tmp_path / f"names-{name}", "echo", "-t", "instructions/en", "--data", "sample")
        names = ids(read_one(echo))
        runs.append(answer_questions(tmp_path, name, dict.fromkeys(names, text), task="instructions/en"))
    judge = Judge(tmp_path, {f"{name}#{order}": "AB"[order - 1] for name in names for order in (1, 2)})
    assert judge.run(str(runs[0]), "--kind", "pairwise", "--against", str(runs[1])) == 0
    assert judge.report().score.value == 100.0
    # There is no gold: whether an answer is right is asked without one, or not at all.
    assert judge.run(str(runs[0]), "--kind", "correctness") == 2


def test_the_section_of_a_page_is_text_and_escaped(tmp_path: Path, oracle: Path) -> None:
    judge = Judge(tmp_path, dict.fromkeys(ids(read_one(oracle)), "no verdict"), name="<b>judge&")
    judge.run(str(oracle), "--kind", "correctness")
    found = section(read_reports([tmp_path / "runs"]).reports)
    assert found.startswith("<section")
    assert "<b>judge" not in found
    assert "scripted-&lt;b&gt;judge&amp;" in found
    assert "no score" in found
    assert section(()) == ""


def test_every_answer_to_a_repeated_question_is_judged_and_the_example_counts_once(tmp_path: Path) -> None:
    script = tmp_path / "model.jsonl"
    names = ids(read_one(evaluate(tmp_path / "oracle", "oracle", *XQUAD)))
    script.write_text("".join(json.dumps({"id": name, "prediction": PARIS}) + "\n" for name in names), "utf-8")
    words = (*XQUAD, "--repeats", "2", "--temperature", "1")
    run = evaluate(tmp_path / "runs", f"scripted:{script}", *words)
    assert len(read_one(run).answers) == 48
    replies = dict.fromkeys(names, "VERDICT: CORRECT") | {f"{name}~1": "VERDICT: INCORRECT" for name in names}
    judge = Judge(tmp_path, replies)
    assert judge.run(str(run), "--kind", "correctness") == 0
    report = judge.report()
    assert (report.counts.judged, report.score.n, report.score.value) == (48, 24, 50.0)


def test_the_gate_passes_languages_that_the_identifier_takes_for_others(tmp_path: Path) -> None:
    # 40% of correct Afrikaans is called Dutch: a gate would throw good answers out.
    data = tmp_path / "data" / "instructions"
    data.mkdir(parents=True)
    texts = [f"Skryf asseblief 'n kort brief aan die burgemeester van ons dorp oor plan nommer {n}." for n in range(12)]
    lines = [{"id": f"a{number}", "instruction": text} for number, text in enumerate(texts)]
    write_lines(data / "af.jsonl", lines)
    words = ("-t", "instructions/af", "--data", str(data.parent))
    runs = []
    for name, text in (
        ("ours", "Het is een mooie brief aan de burgemeester van ons dorp, met vriendelijke groet."),
        ("theirs", "Dit is 'n mooi brief aan die burgemeester van ons dorp, met vriendelike groete."),
    ):
        script = write_lines(tmp_path / f"{name}.jsonl", [{"id": each["id"], "prediction": text} for each in lines])
        runs.append(evaluate(tmp_path / "runs", f"scripted:{script}", *words))
    judge = Judge(tmp_path, {f"a{number}#{order}": "TIE" for number in range(12) for order in (1, 2)})
    assert judge.run(str(runs[0]), "--kind", "pairwise", "--against", str(runs[1])) == 0
    report = judge.report()
    assert (report.counts.wrong_language, report.counts.judged) == (0, 12)
    assert any("the language gate lets every answer pass" in note for note in report.notes)


def test_a_wrapper_is_not_what_was_asked(tmp_path: Path) -> None:
    asked = []
    for template in ("alpaca", "raw"):
        run = read_one(evaluate(tmp_path / template, "oracle", *XQUAD, "--template", template, "--shots", "1"))
        asked.append([each.asked for each in run.answers])
    assert not any("###" in text or "Below is" in text for text in asked[0])
    assert [text.split() for text in asked[0]] == [text.split() for text in asked[1]]


def test_all_models_of_a_folder_are_judged_against_one_of_them(
    tmp_path: Path, oracle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    echo = evaluate(tmp_path / "runs", "echo", *XQUAD)
    names = ids(read_one(oracle))
    judge = Judge(tmp_path, {f"{name}#{order}": "AB"[order - 1] for name in names for order in (1, 2)})
    assert judge.run(str(tmp_path / "runs"), "--kind", "pairwise", "--against", str(echo.parent)) == 0
    assert judge.report().model == "oracle"
    assert "is what the others are compared with" in capsys.readouterr().err


def test_fresh_asks_again_and_keeps_what_was_said(tmp_path: Path, oracle: Path) -> None:
    names = ids(read_one(oracle))
    judge = Judge(tmp_path, dict.fromkeys(names, "VERDICT: CORRECT"))
    assert judge.run(str(oracle), "--kind", "correctness") == 0
    assert judge.run(str(oracle), "--kind", "correctness", "--fresh") == 0
    assert len(list((tmp_path / "runs").rglob("verdicts/before-*/journal.jsonl"))) == 1
    assert judge.report().counts.judged == 24


def test_a_judge_that_judges_itself_is_named(tmp_path: Path) -> None:
    run = evaluate(tmp_path / "runs", "oracle", *XQUAD)
    assert (
        run_command(
            [
                "judge",
                str(run),
                "--judge",
                "oracle",
                "--kind",
                "correctness",
                "--progress",
                "none",
                "--max-errors",
                "99",
            ]
        )
        == 1
    )
    [report] = read_reports([tmp_path / "runs"]).reports
    assert report.counts.failed == 24  # the oracle has no gold for a verdict
    assert any("favour their own" in note for note in report.notes)


def test_two_models_are_compared_by_their_wins_against_a_third(tmp_path: Path, oracle: Path) -> None:
    names = ids(read_one(oracle))
    texts = {"good": PARIS, "poor": "I do not know it.", "third": "It is Rome, I think."}
    runs = {name: answer_questions(tmp_path, name, dict.fromkeys(names, text)) for name, text in texts.items()}
    replies = {f"{name}#{order}": "AB"[order - 1] for name in names for order in (1, 2)}
    judge = Judge(tmp_path, replies | {f"{names[0]}#1": "TIE", f"{names[0]}#2": "TIE"})
    words = ("--kind", "pairwise", "--against", str(runs["third"]))
    assert judge.run(str(runs["good"]), str(runs["poor"]), *words) == 0
    folders = [next(runs[name].parent.glob("judge_pairwise*")) for name in ("good", "poor")]
    [found] = compare_runs(folders[0], folders[1], [])
    assert (found.metric, found.n, found.difference) == ("judge_win", 24, 0.0)


def test_two_runs_of_one_model_as_opponents_make_two_results(tmp_path: Path, oracle: Path) -> None:
    names = ids(read_one(oracle))
    script = write_lines(tmp_path / "other.jsonl", [{"id": name, "prediction": PARIS} for name in names])
    others = [evaluate(tmp_path / "runs", f"scripted:{script}", *XQUAD, "--max-new-tokens", count) for count in "56"]
    judge = Judge(tmp_path, {f"{name}#{order}": "AB"[order - 1] for name in names for order in (1, 2)})
    for other in others:
        assert judge.run(str(oracle), "--kind", "pairwise", "--against", str(other)) == 0
    assert len(list(oracle.parent.glob("judge_pairwise*"))) == 2


def test_of_a_folder_the_runs_are_judged_that_the_kind_is_for(
    tmp_path: Path, oracle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(tmp_path / "runs", "echo", "-t", "instructions/en", "--data", "sample")
    evaluate(tmp_path / "runs", "oracle", "-t", "flores101/en-vi", "--data", "sample")
    names = ids(read_one(oracle))
    flores = [name for run in find_runs([str(oracle.parent)], ["flores101"])[0] for name in ids(run)]
    judge = Judge(tmp_path, dict.fromkeys([*names, *flores], "VERDICT: CORRECT"))
    assert judge.run(str(tmp_path / "runs"), "--kind", "correctness") == 0
    assert "left out: echo on instructions/en" in capsys.readouterr().err
    assert len(read_reports([tmp_path / "runs"]).reports) == 2
    judge.replies = dict.fromkeys(flores, "SCORE: 70")
    assert judge.run(str(tmp_path / "runs"), "--kind", "translation") == 0
    assert [each.task for each in read_reports([tmp_path / "runs"]).reports].count("flores101/en-vi") == 2
