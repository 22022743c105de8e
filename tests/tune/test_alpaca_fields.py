"""Alpaca rows with a system prompt, earlier turns or a null input: read whole or refused, never half read."""

import json
from dataclasses import replace

import pytest

from xlingual.errors import DataError
from xlingual.prompt import Rendering, render
from xlingual.records import Message, Role
from xlingual.registry import SOURCES
from xlingual.tune.encoding import corpus_of

from .conftest import DataFolder

SOURCE = '[sources.a]\nreader = "alpaca"\npath = "{path}"\nlanguage = "en"\n'
ROW = {
    "instruction": "And in French?",
    "input": None,
    "output": "Bonjour.",
    "system": "You are terse.",
    "history": [["Say hello.", "Hello."], ["In German?", "Hallo."]],
}


def _write(folder: DataFolder, name: str, *rows: object) -> str:
    is_list = name.endswith(".json")
    folder.write(name, json.dumps(rows) if is_list else "".join(json.dumps(row) + "\n" for row in rows))
    return SOURCE.format(path=name)


def _messages(folder: DataFolder, table: str, template: str = "chat") -> list[tuple[Message, ...]]:
    use = folder.recipe(table).sources[0]
    source = SOURCES.get("alpaca")
    found = source.examples(corpus_of(use), folder.data_source)
    rendering = Rendering(model=folder.model.spec, template=template, stop=(), max_new_tokens=1, on_overflow="error")
    return [
        render(source.prompt(corpus_of(use), row, index), (), rendering).messages
        for index, row in enumerate(found.rows)
    ]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_system_and_history_are_turns_of_a_chat(name: str, data_folder: DataFolder) -> None:
    [messages] = _messages(data_folder, _write(data_folder, name, ROW))
    assert [(each.role, each.text) for each in messages] == [
        (Role.SYSTEM, "You are terse."),
        (Role.USER, "Say hello."),
        (Role.ASSISTANT, "Hello."),
        (Role.USER, "In German?"),
        (Role.ASSISTANT, "Hallo."),
        (Role.USER, "And in French?"),
    ]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_what_is_missing_null_or_empty_is_none(name: str, data_folder: DataFolder) -> None:
    plain = {"instruction": "Say hello.", "output": "Hello."}
    rows = [
        plain,
        {**plain, "input": None},
        {**plain, "input": ""},
        {**plain, "system": None, "history": None},
        {**plain, "system": "", "history": []},
    ]
    first, *others = _messages(data_folder, _write(data_folder, name, *rows))
    assert others == [first] * 4
    plan = data_folder.plan(data_folder.recipe(_write(data_folder, name, *rows))).plan
    assert (plan.sources[0].available, plan.sources[0].duplicates) == (1, 4)


@pytest.mark.parametrize("template", ["alpaca", "raw"])
def test_a_system_prompt_stands_in_front_of_a_text(template: str, data_folder: DataFolder) -> None:
    row = {**ROW, "history": []}
    [[message]] = _messages(data_folder, _write(data_folder, "a.json", row), template)
    assert message.text.startswith("You are terse.\n\n")
    assert "And in French?" in message.text


@pytest.mark.parametrize(("name", "place"), [("a.json", "a.json: a-2: field"), ("a.jsonl", "a.jsonl:2: field")])
def test_a_template_without_turns_refuses_them(name: str, place: str, data_folder: DataFolder) -> None:
    table = _write(data_folder, name, {**ROW, "history": []}, ROW)
    with pytest.raises(DataError, match="the template 'alpaca' has no earlier turns") as caught:
        data_folder.plan(data_folder.recipe(table))
    assert place in caught.value.where
    assert "'history'" in caught.value.where
    assert 'template = "chat"' in caught.value.hint
    chat = replace(data_folder.recipe(table), template="chat")
    assert data_folder.plan(chat).plan.rows == 2


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("history", "x", "field 'history' must be a list, got"),
        ("history", [["a"]], r"field 'history' must be a list of \[question, answer\] pairs: turn 1 is none"),
        ("history", [["a", "b"], ["c", None]], "turn 2 is none"),
        ("history", [{"role": "user"}], "turn 1 is none"),
        ("system", ["x"], "field 'system' must be a string"),
        ("input", 3, "field 'input' must be a string"),
        ("output", None, "field 'output' must be a string"),
    ],
)
@pytest.mark.parametrize(("name", "place"), [("a.json", ": [1]"), ("a.jsonl", ":2")])
def test_other_fields_are_refused_with_their_place(
    name: str, place: str, field: str, value: object, what: str, data_folder: DataFolder
) -> None:
    table = _write(data_folder, name, ROW, {**ROW, field: value})
    with pytest.raises(DataError, match=what) as caught:
        data_folder.plan(data_folder.recipe(table))
    assert f"{caught.value.where} {caught.value.what}".find(place) >= 0


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_conversations_have_another_reader(name: str, data_folder: DataFolder) -> None:
    table = _write(data_folder, name, {"messages": [{"role": "user", "content": "Hi"}]})
    with pytest.raises(DataError, match=r"field 'instruction' is missing \(has: messages\)") as caught:
        data_folder.plan(data_folder.recipe(table))
    assert caught.value.hint == 'reader = "messages" reads conversations'


def test_history_repeats_test_data_as_any_field_does(data_folder: DataFolder) -> None:
    """Decontamination looks at all fields of a row, so turns are fields."""
    use = data_folder.recipe(_write(data_folder, "a.json", ROW)).sources[0]
    [row] = SOURCES.get("alpaca").examples(corpus_of(use), data_folder.data_source).rows
    assert dict(row.fields) == {
        "instruction": "And in French?",
        "input": "",
        "system": "You are terse.",
        "user 1": "Say hello.",
        "assistant 1": "Hello.",
        "user 2": "In German?",
        "assistant 2": "Hallo.",
    }
