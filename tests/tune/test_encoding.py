"""Tokenized rows: truncated, dropped and counted rows, and prompts as in evaluation. Tokens are characters."""

from collections.abc import Callable

import numpy as np
import pytest

from xlingual.plugin import Model
from xlingual.prompt import Rendering, render
from xlingual.tune.prepare import Prepared
from xlingual.wording import TRANSLATION_WORDS, ask_translation

from .conftest import DataFolder

MakeSource = Callable[..., str]
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nSay hello.\n\n### Response:"
)
"""As published with Stanford Alpaca."""


def texts(prepared: Prepared, model: Model) -> list[tuple[str, str]]:
    rows = prepared.rows
    decoded = []
    for row in range(len(rows)):
        tokens = rows.tokens[rows.offsets[row] : rows.offsets[row + 1]].tolist()
        start = int(rows.answer_starts[row])
        decoded.append((model.text_of(tokens[:start]), model.text_of(tokens[start:])))  # type: ignore[attr-defined]  # Letters
    return decoded


def test_an_empty_input_has_the_template_without_input(data_folder: DataFolder, source: MakeSource) -> None:
    data_folder.instructions("a.jsonl", [("Say hello.", "", "Hello!"), ("Say it.", "Hi", "Hi"), ("Blank", " \n", "x")])
    rows = texts(data_folder.plan(data_folder.recipe(source("a"))), data_folder.model)
    assert rows[0] == (WITHOUT_INPUT, "Hello!<end>")
    assert "### Input:\nHi\n\n### Response:" in rows[1][0]
    assert "### Input" not in rows[2][0]


def test_prompt_and_answer_are_tokenized_apart(data_folder: DataFolder, source: MakeSource) -> None:
    """Pitfall 12: ':' of the prompt and '"' of the answer are one token in one text, and generation never sees that."""
    data_folder.instructions("a.jsonl", [("Say hello.", "", '"Hello":"x"')])
    rows = data_folder.plan(data_folder.recipe(source("a"))).rows
    whole = WITHOUT_INPUT + '"Hello":"x"'
    assert len(whole) - whole.count(':"') + 1 == rows.lengths[0] - 1  # apart, one token more, besides the end token
    assert rows.answer_starts.tolist() == [len(WITHOUT_INPUT)]


def test_long_rows_are_cut_and_counted(data_folder: DataFolder, source: MakeSource) -> None:
    """Pitfall 13: a cut row has lost its end token; it is counted, or dropped where the recipe says so."""
    length = len(WITHOUT_INPUT) + 6
    rows = [("Say hello.", "", answer) for answer in ("Hello", "Hello!", "Hello there")]
    data_folder.instructions("a.jsonl", rows)
    cut = data_folder.plan(data_folder.recipe(source("a"), length=length))
    assert [answer for _, answer in texts(cut, data_folder.model)] == ["Hello<end>", "Hello!", "Hello "]
    assert (cut.plan.sources[0].truncated, cut.plan.sources[0].dropped) == (2, 0)
    dropped = data_folder.plan(data_folder.recipe(source("a"), length=length, on_long="drop"))
    assert [answer for _, answer in texts(dropped, data_folder.model)] == ["Hello<end>"]
    assert (dropped.plan.sources[0].truncated, dropped.plan.sources[0].dropped) == (0, 2)


def test_a_prompt_that_fills_the_length_is_dropped(data_folder: DataFolder, source: MakeSource) -> None:
    data_folder.instructions("a.jsonl", [("Say hello.", "", "Hello"), ("Hi", "", "Hello")])
    plan = data_folder.plan(data_folder.recipe(source("a"), length=len(WITHOUT_INPUT))).plan
    assert (plan.sources[0].dropped, plan.sources[0].available, plan.sources[0].truncated) == (1, 1, 0)


@pytest.mark.slow
def test_a_sample_is_not_the_head_of_the_file_and_grows(data_folder: DataFolder, source: MakeSource) -> None:
    """Pitfall 13, second half: N rows are not the first N; a larger amount holds a smaller one."""
    data_folder.instructions("a.jsonl", [(f"Number {number}", "", str(number)) for number in range(200)])
    chosen = {}
    for count in (20, 50, 120):
        rows = texts(data_folder.plan(data_folder.recipe(source("a", f"{count} rows"))), data_folder.model)
        chosen[count] = {int(answer.removesuffix("<end>")) for _, answer in rows}
        assert len(chosen[count]) == count
    assert chosen[20] < chosen[50] < chosen[120]
    assert max(chosen[20]) > 150
    again = texts(data_folder.plan(data_folder.recipe(source("a", "20 rows"), seed=1)), data_folder.model)
    assert {int(answer.removesuffix("<end>")) for _, answer in again} != chosen[20]


