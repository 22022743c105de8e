"""`xlingual tasks`: families, tasks by name, language and word, and how many examples there are."""

import json
from collections.abc import Sequence

import pytest

from xlingual.cli import run_command
from xlingual.errors import UsageError
from xlingual.inventory import find_entries, list_families
from xlingual.plugin import DataSource

SAMPLE = DataSource(folder=None, sample=True, offline=True)


def names(*words: str, languages: Sequence[str] = ()) -> list[str]:
    return [each.spec.name for each in find_entries(words, languages, None).tasks]


def test_families_say_what_they_cover() -> None:
    families = {each.family: each for each in list_families()}
    xquad = families["xquad"]
    assert (xquad.tasks, len(xquad.languages), xquad.metrics, xquad.licences) == (
        12, 12, ("containment",), ("CC BY-SA 4.0",),
    )  # fmt: skip
    assert "1,190 questions" in xquad.about
    assert (families["flores101"].tasks, families["lm_eval"].tasks) == (10302, None)


@pytest.mark.parametrize(
    ("words", "languages", "found"),
    [
        (["xquad"], ["zh", "ar"], ["xquad/ar", "xquad/zh"]),
        (["x?uad/el"], [], ["xquad/el"]),
        (["xq*"], ["tr"], ["xquad/tr"]),
        (["xquad/??", "questions"], ["de"], ["xquad/de"]),
        (["romanian", "questions", "SQuAD"], [], ["xquad/ro"]),
        (["Swahili", "into", "ZULU"], [], ["flores101/sw-zu", "flores101/zu-sw"]),
        (["flores101/en-*", "greek"], [], ["flores101/en-el"]),
        (["translated", "professionals"], ["hi"], ["xquad/hi"]),
    ],
)
def test_words_find_tasks(words: list[str], languages: list[str], found: list[str]) -> None:
    assert sorted(names(*words, languages=languages)) == sorted(found)


@pytest.mark.parametrize(
    ("words", "languages", "hint"),
    [(["xqaud"], [], "did you mean xquad?"), (["klingon"], [], "known:"), (["xquad/*", "questions"], ["sw"], "")],
)
def test_nothing_found_is_an_error(words: list[str], languages: list[str], hint: str) -> None:
    with pytest.raises(UsageError, match="no task") as caught:
        find_entries(words, languages, None)
    assert hint in caught.value.hint


def test_examples_are_counted_where_they_are() -> None:
    counted = {each.spec.name: each.examples for each in find_entries(["xquad/en", "xquad/de"], [], SAMPLE).tasks}
    assert counted == {"xquad/en": 24, "xquad/de": None}


def test_json_holds_it_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["tasks", "flores101/*-sw", "--data", "sample", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["tasks"]) == 101
    assert document["tasks"][0]["splits"] == ["dev", "devtest"]
    assert run_command(["tasks", "xquad/en", "--data", "sample", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == {"xquad/en": 24}
