"""Conversations in a mixture: rows and spans, lengths, duplicates, what is compared and audited, what a plan says."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from xlingual.cli.tune.chats import chat_lines
from xlingual.errors import DataError, ModelError, PluginError
from xlingual.plugin import DataSource, LearntTurn, Model, TextSource
from xlingual.plugin_checks.sources import CheckedSource
from xlingual.plugin_code import PluginCode
from xlingual.records import Corpus, Example, Examples, Role, Turn
from xlingual.tune.audit.records import AuditFinding
from xlingual.tune.chats import ChatCounts, ChatRow, join_turns, learnt_marks, shorten
from xlingual.tune.prepare import Prepared, load_plan, store_plan
from xlingual.tune.recipe_records import Recipe
from xlingual.tune.rows_file import hash_rows
from xlingual.wording import ask_conversation

from .conftest import DataFolder

MESSAGES = '[sources.chats]\nreader = "messages"\npath = "chats.jsonl"\nlanguage = "en"\n'
ALPACA = '[sources.rows]\nreader = "alpaca"\npath = "rows.jsonl"\nlanguage = "en"\n'
SHORT = [("user", "Hi"), ("assistant", "Hello."), ("user", "Bye"), ("assistant", "See you."), ("user", "?")]
_QUESTION = ((Role.USER, "Hi"), (Role.ASSISTANT, "Hello."))
FIRST = "user:Hi<end>assistant:⟦Hello.<end>⟧"
BOTH = f"{FIRST}user:Bye<end>assistant:⟦See you.<end>⟧"


def chat(*messages: tuple[str, str], **more: object) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in messages], **more}


def plan(
    folder: DataFolder,
    *rows: dict[str, Any],
    table: str = MESSAGES,
    template: str = "chat",
    **more: Any,  # noqa: ANN401 - of a recipe
) -> Prepared:
    folder.write("chats.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return folder.plan(recipe_of(folder, table, template, **more))


def recipe_of(folder: DataFolder, table: str, template: str = "chat", **more: Any) -> Recipe:  # noqa: ANN401 - of a recipe
    return replace(folder.recipe(table, **more), template=template)


def forgetful(folder: DataFolder) -> DataFolder:
    """A model whose chats leave out earlier answers."""
    model: Any = folder.model
    return replace(folder, model=replace(model, forgets=True))


def shown(prepared: Prepared, model: Model) -> list[str]:
    """The rows as text, what is learnt between brackets."""
    rows, texts = prepared.rows, []
    for row in range(len(rows)):
        ids = rows.tokens[rows.offsets[row] : rows.offsets[row + 1]].tolist()
        labels = set(rows.labels(row).tolist())
        text = ""
        for place, token in enumerate(ids):
            text += "⟦" * (place in labels and place - 1 not in labels) + model.text_of([token])  # type: ignore[attr-defined]  # Letters
            text += "⟧" * (place in labels and place + 1 not in labels)
        texts.append(text)
    return texts


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([((1, 2), 1)], [((1, 2), [(1, 2)])]),
        ([((1, 2), 1), ((1, 2, 3, 4), 3)], [((1, 2, 3, 4), [(1, 2), (3, 4)])]),
        ([((1, 2), 1), ((1, 9, 3, 4), 3)], [((1, 2), [(1, 2)]), ((1, 9, 3, 4), [(3, 4)])]),
        (
            [((1, 2), 1), ((1, 9, 3), 2), ((1, 2, 3, 4), 3)],
            [((1, 9, 3), [(2, 3)]), ((1, 2, 3, 4), [(1, 2), (3, 4)])],
        ),
        (
            [((1, 2), 1), ((1, 2, 3), 2), ((1, 9, 3, 4), 3)],
            [((1, 2, 3), [(1, 2), (2, 3)]), ((1, 9, 3, 4), [(3, 4)])],
        ),
    ],
)
def test_answers_share_a_row_where_one_is_the_beginning_of_the_other(
    turns: list[tuple[tuple[int, ...], int]], expected: list[tuple[tuple[int, ...], list[tuple[int, int]]]]
) -> None:
    rows = join_turns([LearntTurn(ids=ids, start=start) for ids, start in turns])
    assert [(row.ids, list(row.spans)) for row in rows] == expected


@pytest.mark.parametrize(("length", "expected"), [(9, ((1, 3), (5, 9))), (8, ((1, 3),)), (3, ((1, 3),)), (2, None)])
def test_a_row_is_shortened_between_turns(length: int, expected: tuple[tuple[int, int], ...] | None) -> None:
    row = shorten(ChatRow(tuple(range(9)), ((1, 3), (5, 9))), length)
    assert (row and row.spans) == expected
    assert row is None or row.ids == tuple(range(row.spans[-1][1]))


@pytest.mark.parametrize(
    ("learnt", "marks"), [("1", ""), ("01", ""), ("010", ""), ("11", "11"), ("101", "101"), ("10", ""), ("110", "11")]
)
def test_marks_of_what_is_learnt(learnt: str, marks: str) -> None:
    turns = [Turn(role=Role.USER, text="x", is_learnt=False)]
    turns += [Turn(role=Role.ASSISTANT, text="x", is_learnt=each == "1") for each in learnt]
    assert learnt_marks(turns) == marks


def test_all_answers_are_learnt_in_one_row(data_folder: DataFolder) -> None:
    prepared = plan(data_folder, chat(*SHORT), chat(("system", "Be brief."), *SHORT[:2]))
    system = f"system:Be brief.<end>{FIRST}"
    assert shown(prepared, data_folder.model) == [BOTH, system]
    source = prepared.plan.sources[0]
    learnt = len("Hello.") + len("See you.") + len("Hello.") + 3
    assert (source.supervised, prepared.plan.supervised, int(prepared.rows.supervised.sum())) == (learnt,) * 3
    assert source.characters_per_token == 1.0
    assert source.chats == ChatCounts(conversations=2, answers=3, rows=2, open_ended=1)
    assert chat_lines(prepared.plan) == [
        "chats: 2 conversations, 3 answers learnt, all of a conversation in one row",
        "chats: nothing answers the last message of 1 conversation: it is not trained on",
        "  chats-1: ?",
    ]


def test_a_template_that_changes_earlier_turns_makes_rows_of_their_own(data_folder: DataFolder) -> None:
    folder = forgetful(data_folder)
    prepared = plan(folder, chat(*SHORT[:4]), chat(*SHORT[:2], *SHORT[:2]))
    assert shown(prepared, folder.model) == [
        FIRST,
        "user:Hi<end>assistant:<end>user:Bye<end>assistant:⟦See you.<end>⟧",
        FIRST,
        "user:Hi<end>assistant:<end>user:Hi<end>assistant:⟦Hello.<end>⟧",
    ]
    assert prepared.rows.learnt is None
    [line] = chat_lines(prepared.plan)
    assert line.startswith(
        "chats: 2 conversations, 4 answers learnt in 4 rows: the chat template changes earlier turns"
    )
    # Rows of a conversation are sampled like any others, and a source is drawn by rows.
    half = plan(folder, chat(*SHORT[:4]), chat(*SHORT[:2], *SHORT[:2]), table=f'{MESSAGES}use = "3 rows"\n')
    assert (half.plan.rows, half.plan.sources[0].available) == (3, 4)


def test_weights_of_0_are_context(data_folder: DataFolder) -> None:
    row = chat(*SHORT[:4])
    row["messages"][1]["weight"] = 0
    prepared = plan(data_folder, chat(*SHORT[:4]), row)
    unlearnt = "user:Hi<end>assistant:Hello.<end>user:Bye<end>assistant:⟦See you.<end>⟧"
    assert shown(prepared, data_folder.model) == [BOTH, unlearnt]
    assert prepared.plan.sources[0].duplicates == 0


@pytest.mark.parametrize(
    ("room", "expected", "counts"),
    [
        (0, [BOTH], ChatCounts(conversations=1, answers=2, rows=1, open_ended=1)),
        (1, [FIRST], ChatCounts(conversations=1, answers=1, rows=1, shortened=1, left_out=1, open_ended=1)),
    ],
)
def test_a_long_conversation_loses_its_last_answers(
    room: int, expected: list[str], counts: ChatCounts, data_folder: DataFolder
) -> None:
    whole = plan(data_folder, chat(*SHORT)).rows
    length = int(whole.lengths[0]) - room
    prepared = plan(data_folder, chat(*SHORT), length=length)
    assert shown(prepared, data_folder.model) == expected
    source = prepared.plan.sources[0]
    assert source.chats == counts
    assert (source.truncated, source.dropped) == (0, 0)
    assert source.audit is not None
    assert source.audit.count(AuditFinding.SHORTENED) == counts.shortened
    if room:
        line = f"chats: longer than {length} tokens: 1 conversation, of which 1 answer at the end"
        assert any(each.startswith(line) for each in chat_lines(prepared.plan))
        with pytest.raises(DataError, match="1 dropped"):
            plan(data_folder, chat(*SHORT), length=length, on_long="drop")


def test_a_conversation_whose_first_answer_does_not_fit_is_dropped(data_folder: DataFolder) -> None:
    """An answer is never learnt without its end, though on_long is cut."""
    long = chat(("user", "Hi"), ("assistant", "Hello. " * 20), ("user", "Bye"), ("assistant", "Ok."))
    prepared = plan(data_folder, long, chat(*SHORT), length=60)
    assert shown(prepared, data_folder.model) == [BOTH]
    assert (prepared.plan.sources[0].dropped, prepared.plan.sources[0].truncated) == (1, 0)


def test_one_answer_is_the_row_of_the_alpaca_reader(data_folder: DataFolder) -> None:
    """With the same row from another reader it is a duplicate; rows of one answer have no mask, so ids stay."""
    data_folder.instructions("rows.jsonl", [("Hi", "", "Hello."), ("Ho", "", "Hello.")])
    prepared = plan(data_folder, chat(*SHORT[:2]), chat(*SHORT), table=ALPACA + MESSAGES)
    assert [each.available for each in prepared.plan.sources] == [2, 1]
    assert prepared.plan.sources[1].duplicates == 1
    assert prepared.rows.learnt is not None
    alone = plan(data_folder, chat(("user", "Hey"), ("assistant", "Yes?")), table=ALPACA + MESSAGES)
    assert alone.rows.learnt is None
    assert alone.plan.rows == 3


def test_an_earlier_answer_is_learnt_or_not_is_no_duplicate_of_history(data_folder: DataFolder) -> None:
    """Alpaca's history is what only the last answer of a conversation is learnt behind."""
    row = {"instruction": "Bye", "output": "See you.", "history": [["Hi", "Hello."]]}
    data_folder.write("rows.jsonl", json.dumps(row) + "\n")
    unlearnt = chat(*SHORT[:4])
    unlearnt["messages"][1]["weight"] = 0
    prepared = plan(data_folder, chat(*SHORT[:4]), unlearnt, table=ALPACA + MESSAGES)
    assert prepared.plan.sources[1].duplicates == 1
    assert prepared.plan.sources[1].available == 1