def test_an_excluded_row_does_not_change_the_sample_of_others(data_folder: DataFolder, source: MakeSource) -> None:
    rows = [(f"Number {number}", "", str(number)) for number in range(100)]
    data_folder.instructions("a.jsonl", rows)
    before = {
        answer for _, answer in texts(data_folder.plan(data_folder.recipe(source("a", "60 rows"))), data_folder.model)
    }
    rows[int(min(before).removesuffix("<end>"))] = rows[99]  # now a duplicate
    data_folder.instructions("a.jsonl", rows)
    after = {
        answer for _, answer in texts(data_folder.plan(data_folder.recipe(source("a", "60 rows"))), data_folder.model)
    }
    assert len(before - after) == 1


def test_fractions_of_epochs(data_folder: DataFolder, source: MakeSource) -> None:
    data_folder.instructions("a.jsonl", [(f"Number {number}", "", str(number)) for number in range(10)])
    prepared = data_folder.plan(data_folder.recipe(source("a", "25 rows", more="max_epochs = 2.5")))
    assert sorted(prepared.rows.draws.tolist()) == [2] * 5 + [3] * 5
    report = prepared.plan.sources[0]
    assert (report.distinct, report.draws, report.available) == (10, 25, 10)
    assert report.tokens == int((prepared.rows.lengths * prepared.rows.draws).sum())


def test_excluded_rows_are_counted_once(data_folder: DataFolder, source: MakeSource) -> None:
    data_folder.instructions(
        "a.jsonl",
        [*[("Say hello.", "", "Hello")] * 2, ("Say hello.", "", "Hi"), ("", "", "x"), ("x", "", " ")],
    )
    data_folder.instructions("b.jsonl", [("Say hello.", "", "Hi"), ("Say more.", "", "Hi")])
    plan = data_folder.plan(data_folder.recipe(source("a") + source("b"))).plan
    counts = [(each.available, each.duplicates, each.skipped) for each in plan.sources]
    assert counts == [(2, 1, 2), (1, 1, 0)]  # the second source repeats a row of the first


def test_no_token_is_added_for_padding(data_folder: DataFolder, source: MakeSource) -> None:
    """Pitfall 14: rows are concatenated, and hold nothing but prompts, answers and end tokens."""
    data_folder.instructions("a.jsonl", [("Say hello.", "", "Hello"), ("Say more.", "", "More and more")])
    prepared = data_folder.plan(data_folder.recipe(source("a")))
    joined = "".join(prompt + answer.removesuffix("<end>") for prompt, answer in texts(prepared, data_folder.model))
    assert len(prepared.rows.tokens) == len(joined) + 2
    assert prepared.rows.tokens.dtype == np.int32
    assert prepared.plan.tokens == len(joined) + 2


def test_translation_prompts_cycle_through_the_wordings(data_folder: DataFolder) -> None:
    lines = [f"Sentence number {number}." for number in range(60)]
    data_folder.write("t.en", "\n".join(lines) + "\n")
    data_folder.write("t.zh", "\n".join(f"第{number}句。" for number in range(60)) + "\n")
    recipe = data_folder.recipe('[sources.t]\nreader = "parallel"\npath = "t.{language}"\ndirection = "en-zh"\n')
    rows = texts(data_folder.plan(recipe), data_folder.model)
    rendering = Rendering(
        model=data_folder.model.spec, template="alpaca", stop=(), max_new_tokens=1, on_overflow="error"
    )
    for number, (prompt, _) in enumerate(rows):
        words = TRANSLATION_WORDS[number % len(TRANSLATION_WORDS)]
        instruction = words.replace("{source}", "English").replace("{target}", "Chinese")
        assert f"### Instruction:\n{instruction}\n\n### Input:\n{lines[number]}\n" in prompt
    assert rows[0][0] == render(ask_translation("en", "zh", lines[0]), (), rendering).messages[0].text
    assert len(TRANSLATION_WORDS) == len(set(TRANSLATION_WORDS)) >= 20
    assert all("{target}" in words for words in TRANSLATION_WORDS)


@pytest.mark.parametrize(("template", "prompt"), [("raw", "Say hello.\n"), ("chat", "Say hello.")])
def test_other_templates_without_input(template: str, prompt: str, data_folder: DataFolder, source: MakeSource) -> None:
    data_folder.instructions("a.jsonl", [("Say hello.", "", "Hello")])
    recipe = data_folder.recipe(source("a"))
    path = data_folder.path / "mine.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('"alpaca"\nlength', f'"{template}"\nlength'))
    assert recipe.template == "alpaca"
    from xlingual.tune.recipe import find_recipe  # noqa: PLC0415

    rows = texts(data_folder.plan(find_recipe(str(path))), data_folder.model)
    assert rows == [(prompt, "Hello<end>")]


def test_characters_per_token(data_folder: DataFolder, source: MakeSource) -> None:
    data_folder.instructions("a.jsonl", [("Say hello.", "", 'a:"b')])  # four characters, three tokens
    assert data_folder.plan(data_folder.recipe(source("a"))).plan.sources[0].characters_per_token == pytest.approx(
        4 / 3
    )
