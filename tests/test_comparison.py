"""Two models on the same examples, from their run folders."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from xlingual.board import collect_runs
from xlingual.cli import compare, run_command
from xlingual.cli.progress import SilentRunObserver
from xlingual.comparison import Comparison, Verdict, compare_runs
from xlingual.errors import DataError, UsageError
from xlingual.planning import Limit, RunSettings
from xlingual.plugin import DataSource, ModelOptions
from xlingual.records import Response
from xlingual.run import evaluate
from xlingual.selection import open_model, select_tasks
from xlingual.statistics.multiple import holm

from .board.hostile import HOSTILE

SAMPLE = DataSource(folder=None, sample=True, offline=True)


def _run(model: str, out: Path, tasks: str = "xquad/en,xquad/zh", *, shots: int = 0) -> Path:
    settings = RunSettings(data_source=SAMPLE, out=out, shots=shots)
    evaluate(open_model(model, ModelOptions()), select_tasks(tasks.split(","), []), settings, SilentRunObserver())
    return next(path for path in out.iterdir() if path.name.startswith(model.partition(":")[0]))


def test_a_model_against_itself_is_no_difference(tmp_path: Path) -> None:
    folder = _run("echo", tmp_path)
    for found in compare_runs(folder, folder, ["containment", "source_copy"]):
        assert (found.difference, found.p, found.p_holm, found.n) == (0.0, 1.0, 1.0, 24)
        assert (found.ahead, found.behind, found.verdict) == (0, 0, Verdict.NOT_WORSE)
        assert found.low is not None
        assert found.low < 0, "24 questions are no proof that there is no difference"


def test_the_oracle_is_ahead_of_the_echo(tmp_path: Path) -> None:
    found = compare_runs(_run("oracle", tmp_path), _run("echo", tmp_path), [])
    assert [each.task for each in found] == ["xquad/en", "xquad/zh"]
    for each in found:
        assert each.metric == "containment"
        assert each.difference == pytest.approx(each.first - each.second)
        assert each.first == 100.0
        assert each.low is not None
        assert each.low > 50
        assert each.p is not None
        assert each.p < 0.01


def test_runs_that_were_made_otherwise_are_not_compared(tmp_path: Path) -> None:
    first, second = _run("oracle", tmp_path / "a", "mlqa/en"), _run("echo", tmp_path / "b", "mlqa/en", shots=1)
    with pytest.raises(DataError, match="the runs differ in prompts, shots, seed"):
        compare_runs(first, second, [])


def test_nothing_in_common(tmp_path: Path) -> None:
    first, second = _run("oracle", tmp_path / "a", "xquad/en"), _run("echo", tmp_path / "b", "xquad/zh")
    with pytest.raises(UsageError, match="no task has a finished run in both"):
        compare_runs(first, second, [])
    with pytest.raises(UsageError, match="has no metric 'bleu'"):
        compare_runs(first, first, ["bleu"])
    with pytest.raises(UsageError, match="no finished run here"):
        compare_runs(tmp_path / "c", first, [])


def test_limited_runs_are_compared_with_limited_runs(tmp_path: Path) -> None:
    tasks = select_tasks(["xquad/en", "flores101/en-zh"], [])
    for name in ("oracle", "echo"):
        for limit in (Limit(1, 5), Limit(1, 20)):
            settings = RunSettings(data_source=SAMPLE, out=tmp_path, limit=limit)
            evaluate(open_model(name, ModelOptions()), tasks, settings, SilentRunObserver())
    first, second = (next(tmp_path.glob(f"{name}-*")) for name in ("oracle", "echo"))
    with pytest.raises(UsageError, match=r"results-limit-1-20.json and results-limit-1-5.json") as raised:
        compare_runs(first, second, [])
    assert raised.value.hint == "name one results file"
    files = [next(each.glob("xquad*/results-limit-1-20.json")) for each in (first, second)]
    [found] = compare_runs(files[0], files[1], [])
    assert (found.n, found.examples, found.limit, found.first) == (20, 20, "1-20", 100.0)
    with pytest.raises(DataError, match="the runs differ in n, limit, the examples"):
        compare_runs(files[0], next(second.glob("xquad*/results-limit-1-5.json")), [])
    evaluate(
        open_model("echo", ModelOptions()), tasks, RunSettings(data_source=SAMPLE, out=tmp_path), SilentRunObserver()
    )
    assert [each.limit for each in compare_runs(second, second, [])] == [None, None], (
        "a whole run stands for its folder"
    )


def test_what_fresh_moved_aside_is_not_compared(tmp_path: Path) -> None:
    folder = _run("echo", tmp_path, "xquad/en")
    settings = RunSettings(data_source=SAMPLE, out=tmp_path, fresh=True)
    evaluate(open_model("echo", ModelOptions()), select_tasks(["xquad/en"], []), settings, SilentRunObserver())
    assert len(list(folder.rglob("results.json"))) == 2
    assert [found.n for found in compare_runs(folder, folder, [])] == [24]


def test_what_an_interrupted_fresh_run_moved_aside_is_neither_compared_nor_ranked(tmp_path: Path) -> None:
    """S24: old answers were ranked again."""

    class Impatient(SilentRunObserver):
        def begin(self, totals: Mapping[str, int], finished: Mapping[str, int]) -> None:
            raise KeyboardInterrupt

    folder = _run("echo", tmp_path, "xquad/en")
    settings = RunSettings(data_source=SAMPLE, out=tmp_path, fresh=True)
    for _ in range(2):  # within a second
        with pytest.raises(KeyboardInterrupt):
            evaluate(open_model("echo", ModelOptions()), select_tasks(["xquad/en"], []), settings, Impatient())
    assert len(list(folder.rglob("before-*/results.json"))) == 1
    assert len(list(folder.rglob("before-*"))) == 2
    with pytest.raises(UsageError, match="no finished run here"):
        compare_runs(folder, folder, [])
    assert collect_runs([tmp_path]).runs == ()


@pytest.mark.parametrize("moves", range(1, 6))
def test_a_kill_while_moving_aside_leaves_no_result_and_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    folder = _run("echo", tmp_path, "xquad/en")
    rename, done = Path.rename, list[Path]()

    def count(path: Path, target: Path) -> Path:
        done.append(path)
        if len(done) == moves:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", count)
    with pytest.raises(KeyboardInterrupt):
        evaluate(
            open_model("echo", ModelOptions()), select_tasks(["xquad/en"], []),
            RunSettings(data_source=SAMPLE, out=tmp_path, fresh=True), SilentRunObserver(),
        )  # fmt: skip
    with pytest.raises(UsageError, match="no finished run here"):
        compare_runs(folder, folder, [])
    assert collect_runs([tmp_path]).runs == ()
    monkeypatch.undo()
    settings, watch = RunSettings(data_source=SAMPLE, out=tmp_path), _Watch()
    evaluate(open_model("echo", ModelOptions()), select_tasks(["xquad/en"], []), settings, watch)
    assert watch.asked == 24
    assert [path.name for path in sorted(folder.glob("*/before-*/*"))] == [
        *("journal.jsonl", "results.json", "run.json", "samples.jsonl"),
    ]
    assert [path.name for path in folder.rglob("*-unfinished")] == []
    assert len(collect_runs([tmp_path]).runs) == 1


class _Watch(SilentRunObserver):
    asked = 0

    def answered(self, task: str, response: Response) -> None:
        self.asked += 1


@pytest.mark.parametrize("command", ["compare", "score"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("id", None), ("id", 7), ("cluster", []), ("statistics", None), ("statistics", {})),
        *(("statistics", {"mlqa_f1": "x"}), ("statistics", {"mlqa_f1": [10**400]}), ("statistics", {"mlqa_f1": []})),
        *(("finish", "x"), ("finish", []), ("likelihoods", [1])),
    ],
)
def test_a_changed_line_of_samples_is_an_error_of_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, field: str, value: object
) -> None:
    folder = _run("echo", tmp_path, "xquad/en")
    [path] = folder.rglob("samples.jsonl")
    first, *others = path.read_text(encoding="utf-8").splitlines()
    changed = {**json.loads(first), field: value}
    path.write_text("\n".join([json.dumps(changed), *others, ""]), encoding="utf-8")
    words = ["compare", str(folder), str(folder), "--metric", "mlqa_f1"]
    words = words if command == "compare" else ["score", str(path.parent), "--data", "sample"]
    assert run_command(words) in (0, 3)
    assert "this is a bug" not in capsys.readouterr().err


def test_limited_runs_are_not_taken_for_whole_ones(tmp_path: Path) -> None:
    whole = _run("oracle", tmp_path / "whole", "xquad/en")
    settings = replace(RunSettings(data_source=SAMPLE, out=tmp_path / "part"), limit=Limit(1, 3))
    evaluate(open_model("oracle", ModelOptions()), select_tasks(["xquad/en"], []), settings, SilentRunObserver())
    with pytest.raises(DataError, match="the runs differ in n, limit"):
        compare_runs(whole, tmp_path / "part", [])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = _run("oracle", tmp_path), _run("echo", tmp_path)
    capsys.readouterr()
    assert run_command(["compare", str(first), str(second), "--metric", "squad_em", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["difference"] for each in document["comparisons"]] == [100.0, 100.0]
    assert run_command(["compare", str(first), str(second)]) == 0
    assert "| xquad/en | containment | 100.0 |" in capsys.readouterr().out


def _without_scores(folder: Path, keep: int) -> None:
    """Take the statistics of all but the first `keep` samples out of a run, as if they had failed."""
    for path in folder.rglob("samples.jsonl"):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for line in lines[keep:]:
            line["statistics"] = dict.fromkeys(line["statistics"])
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def test_both_models_are_shown_on_the_examples_that_they_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """S11: the scores were those of each model's own examples, and their difference that of the shared ones."""
    first, second = _run("oracle", tmp_path / "a", "xquad/en"), _run("oracle", tmp_path / "b", "xquad/en")
    _without_scores(first, 14)
    [found] = compare_runs(first, second, [])
    assert (found.first, found.second, found.difference) == (100.0, 100.0, 0.0)
    assert (found.n, found.examples, found.first_n, found.second_n) == (14, 24, 14, 24)
    capsys.readouterr()
    assert run_command(["compare", str(first), str(second)]) == 0
    assert "| 14 of 24 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "verdict"),
    [
        (["oracle", "echo"], 0, "not worse"),
        (["echo", "oracle"], 1, "worse"),
        (["echo", "oracle", "--by", "120"], 0, "not worse"),
        (["echo", "echo"], 0, "not worse"),
        (["oracle", "echo", "--metric", "source_copy"], 0, "not worse"),
        (["echo", "oracle", "--metric", "source_copy"], 1, "worse"),
    ],
)
def test_a_regression_gate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, verdict: str
) -> None:
    folders = {name: _run(name, tmp_path / name, "xquad/en") for name in dict.fromkeys(words[:2])}
    line = ["compare", *(str(folders[name]) for name in words[:2]), *words[2:], "--fail-if-worse"]
    capsys.readouterr()
    assert run_command(line) == code
    assert f" is {verdict} than " in capsys.readouterr().out
    assert run_command([*line, "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert (document["verdict"], document["exit_code"]) == (verdict, code)
    assert document["by"] == (120.0 if "--by" in words else 0.0)


@pytest.mark.parametrize("margin", ["nan", "inf", "1e400", "-1"])
def test_a_margin_that_is_no_number_is_refused(tmp_path: Path, margin: str) -> None:
    """Nothing is below NaN, so that every model was worse."""
    run = _run("echo", tmp_path, "xquad/en")
    assert run_command(["compare", str(run), str(run), "--fail-if-worse", "--by", margin]) == 2


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_of_a_folder_or_task_turns_a_line_around(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Comparison(
        task=name, metric=name, first=1.0, second=0.0, difference=1.0, low=None, high=None, p=0.5, p_holm=0.5, n=2,
        examples=2, first_n=2, second_n=2, clusters=2, clustered_by="example", method=name, ahead=1, behind=0,
        detectable=None, verdict=Verdict.CANNOT_TELL,
    )  # fmt: skip
    monkeypatch.setattr(compare, "compare_runs", lambda *_: [made, replace(made, task=f"{name} b", method="other")])
    assert run_command(["compare", f"a{name}".replace("\0", ""), "b", "--fail-if-worse"]) == 6
    text = capsys.readouterr().out
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", text)


def test_a_gate_that_cannot_tell_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = _run("echo", tmp_path / "a", "xquad/en"), _run("echo", tmp_path / "b", "xquad/en")
    [path] = first.rglob("samples.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for index in (3, 4):
        lines[index]["statistics"]["containment"] = [1.0 - lines[index]["statistics"]["containment"][0], 1.0]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    capsys.readouterr()
    codes = {
        run_command(["compare", *map(str, pair), "--fail-if-worse"]) for pair in ((first, second), (second, first))
    }
    assert codes <= {0, 6}
    assert 6 in codes
    assert "\ncannot tell whether " in capsys.readouterr().out
    assert run_command(["compare", str(first), str(second), "--by", "3"]) == 2
    assert "hint: add --fail-if-worse" in capsys.readouterr().err


@pytest.mark.parametrize(("failed", "by", "code"), [(0, None, 0), (1, None, 6), (12, "2", 6), (1, "5", 0), (2, "5", 6)])
def test_a_model_that_fails_on_what_the_other_answers_is_not_passed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], failed: int, by: str | None, code: int
) -> None:
    """Of 24 questions one is 4.2 points; on all that both were scored on the two are equal."""
    first, second = _run("oracle", tmp_path / "a", "xquad/en"), _run("oracle", tmp_path / "b", "xquad/en")
    [path] = first.rglob("samples.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines[24 - failed :]:
        line |= {"failure": {"kind": "timeout", "message": ""}, "statistics": dict.fromkeys(line["statistics"])}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    capsys.readouterr()
    words = [str(first), str(second), "--fail-if-worse", *(["--by", by] if by else [])]
    assert run_command(["compare", *words]) == code
    assert (f"the first failed on {failed} examples" in capsys.readouterr().out) == (failed > 0)
    # What failed at the second, or has no score for reasons of the metric, is no loss of the first.
    assert run_command(["compare", words[1], words[0], *words[2:]]) == 0


def test_several_tasks_are_corrected_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """S13: of 12 languages of two equal models one is below 5% in 44% of draws."""
    first, second = _run("oracle", tmp_path), _run("echo", tmp_path)
    found = compare_runs(first, second, ["containment", "mlqa_f1"])
    assert [each.p_holm for each in found] == holm([each.p for each in found])
    assert max(each.p_holm for each in found) > max(each.p for each in found)
    capsys.readouterr()
    run_command(["compare", str(first), str(second)])
    assert "| p | p (Holm) | n |" in capsys.readouterr().out


def test_runs_from_before_samples_had_groups_compare_by_paragraph_or_by_the_other_ones_groups(tmp_path: Path) -> None:
    first, second = _run("oracle", tmp_path, "xquad/en"), _run("echo", tmp_path, "xquad/en")
    new = compare_runs(first, second, [])
    for folder, expected in ((first, new), (second, None)):
        [path] = folder.rglob("samples.jsonl")
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert all("group" in line for line in lines)
        stripped = [{name: value for name, value in line.items() if name != "group"} for line in lines]
        path.write_text("".join(json.dumps(line) + "\n" for line in stripped), encoding="utf-8")
        old = compare_runs(first, second, [])
        assert old == expected if expected is not None else old[0].clustered_by != "group"