PASSAGE = "In 1903 the harbour of the old town was closed for ships that carried more than forty tons of coal."


@pytest.mark.parametrize("place", range(6))
def test_every_turn_of_every_role_is_compared_with_test_data(
    place: int, data_folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xlingual.tune import prepare  # noqa: PLC0415
    from xlingual.tune.contamination.benchmarks import HeldOut, TestText  # noqa: PLC0415
    from xlingual.tune.records import BenchmarkCheck  # noqa: PLC0415

    def gather(*_: object) -> HeldOut:
        check = BenchmarkCheck(family="xquad", languages=("en",), origins=("local",), texts=1, rows=0)
        held = HeldOut(checks=[check])
        held.index.add(PASSAGE)
        held.names.append(TestText(0, "xquad/en 1"))
        return held

    monkeypatch.setattr(prepare, "gather_held_out", gather)
    messages = [("system", "Be brief."), *SHORT]
    messages[place] = (messages[place][0], f"Look: {PASSAGE.upper()} What of it?")
    row = chat(*messages)
    row["messages"][2]["weight"] = 0
    prepared = plan(data_folder, row, chat(*SHORT[:2]))
    assert (prepared.plan.sources[0].contaminated, prepared.plan.sources[0].available) == (1, 1)
    [count] = prepared.plan.repetitions
    assert count.examples[0].row == "chats-1"


def test_every_learnt_answer_is_audited(data_folder: DataFolder) -> None:
    rows = [
        chat(*SHORT[:4]),
        chat(("user", "Hi"), ("assistant", "Hello."), ("user", "Bye"), ("assistant", "Пока.")),
        chat(("user", "Hi"), ("assistant", "Hello."), ("user", "Say it again"), ("assistant", "say  it again")),
        chat(("user", "How many?"), ("assistant", "42"), ("user", "Sure?"), ("assistant", "Yes.")),
        chat(("user", "Where?"), ("assistant", "https://example.org/a")),
    ]
    audit = plan(data_folder, *rows).plan.sources[0].audit
    assert audit is not None
    found = {each.kind: [row.row for row in each.examples] for each in audit.counts}
    assert found[AuditFinding.NO_SCRIPT] == ["chats-2", "chats-4"]
    assert found[AuditFinding.COPY] == ["chats-3"]
    assert found[AuditFinding.NO_LETTER] == ["chats-4"]
    assert found[AuditFinding.URL] == ["chats-5"]


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        ("language = true", [0, 2, 3, 4]),
        ("copies = false", [0, 1, 3, 4]),
        ("min_letters = 1", [0, 1, 2, 4]),
        ("dedup = true", [0, 1, 2, 3]),
    ],
)
def test_filters_look_at_every_learnt_answer(key: str, kept: list[int], data_folder: DataFolder) -> None:
    rows = [
        chat(*SHORT[:4]),
        chat(("user", "Hi"), ("assistant", "Hello."), ("user", "Bye"), ("assistant", "Пока.")),
        chat(("user", "Hi"), ("assistant", "Hello."), ("user", "Say it again"), ("assistant", "say it again")),
        chat(("user", "How many?"), ("assistant", "42"), ("user", "Sure?"), ("assistant", "Yes.")),
        chat(("user", "hi!"), ("assistant", "Hello."), ("user", "Bye"), ("assistant", "See you")),
    ]
    whole = shown(plan(data_folder, *rows), data_folder.model)
    found = shown(plan(data_folder, *rows, table=f"{MESSAGES}filter = {{ {key} }}\n"), data_folder.model)
    assert found == [whole[index] for index in kept]


