"""The reader of conversations: what it takes, what it leaves out and counts, every fault by file, line and field."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xlingual.errors import DataError, UsageError
from xlingual.plugin import DataSource
from xlingual.records import Corpus, Examples
from xlingual.registry import SOURCES

Read = Callable[..., Examples]
Row = dict[str, Any]
OPENAI: Row = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Say hello."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "In German?"},
        {"role": "assistant", "content": "Hallo."},
    ]
}
SHAREGPT: Row = {
    "conversations": [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "Say hello."},
        {"from": "gpt", "value": "Hello."},
        {"from": "human", "value": "In German?"},
        {"from": "gpt", "value": "Hallo."},
    ]
}
READ = [
    ("system", "Be brief.", False),
    ("user", "Say hello.", False),
    ("assistant", "Hello.", True),
    ("user", "In German?", False),
    ("assistant", "Hallo.", True),
]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def make(*rows: object, name: str = "chats.jsonl", columns: tuple[str, ...] = ()) -> Examples:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (tmp_path / name).write_text(lines if name.endswith("jsonl") else json.dumps(rows), encoding="utf-8")
        corpus = Corpus(name="mine", path=name, language="en", direction=None, columns=columns)
        return SOURCES.get("messages").examples(corpus, DataSource(folder=tmp_path, sample=False, offline=True))

    return make


def turns(found: Examples, row: int = 0) -> list[tuple[str, str, bool]]:
    return [(turn.role.value, turn.text, turn.is_learnt) for turn in found.rows[row].turns or ()]


def openai(*messages: tuple[str, Any], **more: Any) -> Row:  # noqa: ANN401 - JSON
    return {"messages": [{"role": role, "content": content} for role, content in messages], **more}


def changed(place: int, **fields: Any) -> Row:  # noqa: ANN401 - JSON
    """Return the OpenAI row with a message changed; a field that is None is gone."""
    messages = [dict(each) for each in OPENAI["messages"]]
    messages[place] |= fields
    return {"messages": messages}


@pytest.mark.parametrize("name", ["chats.jsonl", "chats.json"])
@pytest.mark.parametrize("row", [OPENAI, SHAREGPT])
def test_both_forms_are_read_to_the_last_turn(name: str, row: Row, read: Read) -> None:
    found = read(row, name=name)
    assert turns(found) == READ
    assert found.rows[0].targets == ("Hello.", "Hallo.")
    assert dict(found.rows[0].fields) == {"1 system": "Be brief.", "2 user": "Say hello.", "4 user": "In German?"}
    assert found.rows[0].texts == tuple(text for _, text, _ in READ)


def test_forms_may_differ_from_row_to_row(read: Read) -> None:
    found = read(OPENAI, SHAREGPT, {"conversations": OPENAI["messages"], "id": 7, "source": "x"})
    assert [turns(found, row) for row in range(3)] == [READ] * 3


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param({**OPENAI, "tools": None, "functions": [], "images": []}, READ, id="null and empty are none"),
        pytest.param(changed(2, tool_calls=None, name="", weight=1, refusal=None), READ, id="of messages too"),
        pytest.param(
            changed(2, weight=0), [*READ[:2], ("assistant", "Hello.", False), *READ[3:]], id="weight 0 is not learnt"
        ),
        pytest.param(
            changed(1, content=[{"type": "text", "text": "Say "}, {"type": "text", "text": "hello."}]),
            READ,
            id="parts are put together",
        ),
        pytest.param(
            {"conversations": SHAREGPT["conversations"][1:], "system": "Be brief."}, READ, id="system beside it"
        ),
        pytest.param(
            {"conversations": SHAREGPT["conversations"], "system": ""}, READ, id="an empty system beside it is none"
        ),
        pytest.param(
            openai(("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d"), ("user", "e")),
            [
                ("user", "a", False), ("user", "b", False), ("assistant", "c", True), ("assistant", "d", True),
                ("user", "e", False),
            ],
            id="roles as they stand, an open end too",
        ),
        pytest.param(
            openai(("assistant", "Welcome!"), ("user", "Hi"), ("assistant", "Hello.")),
            [("assistant", "Welcome!", False), ("user", "Hi", False), ("assistant", "Hello.", True)],
            id="a greeting answers nothing",
        ),
        pytest.param(
            openai(("system", ""), ("user", " Hi\n"), ("assistant", " Hello. ")),
            [("system", "", False), ("user", " Hi\n", False), ("assistant", " Hello. ", True)],
            id="texts as they are",
        ),
    ],
)  # fmt: skip
def test_what_is_read(row: Row, expected: list[tuple[str, str, bool]], read: Read) -> None:
    assert turns(read(row)) == expected


@pytest.mark.parametrize(
    ("row", "unanswered"),
    [
        pytest.param({"messages": []}, 1, id="no message"),
        pytest.param(openai(("user", "Hi")), 1, id="no answer"),
        pytest.param(openai(("system", "Be brief."), ("assistant", "Hello.")), 1, id="no question"),
        pytest.param(openai(("user", " \n"), ("assistant", "Hello.")), 0, id="an empty question"),
        pytest.param(openai(("user", "Hi"), ("assistant", "")), 1, id="an empty answer"),
        pytest.param(
            openai(("user", "Hi"), ("assistant", ""), ("user", "?"), ("assistant", "x")), 1, id="among others"
        ),
        pytest.param(openai(("user", "Hi"), ("assistant", [])), 1, id="an answer of no parts"),
        pytest.param(
            {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x", "weight": 0}]},
            1,
            id="no learnt answer",
        ),
    ],
)
def test_what_is_left_out_is_counted(row: Row, unanswered: int, read: Read) -> None:
    found = read(OPENAI, row)
    assert (len(found.rows), found.skipped, found.unanswered) == (1, 1, unanswered)
    with pytest.raises(DataError, match="no conversation with an answer to learn"):
        read(row)


CALL = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (changed(2, tool_calls=CALL), "field 'messages[2].tool_calls' is not read: calls of tools are not learnt here"),
        (changed(2, content=None, tool_calls=CALL), "field 'messages[2].tool_calls' is not read: calls of tools"),
        (
            {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": CALL}]},
            "field 'messages[1].tool_calls' is not read: calls of tools",
        ),
        (changed(2, function_call={"name": "f"}), "field 'messages[2].function_call' is not read: calls of tools"),
        (changed(3, role="tool"), "field 'messages[3].role' is 'tool': calls of tools are not learnt here"),
        (changed(3, role="function"), "field 'messages[3].role' is 'function': calls of tools"),
        ({**OPENAI, "tools": CALL}, "field 'tools' is not read: calls of tools are not learnt here"),
        ({**OPENAI, "functions": CALL}, "field 'functions' is not read: calls of tools"),
        ({**OPENAI, "images": ["a.png"]}, "field 'images' is not read: text alone is learnt here"),
        ({**OPENAI, "rejected": "x"}, "field 'rejected' is not read: preferences are not learnt here"),
        (changed(0, role="developer"), "field 'messages[0].role' is 'developer', which is none of system, user"),
        (changed(0, role="User"), "field 'messages[0].role' is 'User', which is none of system, user, assistant"),
        (changed(1, role=3), "field 'messages[1].role' must be a string, got int"),
        (changed(1, content=None), "field 'messages[1].content' must be a string, or a list of text parts, got null"),
        (changed(1, content={"a": 1}), "field 'messages[1].content' must be a string, or a list of text parts, got di"),
        (changed(1, content=["Hi"]), """field 'messages[1].content[0]' must be {"type": "text", "text": ...}"""),
        (
            changed(1, content=[{"type": "image_url", "image_url": {"url": "x"}}]),
            "field 'messages[1].content[0].type' is 'image_url': text alone is learnt here",
        ),
        (
            changed(1, content=[{"type": "text", "text": "a"}, {"type": "text", "text": None}]),
            "field 'messages[1].content[1].text' must be a string, got null",
        ),
        (
            changed(1, content=[{"type": "text", "text": "a", "annotations": [1]}]),
            "field 'messages[1].content[0].annotations' is not read",
        ),
        (changed(2, name="Ann"), "field 'messages[2].name' is not read: it may change what is said"),
        (changed(2, reasoning_content="Hm."), "field 'messages[2].reasoning_content' is not read"),
        (changed(2, weight=0.5), "field 'messages[2].weight' must be 0 or 1, got 0.5"),
        (changed(2, weight=True), "field 'messages[2].weight' must be 0 or 1, got True"),
        (changed(2, weight="0"), "field 'messages[2].weight' must be 0 or 1, got 0"),
        (changed(1, weight=1), "field 'messages[1].weight' is of no use: only what the assistant says is learnt"),
        ({"messages": [{"content": "Hi"}]}, "field 'messages[0].role' is missing (has: content)"),
        ({"messages": [{"role": "user"}]}, "field 'messages[0].content' is missing (has: role)"),
        (
            {"messages": [OPENAI["messages"][1], SHAREGPT["conversations"][2]]},
            "field 'messages[1].role' is missing (has: from, value)",
        ),
        (
            {"conversations": [{"role": "user", "content": "Hi", "from": "human", "value": "Hi"}]},
            "field 'conversations[0].role' is not read",
        ),
        (
            {"conversations": [{"from": "human", "value": "Hi"}, {"from": "bard", "value": "x"}]},
            "field 'conversations[1].from' is 'bard', which is none of system, user, assistant, human, gpt",
        ),
        (
            {"conversations": [{"from": "function_call", "value": "{}"}]},
            "field 'conversations[0].from' is 'function_call': calls of tools are not learnt here",
        ),
        ({"messages": ["Hi"]}, "field 'messages[0]' must be an object, got str"),
        ({"messages": "Hi"}, "field 'messages' must be a list of messages, got str"),
        ({**OPENAI, **SHAREGPT}, "field 'conversations' has a second conversation beside 'messages'"),
        ({**SHAREGPT, "system": "Be kind."}, "field 'system' is a second system prompt, beside that of the conver"),
        ({**OPENAI, "system": 3}, "field 'system' "),
        (
            {"instruction": "Hi", "output": "x"},
            "has no conversation: the field 'messages' or 'conversations' is missing or null (has: instruction, outp",
        ),
        ({"messages": None}, "has no conversation: the field 'messages' or 'conversations' is missing or null"),
        ("Hi", "must be an object, got str"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("name", "place"), [("chats.jsonl", "chats.jsonl:2"), ("chats.json", "chats.json: [1]")])
def test_what_cannot_be_learnt_is_refused_with_its_place(
    name: str, place: str, row: object, what: str, read: Read
) -> None:
    with pytest.raises(DataError) as caught:
        read(OPENAI, row, OPENAI, name=name)
    assert caught.value.where.endswith(place)
    assert caught.value.what.startswith(what)
    assert "\n" not in caught.value.what


def test_all_faults_of_a_file_are_listed(read: Read) -> None:
    with pytest.raises(DataError) as caught:
        read(changed(3, role="tool"), OPENAI, changed(1, weight=1))
    first, second = caught.value.what.splitlines()
    assert first.startswith("field 'messages[3].role' is 'tool'")
    assert "chats.jsonl:3: field 'messages[1].weight'" in second


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("{}\n\n{}", ":2", "blank line"),
        ('{"messages": [', ":1", "not JSON"),
        ('{"messages": [], "messages": []}', ":1", "key 'messages' is twice"),
        ("", "", "no records"),
    ],
)
def test_lines_that_are_no_objects(text: str, where: str, what: str, read: Read, tmp_path: Path) -> None:
    read(OPENAI)
    (tmp_path / "chats.jsonl").write_text(text, encoding="utf-8")
    corpus = Corpus(name="mine", path="chats.jsonl", language="en", direction=None, columns=())
    with pytest.raises(DataError, match=what) as caught:
        SOURCES.get("messages").examples(corpus, DataSource(folder=tmp_path, sample=False, offline=True))
    assert f"chats.jsonl{where}" in f"{caught.value.where} {caught.value.what}"


def test_a_recipe_may_name_the_field(read: Read) -> None:
    found = read({"dialog": OPENAI["messages"], "messages": None}, columns=("dialog",))
    assert turns(found) == READ
    with pytest.raises(UsageError, match="columns must name the one field"):
        read(OPENAI, columns=("a", "b"))
    with pytest.raises(DataError, match="the field 'dialog' is missing"):
        read(OPENAI, columns=("dialog",))
