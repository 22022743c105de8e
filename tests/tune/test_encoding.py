"""Rows as tokens: what is cut, dropped, counted, and that prompts are those of evaluation. Tokens are characters."""

from collections.abc import Callable

import numpy as np
import pytest

from xlingual.plugin import Model
from xlingual.prompt import Rendering, render
from xlingual.tune.prepare import Prepared
from xlingual.wording import TRANSLATION_WORDS, ask_translation

from .conftest import Workshop

MakeSource = Callable[..., str]
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nSay hello.\n\n### Response:"
)
"""As published with Stanford Alpaca."""


def texts(prepared: Prepared, model: Model) -> list[tuple[str, str]]:
    rows = prepared.rows
    decoded = []
    for place in range(len(rows)):
        tokens = rows.tokens[rows.offsets[place] : rows.offsets[place + 1]].tolist()
        start = int(rows.answer_starts[place])
        decoded.append((model.text_of(tokens[:start]), model.text_of(tokens[start:])))  # type: ignore[attr-defined]  # Letters
    return decoded


def test_an_empty_input_has_the_other_wrapper(workshop: Workshop, source: MakeSource) -> None:
    workshop.instructions("a.jsonl", [("Say hello.", "", "Hello!"), ("Say it.", "Hi", "Hi"), ("Blank", " \n", "x")])
    rows = texts(workshop.plan(workshop.recipe(source("a"))), workshop.model)
    assert rows[0] == (WITHOUT_INPUT, "Hello!<end>")
    assert "### Input:\nHi\n\n### Response:" in rows[1][0]
    assert "### Input" not in rows[2][0]


def test_prompt_and_answer_are_encoded_apart(workshop: Workshop, source: MakeSource) -> None:
    """Pitfall 12: ':' of the prompt and '"' of the answer are one token in one text, and generation never sees that."""
    workshop.instructions("a.jsonl", [("Say hello.", "", '"Hello":"x"')])
    rows = workshop.plan(workshop.recipe(source("a"))).rows
    whole = WITHOUT_INPUT + '"Hello":"x"'
    assert len(whole) - whole.count(':"') + 1 == rows.lengths[0] - 1  # apart, one token more, besides the end token
    assert rows.answer_starts.tolist() == [len(WITHOUT_INPUT)]


def test_long_rows_are_cut_and_counted(workshop: Workshop, source: MakeSource) -> None:
    """Pitfall 13: a cut row has lost its end token; it is counted, or dropped where the recipe says so."""
    length = len(WITHOUT_INPUT) + 6
    rows = [("Say hello.", "", answer) for answer in ("Hello", "Hello!", "Hello there")]
    workshop.instructions("a.jsonl", rows)
    cut = workshop.plan(workshop.recipe(source("a"), length=length))
    assert [answer for _, answer in texts(cut, workshop.model)] == ["Hello<end>", "Hello!", "Hello "]
    assert (cut.plan.sources[0].truncated, cut.plan.sources[0].dropped) == (2, 0)
    dropped = workshop.plan(workshop.recipe(source("a"), length=length, on_long="drop"))
    assert [answer for _, answer in texts(dropped, workshop.model)] == ["Hello<end>"]
    assert (dropped.plan.sources[0].truncated, dropped.plan.sources[0].dropped) == (0, 2)


def test_a_prompt_that_fills_the_length_is_dropped(workshop: Workshop, source: MakeSource) -> None:
    workshop.instructions("a.jsonl", [("Say hello.", "", "Hello"), ("Hi", "", "Hello")])
    plan = workshop.plan(workshop.recipe(source("a"), length=len(WITHOUT_INPUT))).plan
    assert (plan.sources[0].dropped, plan.sources[0].available, plan.sources[0].truncated) == (1, 1, 0)


def test_a_subset_is_no_head_of_the_file_and_grows(workshop: Workshop, source: MakeSource) -> None:
    """Pitfall 13, second half: N rows are not the first N; a larger amount holds a smaller one."""
    workshop.instructions("a.jsonl", [(f"Number {number}", "", str(number)) for number in range(200)])
    chosen = {}
    for count in (20, 50, 120):
        rows = texts(workshop.plan(workshop.recipe(source("a", f"{count} rows"))), workshop.model)
        chosen[count] = {int(answer.removesuffix("<end>")) for _, answer in rows}
        assert len(chosen[count]) == count
    assert chosen[20] < chosen[50] < chosen[120]
    assert max(chosen[20]) > 150
    again = texts(workshop.plan(workshop.recipe(source("a", "20 rows"), seed=1)), workshop.model)
    assert {int(answer.removesuffix("<end>")) for _, answer in again} != chosen[20]


