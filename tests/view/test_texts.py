"""Which texts are in the page, in which order, and what is left out of it."""

import dataclasses
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from xlingual.board import Collection
from xlingual.view import ViewOptions, write_view
from xlingual.view.provenance import clean_text
from xlingual.view.texts import CHUNK_ROWS, encode

from ..board.factory import collect, make_run
from .runs import PageParts, make_rows, put_run, put_runs, read_page, view_runs


def entry(page: PageParts, where: str) -> tuple[int, dict[str, Any]]:
    return next((number, run) for number, run in enumerate(page.index["runs"]) if where in run["where"])


def test_prompts_and_golds_are_there_once_a_task_and_answers_once_a_run(tmp_path: Path) -> None:
    summary, page = view_runs(put_runs(tmp_path / "runs"), tmp_path / "view.html")
    assert (summary.models, summary.tasks, summary.samples, summary.texts) == (4, 3, 72, 72)
    assert (len(page.names("t")), len(page.names("s")), len(page.names("r")), len(page.names("o"))) == (3, 3, 12, 12)
    shared = page.chunk("s0-0")
    assert sorted(shared["id"]) == [f"q{number}" for number in range(6)]
    assert shared["targets"] == [["yes"]] * 6
    assert all(len(prompts) == 1 for prompts in shared["prompts"])


def test_every_prompt_that_was_sent_is_kept_once(tmp_path: Path) -> None:
    for model, template in {"a": "Q", "b": "Frage", "c": "Q"}.items():
        put_run(
            tmp_path / "runs" / model, make_run(model, "xquad/ar", 0.0), make_rows(["no", "yes"], template=template)
        )
    _, page = view_runs(tmp_path / "runs", tmp_path / "view.html")
    prompts = page.chunk("s0-0")["prompts"]
    assert sorted(len(each) for each in prompts) == [2, 2]
    assert page.chunk("o0-0").get("prompt") is None
    assert page.chunk("o1-0")["prompt"] == [1, 1]
    assert page.chunk("o2-0").get("prompt") is None


def test_failures_come_first_then_disagreements_then_the_rest(tmp_path: Path) -> None:
    both = ["yes", "no", "yes", None, "yes", "yes", "no", "yes"]
    put_run(tmp_path / "runs" / "a", make_run("a", "xquad/ar", 0.0), make_rows(both))
    put_run(tmp_path / "runs" / "b", make_run("b", "xquad/ar", 0.0), make_rows(["no", *both[1:]]))
    _, page = view_runs(tmp_path / "runs", tmp_path / "view.html")
    facts = page.chunk("r0")
    assert facts["priorities"] == [2, 1, 3, 0, 3, 3, 1, 3]
    assert facts["scores"] == {"containment": [1000, 0, 1000, None, 1000, 1000, 0, 1000]}
    assert facts["flags"] == [0, 0, 0, 1, 0, 0, 0, 0]
    assert page.chunk("o0-0")["answer"][:4].count("yes") == 1
    assert page.chunk("o0-0")["answer"][3] == "yes", "right here, wrong elsewhere"


@pytest.mark.parametrize("budget", [0, 4_000, 6_000, 40_000])
def test_texts_stay_within_their_budget_and_scores_are_always_there(budget: int, tmp_path: Path) -> None:
    number = 3 * CHUNK_ROWS
    for model, share in {"a": 2, "b": 3}.items():
        answers = ["yes" if each % share == 0 else f"no {each}" for each in range(number)]
        put_run(tmp_path / "runs" / model, make_run(model, "xquad/ar", 0.0), make_rows(answers))
    summary, page = view_runs(tmp_path / "runs", tmp_path / "view.html", texts=budget)
    size = sum(len(page.texts[name]) for name in (*page.names("s"), *page.names("o")))
    assert size <= budget
    assert page.index["texts"] == {"here": summary.texts, "all": 2 * number, "bytes": size}
    for run in ("r0", "r1"):
        assert len(page.chunk(run)["scores"]["containment"]) == number
    assert (summary.texts == 2 * number) == (budget == 40_000)
    assert (summary.texts == 0) == (budget == 0)
    for place, (where, first) in enumerate({"a": "o0-0", "b": "o1-0"}.items()):
        assert (
            entry(page, where)[1]["texts"]
            == sum(name.startswith(f"o{place}-") for name in page.names("o")) * CHUNK_ROWS
        )
        if first in page.texts:
            assert not set(page.chunk(first)["answer"]) & {"yes"}, "failures enter first"


