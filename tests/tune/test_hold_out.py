"""Rows held out of a recipe: chosen by what they say, in whole groups, never trained on, counted in the plan."""

import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xlingual.cli.tune.held_out import held_out_lines, show_held_out
from xlingual.errors import DataError, EnvironmentFault
from xlingual.identity import canonical_json
from xlingual.records import Example
from xlingual.serial import to_json
from xlingual.tune.hold_out.choice import HeldOutRows, SourceRowsToSplit, choose_held_out
from xlingual.tune.hold_out.groups import texts_of
from xlingual.tune.hold_out.records import ExportedWeights, HoldOut, HoldOutUnit
from xlingual.tune.plan import identify
from xlingual.tune.prepare import HELD_OUT, Prepared, encode_mix, load_plan, plan_encoded, prepare
from xlingual.tune.records import EncodedRows

from .conftest import DataFolder
from .test_encoding import texts

MakeSource = Callable[..., str]
WORDS = (
    *("river", "stone", "window", "market", "garden", "letter", "engine", "winter", "bridge", "forest"),
    *("island", "silver", "morning", "teacher", "harbour", "village", "carpet", "pepper", "thunder", "basket"),
)


def _sentence(number: int, count: int = 12) -> str:
    draw = np.random.default_rng([5, number])
    return " ".join(draw.choice(WORDS, count)) + f" {number}."


def _pair(source: str, target: str) -> Example:
    return Example(id="p", language="zh", group="g", cluster="c", fields={"source": source}, targets=(target,))


def _instruction(instruction: str, given: str, answer: str) -> Example:
    fields = {"instruction": instruction, "input": given} if given else {"instruction": instruction}
    return Example(id="i", language="en", group="g", cluster="c", fields=fields, targets=(answer,))


def _rows(count: int) -> HoldOut:
    return HoldOut(unit=HoldOutUnit.ROWS, value=float(count))


def _split(name: str, rows: Sequence[Example], wanted: HoldOut | None) -> SourceRowsToSplit:
    return SourceRowsToSplit(name=name, wanted=wanted, rows=rows)


def _many(count: int, first: int = 0) -> list[Example]:
    return [_pair(_sentence(each), _sentence(each + 100_000)) for each in range(first, first + count)]


@pytest.mark.parametrize(
    ("wanted", "available", "count"),
    [
        (HoldOut(unit=HoldOutUnit.PERCENT, value=1.0), 1000, 10),
        (HoldOut(unit=HoldOutUnit.PERCENT, value=1.0), 1099, 10),
        (HoldOut(unit=HoldOutUnit.PERCENT, value=1.0), 20, 1),
        (HoldOut(unit=HoldOutUnit.ROWS, value=200.0), 1000, 200),
    ],
)
def test_amounts(wanted: HoldOut, available: int, count: int) -> None:
    assert wanted.rows_of(available) == count


def test_the_choice_depends_on_the_content_alone() -> None:
    rows = _many(400)
    [held] = choose_held_out([_split("a", rows, _rows(40))])
    assert len(held.evaluated) == 40
    assert held.twins == ()
    assert list(held.evaluated) != list(range(40))
    turned = list(reversed(rows))
    [again] = choose_held_out([_split("b", turned, _rows(40))])
    assert {turned[row].fields["source"] for row in again.evaluated} == {
        rows[row].fields["source"] for row in held.evaluated
    }
    [fewer] = choose_held_out([_split("a", rows, _rows(10))])
    assert set(fewer.evaluated) < set(held.evaluated), "a larger amount holds a smaller one"


TWINS: dict[str, Callable[[str, str], Example]] = {
    "case and punctuation": lambda s, t: _pair(s.upper(), t.replace(".", "!")),
    "another translation": lambda s, t: _pair(s, "something else altogether"),
    "the other direction": lambda s, t: _pair(t, s),
    "another source of the same translation": lambda s, t: _pair("quite another sentence", t),
    "a word changed on both sides": lambda s, t: _pair(
        s.replace(s.split()[5], "castle", 1), t.replace(t.split()[6], "queen", 1)
    ),
    "both directions and a word changed": lambda s, t: _pair(t.replace(t.split()[5], "castle", 1), s),
    "inside of an instruction": lambda s, t: _instruction("Translate into Chinese.", s, t),
    "quoted with its translation": lambda s, t: _instruction(
        f"What does this say? {s} Thanks.", "", f"It says: {t} Yes."
    ),
}