@pytest.mark.parametrize("template", ["alpaca", "raw"])
def test_a_template_without_turns_takes_one_question_and_its_answer(template: str, data_folder: DataFolder) -> None:
    data_folder.write("rows.jsonl", json.dumps({"instruction": "Hi", "output": "Hello.", "system": "Be brief."}) + "\n")
    one = chat(("system", "Be brief."), *SHORT[:2])
    prepared = plan(
        data_folder, one, chat(("user", "Ho"), ("assistant", "Hello.")), table=ALPACA + MESSAGES, template=template
    )
    assert [each.available for each in prepared.plan.sources] == [1, 1]
    assert prepared.plan.sources[1].duplicates == 1
    with pytest.raises(
        DataError, match="a conversation of 4 messages has turns, and the recipe's template has none"
    ) as caught:
        plan(data_folder, one, chat(*SHORT[:4]), template=template)
    assert caught.value.where.endswith("chats.jsonl:2: field 'turns'")
    assert 'template = "chat"' in caught.value.hint


def test_a_turn_that_cannot_be_learnt_is_named(data_folder: DataFolder) -> None:
    bad = chat(*SHORT[:2], ("user", "?"), ("assistant", "unspeakable"))
    with pytest.raises(DataError, match="it is unspeakable") as caught:
        plan(data_folder, chat(*SHORT), bad)
    assert caught.value.where.endswith("chats.jsonl:2: turn 4")