def test_golds_can_be_left_out(tmp_path: Path) -> None:
    _, page = view_runs(put_runs(tmp_path / "runs"), tmp_path / "view.html", golds=False)
    assert all("targets" not in page.chunk(name) for name in page.names("s"))
    assert page.index["golds"] is False


def test_repeats_and_subsets_find_their_examples(tmp_path: Path) -> None:
    record = make_run("a", "xquad/ar", 0.0)
    repeated = dataclasses.replace(record, protocol=dataclasses.replace(record.protocol, repeats=2))
    rows = [{**row, "repeat": repeat} for row in make_rows(["yes", "no"]) for repeat in (0, 1)]
    put_run(tmp_path / "runs" / "a", repeated, rows)
    put_run(tmp_path / "runs" / "b", make_run("b", "xquad/ar", 0.0), make_rows(["no", "no", "yes"])[1:])
    _, page = view_runs(tmp_path / "runs", tmp_path / "view.html")
    assert (page.chunk("r0")["repeats"], page.chunk("r0")["examples"]) == (2, None)
    assert page.chunk("r1")["examples"] == [1, 2]
    assert len(page.chunk("s0-0")["id"]) == 3


@pytest.mark.parametrize("content", [None, "", "{}\n", "not json\n", '{"id": "q", "cluster": "0", "statistics": 1}\n'])
def test_a_run_whose_samples_cannot_be_read_stays_with_a_note(content: str | None, tmp_path: Path) -> None:
    root = put_runs(tmp_path / "runs")
    samples = root / "alpaca-1" / "xquad-ar" / "samples.jsonl"
    good = samples.read_text(encoding="utf-8")
    samples.unlink()
    if content is not None:
        samples.write_text(good + content if content else content, encoding="utf-8")
    summary, page = view_runs(root, tmp_path / "view.html")
    number, run = entry(page, "alpaca-1/xquad-ar")
    assert run["samples"] == 0
    assert (run["note"] is None) == (content == "")
    assert str(tmp_path) not in page.html
    assert "record" in page.chunk(f"r{number}")
    assert len(summary.notes) == (content != "")


def test_a_group_has_scores_and_no_samples_of_its_own(tmp_path: Path) -> None:
    whole = dataclasses.replace(collect(make_run("a", "lm-eval/group", 50.0)).runs[0], is_group=True)
    summary = write_view(Collection(runs=(whole,), left_out=(), superseded=()), tmp_path / "view.html", ViewOptions())
    (run,) = read_page(tmp_path / "view.html").index["runs"]
    assert (run["samples"], run["is_group"], summary.notes) == (0, True, ())
    assert run["note"] == "a group of tasks: its samples are those of the tasks"


def test_a_last_line_that_a_kill_cut_is_dropped(tmp_path: Path) -> None:
    root = put_runs(tmp_path / "runs")
    samples = root / "alpaca-1" / "xquad-hi" / "samples.jsonl"
    samples.write_text(samples.read_text(encoding="utf-8")[:-30], encoding="utf-8")
    _, page = view_runs(root, tmp_path / "view.html")
    assert entry(page, "alpaca-1/xquad-hi")[1]["samples"] == 5