@pytest.mark.parametrize("kind", TWINS)
def test_what_says_the_same_is_never_trained_on(kind: str) -> None:
    """In a source that holds out rows itself, and in one that does not."""
    rows = _many(60)
    [alone] = choose_held_out([_split("a", rows, _rows(6))])
    held = rows[alone.evaluated[0]]
    twin = TWINS[kind](held.fields["source"], held.targets[0])
    others = [*_many(30, first=5_000), twin]
    for wanted in (None, _rows(3)):
        one, other = choose_held_out([_split("a", rows, _rows(6)), _split("b", others, wanted)])
        texts_held = {rows[row].fields["source"] for row in one.evaluated}
        if held.fields["source"] in texts_held:
            assert 30 in {*other.evaluated, *other.twins}, kind
        else:  # the twin may rank otherwise and let its group wait: then none of them is held out
            assert 30 not in {*other.evaluated, *other.twins}
        if wanted is None:
            assert other.evaluated == ()
            assert other.twins == (30,)
    [within] = choose_held_out([_split("a", [*rows, twin], _rows(6))])
    is_held = {row in {*within.evaluated, *within.twins} for row in (alone.evaluated[0], 60)}
    assert len(is_held) == 1, "both or none"


NO_TWINS: dict[str, Example] = {
    "other words": _pair(_sentence(7_777), _sentence(8_888)),
    "the same short answer": _instruction("Is the sky blue, tell me quickly please?", "", "Yes."),
    "the same long instruction": _instruction(
        "Name the sentiment of the text below in one single word only", "zzz", "bad"
    ),
}


@pytest.mark.parametrize("kind", NO_TWINS)
def test_what_says_something_else_is_trained_on(kind: str) -> None:
    rows = [
        _instruction("Name the sentiment of the text below in one single word only", _sentence(each), f"Yes {each}")
        for each in range(40)
    ]
    rows += [_instruction(_sentence(each), "", "Yes.") for each in range(500, 540)]
    one, other = choose_held_out([_split("a", rows, _rows(8)), _split("b", [NO_TWINS[kind]], None)])
    assert len(one.evaluated) == 8
    assert one.twins == ()
    assert other == HeldOutRows((), ())


PIECES = (
    *("the river", "The River!", "石头", "石 头。", "नदी", "แม่น้ำ", "ß", "7"),
    *("👍", "👎 👎", "+", "...", "«?»", "\U0001f1e9"),
)


def _said(text: str) -> str:
    """Return a text without case, spaces and punctuation; as it is, where nothing else is in it."""
    kept = "".join(each for each in text.casefold() if unicodedata.category(each)[0] not in "PZ")
    return kept if any(map(str.isalnum, kept)) else "".join(text.split())


def test_no_side_of_a_held_out_pair_is_trained_on_whatever_is_in_it() -> None:
    """Not even one without a word. In any order of the rows the same are held out, and no more than asked for."""
    for seed in range(60):
        draw = random.Random(seed)
        rows = []
        for number in range(40):
            sides = [f"{draw.choice(PIECES)} {number}{side}" for side in "ab"]
            if draw.random() < 0.4:
                sides[draw.randrange(2)] = " ".join(draw.choices(PIECES, k=draw.randint(1, 2)))
            rows.append(_pair(*sides))
        [held] = choose_held_out([_split("a", rows, _rows(8))])
        assert 1 <= len(held.evaluated) <= 8
        known = {_said(side) for row in held.evaluated for side in texts_of(rows[row])}
        trained = set(range(40)) - {*held.evaluated, *held.twins}
        assert not [rows[row] for row in trained if known & {_said(side) for side in texts_of(rows[row])}]
        order = draw.sample(range(40), 40)
        [again] = choose_held_out([_split("a", [rows[row] for row in order], _rows(8))])
        assert sorted(order[row] for row in again.evaluated) == list(held.evaluated)


def test_a_group_that_is_larger_than_what_is_held_out_is_trained_on() -> None:
    same = [_pair("Hello there.", _sentence(each + 900)) for each in range(50)]
    [held] = choose_held_out([_split("a", [*same, *_many(50)], _rows(10))])
    assert len(held.evaluated) == 10
    assert all(row >= 50 for row in held.evaluated)
    with pytest.raises(DataError, match="no group of equal rows is small enough") as caught:
        choose_held_out([_split("a", same, _rows(10))])
    assert caught.value.where == "source a: hold_out"