def test_a_row_that_is_left_out_moves_no_other(workshop: Workshop, source: MakeSource) -> None:
    rows = [(f"Number {number}", "", str(number)) for number in range(100)]
    workshop.instructions("a.jsonl", rows)
    before = {answer for _, answer in texts(workshop.plan(workshop.recipe(source("a", "60 rows"))), workshop.model)}
    rows[int(min(before).removesuffix("<end>"))] = rows[99]  # now a duplicate
    workshop.instructions("a.jsonl", rows)
    after = {answer for _, answer in texts(workshop.plan(workshop.recipe(source("a", "60 rows"))), workshop.model)}
    assert len(before - after) == 1


def test_fractions_of_epochs(workshop: Workshop, source: MakeSource) -> None:
    workshop.instructions("a.jsonl", [(f"Number {number}", "", str(number)) for number in range(10)])
    prepared = workshop.plan(workshop.recipe(source("a", "25 rows", more="max_epochs = 2.5")))
    assert sorted(prepared.rows.draws.tolist()) == [2] * 5 + [3] * 5
    report = prepared.plan.sources[0]
    assert (report.distinct, report.draws, report.available) == (10, 25, 10)
    assert report.tokens == int((prepared.rows.lengths * prepared.rows.draws).sum())


def test_nothing_to_learn_is_counted_once(workshop: Workshop, source: MakeSource) -> None:
    workshop.instructions(
        "a.jsonl",
        [*[("Say hello.", "", "Hello")] * 2, ("Say hello.", "", "Hi"), ("", "", "x"), ("x", "", " ")],
    )
    workshop.instructions("b.jsonl", [("Say hello.", "", "Hi"), ("Say more.", "", "Hi")])
    plan = workshop.plan(workshop.recipe(source("a") + source("b"))).plan
    counts = [(each.available, each.duplicates, each.skipped) for each in plan.sources]
    assert counts == [(2, 1, 2), (1, 1, 0)]  # the second source repeats a row of the first


def test_no_token_is_added_for_padding(workshop: Workshop, source: MakeSource) -> None:
    """Pitfall 14: rows lie behind one another, and hold nothing but prompts, answers and end tokens."""
    workshop.instructions("a.jsonl", [("Say hello.", "", "Hello"), ("Say more.", "", "More and more")])
    prepared = workshop.plan(workshop.recipe(source("a")))
    joined = "".join(prompt + answer.removesuffix("<end>") for prompt, answer in texts(prepared, workshop.model))
    assert len(prepared.rows.tokens) == len(joined) + 2
    assert prepared.rows.tokens.dtype == np.int32
    assert prepared.plan.tokens == len(joined) + 2


def test_translations_take_the_wordings_in_turn(workshop: Workshop) -> None:
    lines = [f"Sentence number {number}." for number in range(60)]
    workshop.write("t.en", "\n".join(lines) + "\n")
    workshop.write("t.zh", "\n".join(f"第{number}句。" for number in range(60)) + "\n")
    recipe = workshop.recipe('[sources.t]\nreader = "parallel"\npath = "t.{language}"\ndirection = "en-zh"\n')
    rows = texts(workshop.plan(recipe), workshop.model)
    rendering = Rendering(model=workshop.model.spec, template="alpaca", stop=(), max_new_tokens=1, on_overflow="error")
    for number, (prompt, _) in enumerate(rows):
        words = TRANSLATION_WORDS[number % len(TRANSLATION_WORDS)]
        instruction = words.replace("{source}", "English").replace("{target}", "Chinese")
        assert f"### Instruction:\n{instruction}\n\n### Input:\n{lines[number]}\n" in prompt
    assert rows[0][0] == render(ask_translation("en", "zh", lines[0]), (), rendering).messages[0].text
    assert len(TRANSLATION_WORDS) == len(set(TRANSLATION_WORDS)) >= 20
    assert all("{target}" in words for words in TRANSLATION_WORDS)


@pytest.mark.parametrize(("template", "prompt"), [("raw", "Say hello.\n"), ("chat", "Say hello.")])
def test_other_templates_without_input(template: str, prompt: str, workshop: Workshop, source: MakeSource) -> None:
    workshop.instructions("a.jsonl", [("Say hello.", "", "Hello")])
    recipe = workshop.recipe(source("a"))
    path = workshop.folder / "mine.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('"alpaca"\nlength', f'"{template}"\nlength'))
    assert recipe.template == "alpaca"
    from xlingual.tune.recipe import find_recipe  # noqa: PLC0415

    rows = texts(workshop.plan(find_recipe(str(path))), workshop.model)
    assert rows == [(prompt, "Hello<end>")]


def test_characters_per_token(workshop: Workshop, source: MakeSource) -> None:
    workshop.instructions("a.jsonl", [("Say hello.", "", 'a:"b')])  # four characters, three tokens
    assert workshop.plan(workshop.recipe(source("a"))).plan.sources[0].characters_per_token == pytest.approx(4 / 3)
