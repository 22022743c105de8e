"""Reading run folders: what cannot be used is listed, the newest wins, nothing crashes."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from xlingual.board import build_board, collect_runs
from xlingual.errors import UsageError
from xlingual.records import Origin
from xlingual.serial import to_json

from .factory import limit_run, make_run, make_spec, write_run


def test_runs_are_found_below_the_root_and_read_whole(tmp_path: Path) -> None:
    record = make_run("a", "xquad/ar", 12.5)
    write_run(tmp_path / "one" / "deep", record)
    write_run(tmp_path / "two", make_run("b", "xquad/ar", 1.0))
    (tmp_path / "two" / "samples.jsonl").write_text("not for us", encoding="utf-8")
    found = collect_runs([tmp_path, tmp_path / "one"])
    assert [run.where.partition("/")[2] for run in found.runs] == ["one/deep/results.json", "two/results.json"]
    assert found.runs[0].record == record
    assert (found.left_out, found.superseded) == ((), ())


def test_a_perfect_score_with_the_rounding_of_sacrebleu_is_read(tmp_path: Path) -> None:
    write_run(tmp_path, dataclasses.replace(make_run("a", "xquad/ar", 1.0), estimates=()))
    assert len(collect_runs([write_run(tmp_path, make_run("a", "xquad/ar", 100.00000000000004))]).runs) == 1


def test_the_newest_of_equal_runs_wins_by_time_not_by_text(tmp_path: Path) -> None:
    run = make_run("a", "xquad/ar", 1.0)
    times = {"old": "2025-01-01T10:00:00Z", "new": "2025-01-01T10:00:00.5Z", "zone": "2025-01-01T11:00:00+02:00"}
    for name, finished_at in times.items():
        write_run(tmp_path / name, dataclasses.replace(run, finished_at=finished_at))
    found = collect_runs([tmp_path])
    assert [each.record.finished_at for each in found.runs] == [times["new"]]
    assert len(found.superseded) == 2
    assert build_board(make_spec(), found).superseded == 2


def test_a_sample_run_never_replaces_a_real_one(tmp_path: Path) -> None:
    run = make_run("a", "xquad/ar", 1.0)
    write_run(tmp_path / "real", run)
    write_run(tmp_path / "sample", dataclasses.replace(run, origin=Origin.SAMPLE, finished_at="2026-01-01T00:00:00Z"))
    assert sorted(each.sample for each in collect_runs([tmp_path]).runs) == [False, True]


def test_limited_files_are_read_only_when_asked_for(tmp_path: Path) -> None:
    write_run(tmp_path, limit_run(make_run("a", "xquad/ar", 1.0), 40), "results-limit-1-40.json")
    assert collect_runs([tmp_path]).runs == ()
    assert len(collect_runs([tmp_path], include_limited=True).runs) == 1


def broken_texts() -> dict[str, tuple[str, str]]:
    good = json.dumps(to_json(make_run("a", "xquad/ar", 12.5)))
    return {
        "truncated": (good[:200], "not JSON (file ends inside a record: copied only in part?)"),
        "empty": ("", "the file is empty"),
        "list": ("[]", "is not a JSON object"),
        "schema": (good.replace('"schema": 1', '"schema": 2', 1), "has schema 2, this version reads schema 1"),
        "schema bool": (good.replace('"schema": 1', '"schema": true', 1), "has schema"),
        "schema missing": ("{}", "has schema NoneType"),
        "unknown field": (good.replace('"schema"', '"extra": 1, "schema"', 1), "unknown field 'extra'"),
        "wrong type": (good.replace('"shots": 0', '"shots": "0"'), "RunRecord.protocol.shots: must be int"),
        "not a number": (good.replace('"value": 12.5', '"value": NaN'), "NaN is not a JSON number"),
        "beyond 100": (good.replace('"value": 12.5', '"value": 101.0'), "101.0 is not within 0 and 100"),
        "too large": (good.replace('"value": 12.5', f'"value": {"9" * 400}'), "holds a number that is too large"),
        "infinite": (good.replace('"value": 12.5', '"value": 1e999'), "1e999 is not a JSON number"),
        "metric twice": (good.replace('"metric": "empty"', '"metric": "containment"'), "a metric appears twice"),
        "task": (good.replace('"task": "xquad/ar"', '"task": "xquad"'), "is not FAMILY/VARIANT"),
        "count": (good.replace('"failed": 0', '"failed": -1'), "a count is below 0"),
        "time": (good.replace("2025-01-01T10:00:00Z", "yesterday"), "is not a time in ISO 8601"),
        "nested": ("[" * 100_000, "nested more than 100 levels deep"),
        "key twice": (good.replace('"schema"', '"schema": 1, "schema"', 1), "key 'schema' is twice in one object"),
    }


@pytest.mark.parametrize("case", broken_texts())
def test_a_broken_file_is_left_out_with_the_reason(case: str, tmp_path: Path) -> None:
    text, reason = broken_texts()[case]
    write_run(tmp_path / "good", make_run("b", "xquad/ar", 1.0))
    (tmp_path / "results.json").write_text(text, encoding="utf-8")
    found = collect_runs([tmp_path])
    assert [run.record.model.name for run in found.runs] == ["b"]
    (item,) = found.left_out
    assert item.where.split(":")[0] == f"{tmp_path.name}/results.json"
    assert reason in item.reason
    assert build_board(make_spec(), found).left_out == (item,)


PERPLEXITY = "lm-eval:word_perplexity:weighted_perplexity:lower"


@pytest.mark.parametrize(
    ("metric", "value", "bounds", "reason"),
    [
        (PERPLEXITY, 309.8, None, None),
        ("lm-eval:log_probability:mean", -7.0, None, None),
        ("wer", 140.0, (0.0, None), None),
        ("score", -3.0, (None, None), None),
        ("score", -3.0, (None, 0.0), None),
        ("score", 3.0, (None, 0.0), "3.0 is not at most 0.0"),
        ("wer", -1.0, (0.0, None), "-1.0 is not 0 or more"),
        ("share", 1.5, (0.0, 1.0), "1.5 is not within 0 and 1"),
        ("containment", 101.0, None, "101.0 is not within 0 and 100"),
    ],
)
def test_a_score_is_refused_only_beyond_the_bounds_of_its_metric(
    metric: str, value: float, bounds: tuple[float | None, float | None] | None, reason: str | None, tmp_path: Path
) -> None:
    run = make_run("a", "mine/en", 1.0, metric=metric)
    changed = dataclasses.replace(run.estimates[0], value=value, low=value, high=value, bounds=bounds)
    write_run(tmp_path, dataclasses.replace(run, estimates=(changed, *run.estimates[1:])))
    found = collect_runs([tmp_path])
    assert [each.record.estimates[0].value for each in found.runs] == ([value] if reason is None else [])
    assert [each.reason.partition(": ")[2] for each in found.left_out] == ([] if reason is None else [reason])


def test_files_that_are_not_text_or_not_files_are_left_out(tmp_path: Path) -> None:
    for name in ("bytes", "pipe", "link", "large"):
        (tmp_path / name).mkdir()
    (tmp_path / "bytes" / "results.json").write_bytes(b"\xff\xfe")
    os.mkfifo(tmp_path / "pipe" / "results.json")
    (tmp_path / "link" / "results.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / "large" / "results.json").write_bytes(b" " * (16 * 1024 * 1024 + 1))
    reasons = {item.where.split("/")[1]: item.reason for item in collect_runs([tmp_path]).left_out}
    assert reasons == {
        "bytes": "not UTF-8; looks like UTF-16",
        "pipe": "is not a regular file",
        "link": "is not a regular file",
        "large": "16,777,217 bytes are over the limit of 16,777,216 bytes a file",
    }


def test_what_fresh_moved_aside_is_no_run_whether_or_not_it_was_asked_again(tmp_path: Path) -> None:
    for name in ("before-20250131T120000", "before-20250131T120000-2/deep", "before-and-after"):
        write_run(tmp_path / "m" / name, make_run(name, "xquad/ar", 1.0))
    limited = limit_run(make_run("limited", "xquad/ar", 1.0), 40)
    write_run(tmp_path / "m" / "before-20250131T120000", limited, "results-limit-1-40.json")
    found = collect_runs([tmp_path], include_limited=True)
    assert [run.record.model.name for run in found.runs] == ["before-and-after"]
    assert (found.left_out, found.superseded) == ((), ())


def test_a_root_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder of runs"):
        collect_runs([tmp_path / "nowhere"])