def test_a_source_without_a_row_says_why(written: DataFolder) -> None:
    with pytest.raises(DataError, match=r"no row is left to learn from: .* 60 dropped"):
        written.plan(written.recipe(SOURCES.format(a="", b='hold_out = "3 rows"'), length=230, on_long="drop"))


def test_more_than_half_is_refused() -> None:
    with pytest.raises(DataError, match="6 of 10 usable rows would be held out"):
        choose_held_out([_split("a", _many(10), _rows(6))])


def test_parallel_sources_hold_out_the_same_sentences() -> None:
    english = [_sentence(each) for each in range(100)]
    sources = [
        _split(
            code, [_pair(text, f"{code} {_sentence(each + 1000 * place)}") for each, text in enumerate(english)], wanted
        )
        for place, (code, wanted) in enumerate((("ar", _rows(10)), ("hi", _rows(4)), ("zh", None)), start=1)
    ]
    arabic, hindi, chinese = choose_held_out(sources)
    assert len(arabic.evaluated) == 10
    assert len(hindi.evaluated) == 4
    assert {*hindi.evaluated, *hindi.twins} == set(arabic.evaluated)
    assert set(chinese.twins) == set(arabic.evaluated)


SOURCES = """
[sources.a]
reader = "alpaca"
path = "a.jsonl"
language = "en"
{a}

[sources.b]
reader = "parallel"
path = "b.{{language}}"
direction = "en-zh"
{b}
"""


@pytest.fixture
def written(data_folder: DataFolder) -> DataFolder:
    data_folder.instructions("a.jsonl", [(f"Write {_sentence(each)}", "", f"Note {each}") for each in range(60)])
    data_folder.write("b.en", "".join(f"{_sentence(each)}\n" for each in range(200, 240)))
    data_folder.write("b.zh", "".join(f"{_sentence(each)}\n" for each in range(300, 340)))
    return data_folder


def _plan(folder: DataFolder, a: str = "", b: str = "", seed: int = 0) -> Prepared:
    return folder.plan(folder.recipe(SOURCES.format(a=a, b=b), seed=seed))


def _texts_of(prepared: Prepared, rows: EncodedRows | None, folder: DataFolder) -> set[tuple[str, str]]:
    assert rows is not None
    return set(texts(replace(prepared, rows=rows), folder.model))


def test_held_out_rows_are_in_the_plan_and_not_in_the_training(written: DataFolder) -> None:
    plain, held = _plan(written), _plan(written, a='hold_out = "10%"', b='hold_out = "3 rows"')
    assert plain.held_out is None
    trained, evaluated = (_texts_of(held, rows, written) for rows in (held.rows, held.held_out))
    assert trained.isdisjoint(evaluated)
    assert trained | evaluated == _texts_of(plain, plain.rows, written)
    assert [source.available for source in held.plan.sources] == [54, 37]
    reports = [source.held_out for source in held.plan.sources]
    assert [(each.rows, each.twins) for each in reports if each is not None] == [(6, 0), (3, 0)]
    assert held.held_out is not None
    assert [each.tokens for each in reports if each is not None] == [
        int(held.held_out.lengths[held.held_out.sources == place].sum()) for place in range(2)
    ]
    assert sum(each.supervised for each in reports if each is not None) == int(held.held_out.supervised.sum())


@pytest.mark.slow
def test_seed_and_amount_change_what_is_trained_and_not_what_is_held_out(written: DataFolder) -> None:
    one, other = _plan(written, a='hold_out = "10%"\nuse = "20 rows"'), _plan(written, a='hold_out = "10%"', seed=4)
    assert _texts_of(one, one.held_out, written) == _texts_of(other, other.held_out, written)
    assert len(one.rows) == 20 + 40
    assert len(_plan(written, a='hold_out = "10%"\nuse = "54 rows"').rows) == 54 + 40
    with pytest.raises(DataError, match="55 rows are asked for, and it has 54"):
        _plan(written, a='hold_out = "10%"\nuse = "55 rows"')


def test_rows_that_are_trained_on_keep_their_order_of_sampling(written: DataFolder) -> None:
    """A held-out row changes the place of no other: what is sampled is what was sampled before, without it."""
    plain, held = _plan(written, a='use = "30 rows"'), _plan(written, a='hold_out = "10%"\nuse = "30 rows"')
    before, after = (_texts_of(each, each.rows, written) for each in (plain, held))
    evaluated = _texts_of(held, held.held_out, written)
    assert before - after == before & evaluated