def test_limited_runs_have_samples_of_their_own(tmp_path: Path) -> None:
    record = make_run("a", "xquad/ar", 0.0)
    put_run(tmp_path / "runs" / "a", record, make_rows(["yes", "no", "yes"]))
    limited = dataclasses.replace(record, protocol=dataclasses.replace(record.protocol, limit="1-2"))
    put_run(tmp_path / "runs" / "a", limited, make_rows(["no", "no"]), "-limit-1-2")
    _, page = view_runs(tmp_path / "runs", tmp_path / "view.html")
    assert entry(page, "results-limit-1-2.json")[1]["samples"] == 2
    assert entry(page, "results.json")[1]["samples"] == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:/home/Anna/models/tuned", "hf:~/models/tuned"),
        ("/Users/Anna/My Models/x", "~/My Models/x"),
        ("C:\\Users\\anna\\x", "~\\x"),
        ("scripted:/scratch/group/anna/answers.jsonl", "scripted:…/anna/answers.jsonl"),
        ("no such file: '/mnt/a/b/c/d.json'", "no such file: '…/c/d.json'"),
        ("openai:name@https://host.example/v1/models/x", "openai:name@https://host.example/v1/models/x"),
        ("https://user:pass@host/v1", "https://***@host/v1"),
        ("org/name, 3/4, and/or/both", "org/name, 3/4, and/or/both"),
        ("key sk-1234567890abcdef", "key ***"),
        ("hf:/mnt/My Data/anna/models/tuned", "hf:…/models/tuned"),
        ("file:///mnt/anna/data/a/b.json", "file:…/a/b.json"),
        ("D:\\data\\anna\\models\\x", "D:…\\models\\x"),
        ("copy /a/b/c.json: see https://host.example/x/y/z", "copy …/b/c.json: see https://host.example/x/y/z"),
    ],
)
def test_no_path_or_key_of_the_machine_is_published(text: str, expected: str) -> None:
    assert clean_text(text) == expected


def test_of_any_path_the_last_two_parts_are_published() -> None:
    drawn = random.Random(20261126)
    letters = "abcxyzäßñжяλω中文字가日本हिन्दعرب0123456789_-.+()[]#%&!"
    alphabet = [*letters, " ", "'"]
    frames = ("{}", "hf:{}", "no such file: '{}'", "pretrained={}", "file://{}", "[Errno 2] {}: gone", "找不到{}")
    for _ in range(400):
        # A folder's own mark stands in the middle of its name, so that no end of it is all that is left.
        names = [
            f"{drawn.choice(letters)}{''.join(drawn.choices(alphabet, k=3))}x{number}q{drawn.choice('abжλ中')}"
            for number in range(drawn.randint(3, 7))
        ]
        names[-1] = names[-1].replace(" ", "-").replace("'", "-")
        path = "/" + "".join(f"{name}{'/' * drawn.choice((1, 1, 1, 2))}" for name in names).rstrip("/")
        if "'" in path and not re.fullmatch(r"(?:[^']|(?<=\w)'(?=\w))*", path):
            continue  # such a name cannot be told from the end of a quotation
        shown = clean_text(drawn.choice(frames).format(path))
        assert [f"x{number}q" in shown for number in range(len(names))] == [False] * (len(names) - 2) + [True] * 2, path


def test_a_user_without_a_home_folder_has_a_page_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert clean_text("hf:/home/Anna/models/x, 3 of 4") == "hf:~/models/x, 3 of 4"


def test_data_files_are_named_without_their_places(tmp_path: Path) -> None:
    root = put_runs(tmp_path / "runs")
    path = root / "alpaca-1" / "xquad-ar" / "results.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["files"] = [{"name": "xquad.ar.json", "origin": "local", "path": "/data/a/b/xquad.ar.json", "revision": None,
                      "sha256": "0" * 64}]  # fmt: skip
    path.write_text(json.dumps(data), encoding="utf-8")
    _, page = view_runs(root, tmp_path / "view.html")
    number, _ = entry(page, "alpaca-1/xquad-ar")
    record = page.chunk(f"r{number}")["record"]
    assert record["files"] == [{"name": "xquad.ar.json", "origin": "local", "revision": None, "sha256": "0" * 64}]


def test_equal_data_are_equal_bytes() -> None:
    assert encode({"a": ["x", None]}) == encode({"a": ["x", None]})