def test_a_model_that_knows_no_turns_is_refused(data_folder: DataFolder) -> None:
    class Plain:
        def __init__(self, inner: Any) -> None:  # noqa: ANN401 - Letters
            self.inner = inner

        spec = property(lambda self: self.inner.spec)
        prompt_ids = property(lambda self: self.inner.prompt_ids)
        answer_ids = property(lambda self: self.inner.answer_ids)
        text_of = property(lambda self: self.inner.text_of)
        weights = property(lambda self: self.inner.weights)
        tokenizer_files = property(lambda self: self.inner.tokenizer_files)

    model: Any = Plain(data_folder.model)
    with pytest.raises(ModelError, match="cannot be tuned on conversations"):
        plan(replace(data_folder, model=model), chat(*SHORT))


def test_thinking_is_for_chat_templates(data_folder: DataFolder) -> None:
    head = 'name = "mine"\ndescription = "x"\nbase = "letters"\nlength = 99\n'
    schedule = "\n[schedule]\nepochs = 1\nrows_per_step = 4\nlearning_rate = 1e-3\n"
    from xlingual.tune.recipe import find_recipe  # noqa: PLC0415

    for template, mode, what in (
        ("alpaca", "off", "only a chat template has a switch"),
        ("chat", "maybe", "'thinking' is 'maybe'"),
    ):
        text = f'{head}template = "{template}"\nthinking = "{mode}"\n{MESSAGES}{schedule}'
        with pytest.raises(DataError, match=what):
            find_recipe(str(data_folder.write("mine.toml", text)))
    text = f'{head}template = "chat"\nthinking = "off"\n{MESSAGES}{schedule}'
    recipe = find_recipe(str(data_folder.write("mine.toml", text)))
    data_folder.write("chats.jsonl", json.dumps(chat(*SHORT)) + "\n")
    plain = data_folder.plan(replace(recipe, thinking=None)).plan
    assert data_folder.plan(recipe).plan.id != plain.id