def test_the_id(written: DataFolder, tmp_path: Path) -> None:
    plain = _plan(written)
    assert "hold_out" not in canonical_json(to_json(plain.plan))
    assert "export" not in canonical_json(to_json(plain.plan.recipe))
    held = _plan(written, a='hold_out = "10%"')
    assert held.plan.id != plain.plan.id
    assert held.plan.id == identify(held.plan.recipe, held.plan.base, held.rows, held.held_out)
    stored = prepare(held.plan.recipe, written.model, written.data_source, tmp_path / "runs")
    assert stored.plan == held.plan
    assert stored.folder is not None
    assert stored.held_out is not None
    assert held.held_out is not None
    assert np.array_equal(stored.held_out.tokens, held.held_out.tokens)
    path = stored.folder / HELD_OUT / "tokens.npy"
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(DataError, match="not those of the plan's id"):
        load_plan(stored.folder)
    path.unlink()
    with pytest.raises(EnvironmentFault):
        load_plan(stored.folder)


def test_a_recipe_without_held_out_rows_keeps_the_id_that_it_had(data_folder: DataFolder) -> None:
    """Computed by the code from before there was `hold_out`."""
    data_folder.instructions("a.jsonl", [(f"Write {number}.", "", str(number)) for number in range(9)])
    data_folder.write("b.en", "One.\nTwo.\nThree.\n")
    data_folder.write("b.zh", "一。\n二。\n三。\n")
    found = _plan(data_folder).plan.id
    assert found == "00e8e7688349944c884dd14e3aeb7672a959e7ea8f6186b3788a2310bf838c05"


def test_the_export_of_a_recipe(written: DataFolder) -> None:
    def recipe(a: str, export: str) -> ExportedWeights:
        text = f"{export}\n{SOURCES.format(a=a, b='')}"
        return written.recipe(text).exported_weights

    assert recipe("", "") is ExportedWeights.LAST
    assert recipe('hold_out = "1%"', "") is ExportedWeights.BEST
    assert recipe('hold_out = "1%"', 'export = "best"') is ExportedWeights.BEST
    assert recipe('hold_out = "1%"', 'export = "last"') is ExportedWeights.LAST
    with pytest.raises(DataError, match="no source holds out any") as caught:
        recipe("", 'export = "best"')
    assert str(written.path / "mine.toml") in caught.value.where
    usual = written.recipe('export = "best"\n' + SOURCES.format(a='hold_out = "1%"', b=""))
    assert usual.export is None, "the usual choice is no part of the id"


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ('"1"', "is no amount"),
        ('"1 percent"', "is no amount"),
        ('"0%"', "is not above 0%"),
        ('"51%"', "is not above 0%"),
        ('"0 rows"', "is not 1 to"),
        ('"-3 rows"', "is no amount"),
        ('"99999999999 rows"', "is not 1 to"),
        ('""', "is empty"),
        ("1", "must be a text"),
        ("true", "must be a text"),
    ],
)
def test_a_wrong_amount_names_file_line_and_key(written: DataFolder, value: str, what: str) -> None:
    with pytest.raises(DataError, match=what) as caught:
        written.recipe(SOURCES.format(a=f"hold_out = {value}", b=""))
    path = written.path / "mine.toml"
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if text.startswith("hold_out"))
    assert caught.value.where == f"{path}:{line}"


def test_one_encoding_serves_mixtures_of_any_amount(written: DataFolder) -> None:
    recipe = written.recipe(SOURCES.format(a='hold_out = "10%"', b=""))
    encoded = encode_mix(recipe, written.model, written.data_source, lambda _: None)
    assert plan_encoded(recipe, encoded).plan == written.plan(recipe).plan


def test_the_plan_shows_counts_by_source_and_language(written: DataFolder, capsys: pytest.CaptureFixture[str]) -> None:
    plan = _plan(written, a='hold_out = "10%"', b='hold_out = "3 rows"').plan
    show_held_out(plan)
    lines = [line.replace(" ", "") for line in capsys.readouterr().out.splitlines()]
    reports = [source.held_out for source in plan.sources]
    a, b = (f"{each.tokens:,}|{each.supervised:,}|0|" for each in reports if each is not None)
    assert f"|a|en|10%|6|{a}" in lines
    assert f"|b|zh|3rows|3|{b}" in lines
    assert f"|all|en||6|{a}" in lines
    assert f"|all|zh||3|{b}" in lines
    assert held_out_lines(plan) == ["exported: the checkpoint with the lowest held-out loss"]
    plain = _plan(written).plan
    show_held_out(plain)
    assert (capsys.readouterr().out, held_out_lines(plain)) == ("", [])