def test_stored_rows_have_their_spans(data_folder: DataFolder) -> None:
    prepared = plan(data_folder, chat(*SHORT), chat(*SHORT[:2]))
    stored = store_plan(prepared, data_folder.path / "out")
    assert stored.folder is not None
    loaded = load_plan(stored.folder)
    assert loaded.rows.learnt is not None
    assert np.array_equal(loaded.rows.learnt, prepared.rows.learnt)  # type: ignore[arg-type]  # it is not None
    assert hash_rows(loaded.rows) == hash_rows(prepared.rows) != hash_rows(replace(prepared.rows, learnt=None))
    (stored.folder / "rows" / "learnt.npy").unlink()
    with pytest.raises(DataError, match="are not those of the plan's id"):
        load_plan(stored.folder)


@pytest.mark.parametrize(
    ("template", "plan_id"),
    [
        ("alpaca", "7aa871538c3a18808197fb401b73167d02ca2aa03f4e2c5c12b55af4e3393d72"),
        ("chat", "8cf10b00962f97a2e921a6d0462bc2aab2e4cf1508cbe459168cb9c2b8d55397"),
        ("raw", "f75098a86ff7f0f0e31a31e1c7abc25c9e82f3e20db6648616904c313d767798"),
    ],
)
def test_rows_of_other_readers_keep_their_ids(template: str, plan_id: str, data_folder: DataFolder) -> None:
    """Ids as they were before there were conversations."""
    rows = [
        {"instruction": "Say hello.", "input": "", "output": "Hello!"},
        {"instruction": "Und?", "input": "Hi", "output": "Ja", "system": "Kurz."},
        {"instruction": "Long", "input": "", "output": "x" * 400},
    ]
    data_folder.write("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    data_folder.write("t.en", "One.\nTwo.\n")
    data_folder.write("t.zh", "一。\n二。\n")
    pairs = (
        '[sources.t]\nreader = "parallel"\npath = "t.{language}"\ndirection = "en-zh"\nfilter = { min_letters = 1 }\n'
    )
    table = f'[sources.a]\nreader = "alpaca"\npath = "a.jsonl"\nlanguage = "en"\n{pairs}'
    found = data_folder.plan(recipe_of(data_folder, table, template, length=320, seed=3))
    assert found.plan.id == plan_id
    assert found.rows.learnt is None
    stored = store_plan(found, data_folder.path / "out")
    assert stored.folder is not None
    assert len(list((stored.folder / "rows").glob("*.npy"))) == 5
    assert "thinking" not in (stored.folder / "plan.json").read_text(encoding="utf-8")


def test_a_reader_whose_targets_are_not_its_learnt_turns_is_named(data_folder: DataFolder) -> None:
    """The border of plugins: what is compared, audited and learnt are the same texts."""
    turns = tuple(Turn(role=role, text=text, is_learnt=role is Role.ASSISTANT) for role, text in _QUESTION)
    row = Example(id="1", language="en", group="1", cluster="1", fields={}, targets=("Other.",), turns=turns)

    def read(_corpus: Corpus, _data_source: DataSource) -> Examples:
        return Examples(rows=(row,), files=())

    code = PluginCode(place="mine.py", folder=None, shipped=False)
    source = CheckedSource(TextSource(read=read, ask=ask_conversation), code)
    corpus = Corpus(name="mine", path="x", language="en", direction=None, columns=())
    with pytest.raises(PluginError, match="targets are not the answers of turns that are learnt"):
        source.examples(corpus, data_folder.data_source)
    row = replace(row, targets=("Hello.",))
    assert source.examples(corpus, data_folder.data_source).rows == (row,)
