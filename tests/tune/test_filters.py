"""Filters of a source: what each key leaves out, how it is counted, and that recipes without one keep their id."""

import random
from dataclasses import replace
from itertools import chain, zip_longest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlingual.cli.tune.audit import audit_lines, dropped_lines, truncation_lines
from xlingual.errors import DataError
from xlingual.records import Corpus, Example, Examples
from xlingual.serial import from_json, to_json
from xlingual.tune.audit.filters import filter_rows
from xlingual.tune.audit.records import AuditFinding, Filter
from xlingual.tune.chats import ChatCounts
from xlingual.tune.hold_out.records import HeldOutReport
from xlingual.tune.prepare import load_plan, store_plan
from xlingual.tune.recipe_records import Recipe
from xlingual.tune.records import MixPlan

from .conftest import DataFolder

SOURCE = """
[sources.a]
reader = "tsv"
path = "a.tsv"
columns = ["score:1", "en:2", "zh:3"]
direction = "en-zh"
{more}
"""
GOOD = [(f"This is the sentence with number {number}.", f"这是编号为{number}的一个句子。") for number in range(10)]
BAD = {
    "language": ("The children went to school.", "Die Kinder gingen zur Schule."),
    "max_ratio": ("Hi", "这是一个非常长的句子，它不可能是原文的翻译，因为原文只有两个字母而已。"),
    "copies": ("一样", "一样"),
    "min_letters": ("https://example.org/a", "https://example.org/a"),
    "dedup": ("this is the sentence with number 3", "这是编号为3的一个句子"),
    "min_score": ("A sentence with a low score.", "一个分数很低的句子。"),
}


def _recipe(folder: DataFolder, more: str = "") -> Recipe:
    rows = [("0.9", *pair) for pair in GOOD]
    rows += [("0.1" if key == "min_score" else "0.9", *pair) for key, pair in BAD.items()]
    folder.write("a.tsv", "".join("\t".join(row) + "\n" for row in rows))
    return folder.recipe(SOURCE.format(more=more))


@pytest.mark.parametrize(
    ("key", "value", "left_out"),
    [
        ("language", "true", 2),  # the pair that copies has Chinese on its English side
        ("max_ratio", "4.0", 1),
        ("copies", "false", 1),
        ("min_letters", "1", 1),
        ("dedup", "true", 1),
        ("min_score", "0.5", 1),
    ],
)
def test_each_key(key: str, value: str, left_out: int, data_folder: DataFolder) -> None:
    plain = data_folder.plan(_recipe(data_folder)).plan
    plan = data_folder.plan(_recipe(data_folder, f"filter = {{ {key} = {value} }}")).plan
    [source], audit = plan.sources, plan.sources[0].audit
    assert audit is not None
    assert audit.filtered == {key: left_out}
    assert source.available == plain.sources[0].available - left_out == audit.rows
    assert plan.id != plain.id
    assert f"a: {left_out} rows filtered: {left_out} by {key}" in audit_lines(plan)


def test_a_row_is_counted_for_the_first_key_that_leaves_it_out(data_folder: DataFolder) -> None:
    keys = "language = true, max_ratio = 4.0, min_score = 0.5, copies = false, min_letters = 1, dedup = true"
    plan = data_folder.plan(_recipe(data_folder, f"filter = {{ {keys} }}")).plan
    audit = plan.sources[0].audit
    assert audit is not None
    assert audit.filtered == {"language": 2, "max_ratio": 1, "min_letters": 1, "dedup": 1, "min_score": 1}
    assert audit.rows == len(GOOD)
    assert audit.counts == ()
    assert (audit.score.least, audit.score.most) == (0.9, 0.9) if audit.score else False


@pytest.mark.parametrize(
    "more",
    ["", "filter = {}", "filter = { language = false, copies = true, dedup = false }"],
    ids=["none", "{}", "off"],
)
def test_recipes_without_a_filter_keep_their_id(more: str, data_folder: DataFolder) -> None:
    """The id is that which the code before filters and audit gave."""
    data_folder.write("a.tsv", "0.9\tOne.\t一。\n0.8\tTwo.\t二。\n")
    recipe = data_folder.recipe(SOURCE.format(more=more).replace('"score:1", ', ""))
    assert recipe.sources[0].filter is None
    assert data_folder.plan(recipe).plan.id == "d0abf70dadbb26f8360ba2dd0fd0d4e86d914b06d853df709e48a69c9b9ab998"


def test_the_audit_is_in_the_stored_plan(data_folder: DataFolder) -> None:
    prepared = data_folder.plan(_recipe(data_folder, "filter = { copies = false }"))
    assert from_json(MixPlan, to_json(prepared.plan)) == prepared.plan
    folder = store_plan(prepared, data_folder.path / "runs").folder
    assert folder is not None
    loaded = load_plan(folder).plan
    assert loaded == prepared.plan
    assert loaded.recipe.sources[0].filter == Filter(copies=False)
    old = replace(loaded, sources=tuple(replace(each, audit=None) for each in loaded.sources))
    assert "'audit'" not in str(to_json(old))
    assert audit_lines(old) == []


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("filter = { max_ratio = 1.0 }", "'max_ratio' must be above 1"),
        ("filter = { min_letters = 0 }", "'min_letters' must be at least 1"),
        ("filter = { language = 1 }", "'language' must be true or false"),
        ("filter = { langauge = true }", "unknown key 'langauge'"),
        ("filter = true", "'filter' must be a table"),
    ],
)
def test_wrong_filters(source: str, what: str, data_folder: DataFolder) -> None:
    with pytest.raises(DataError, match=what) as caught:
        _recipe(data_folder, source)
    assert "mine.toml:" in caught.value.where


def test_filters_that_a_source_cannot_have(data_folder: DataFolder) -> None:
    data_folder.instructions("b.jsonl", [("Say it.", "", "It.")])
    table = '[sources.b]\nreader = "alpaca"\npath = "b.jsonl"\nlanguage = "en"\n'
    with pytest.raises(DataError, match="compares the sides of pairs") as caught:
        data_folder.recipe(table + "filter = { max_ratio = 2.0 }")
    assert "mine.toml:" in caught.value.where
    with pytest.raises(DataError, match="its rows have no score") as caught:
        data_folder.plan(data_folder.recipe(table + "filter = { min_score = 2.0 }"))
    assert caught.value.where == "source b: filter.min_score"


@pytest.mark.parametrize("score", ["", "high", "nan", "inf"])
def test_a_score_that_is_no_number(score: str, data_folder: DataFolder) -> None:
    recipe = _recipe(data_folder)
    data_folder.write("a.tsv", f"0.5\tA.\t一。\n{score}\tB.\t二。\n")
    with pytest.raises(DataError, match="is no number") as caught:
        data_folder.plan(recipe)
    assert caught.value.where.endswith("a.tsv:2")


def test_duplicates_within_and_across_sources_and_truncated_rows(data_folder: DataFolder) -> None:
    data_folder.instructions("a.jsonl", [("Say it.", "", "It."), ("Say it.", "", "It."), ("Say.", "", "So. " * 90)])
    data_folder.instructions("b.jsonl", [("Say it.", "", "It."), ("Say more.", "", "More.")])
    tables = "".join(
        f'[sources.{name}]\nreader = "alpaca"\npath = "{name}.jsonl"\nlanguage = "en"\n' for name in ("a", "b")
    )
    plan = data_folder.plan(data_folder.recipe(tables, length=300)).plan
    first, second = (each.audit for each in plan.sources)
    assert first is not None
    assert second is not None
    assert [first.count(kind) for kind in (AuditFinding.DUPLICATE, AuditFinding.DUPLICATE_ELSEWHERE)] == [1, 0]
    assert [second.count(kind) for kind in (AuditFinding.DUPLICATE, AuditFinding.DUPLICATE_ELSEWHERE)] == [0, 1]
    assert first.count(AuditFinding.TRUNCATED) == 1
    [line] = truncation_lines(plan)
    assert line.startswith("WARNING: a: 50.0% of the rows (1 of 2) are longer than 300 tokens and lose their end token")
    assert 'on_long = "drop"' in line
    dropped = data_folder.plan(data_folder.recipe(tables, length=300, on_long="drop")).plan
    assert truncation_lines(dropped) == []
    assert dropped_lines(plan) == []
    [line] = dropped_lines(dropped)
    assert line.startswith("WARNING: a: 50.0% of the rows (1 of 2) are left out: they do not fit into 300 tokens. ")


def test_the_order_is_checked_before_the_filter(data_folder: DataFolder) -> None:
    """Pairs of about the same length agree in length, in whatever order they were."""
    drawn = random.Random(4)
    lengths = [drawn.randint(3, 40) for _ in range(400)]
    data_folder.write("b.en", "".join(f"{'word ' * length}{number}\n" for number, length in enumerate(lengths)))
    drawn.shuffle(lengths)
    data_folder.write("b.zh", "".join(f"{'词语' * length}\n" for length in lengths))
    table = '[sources.b]\nreader = "parallel"\npath = "b.{language}"\ndirection = "en-zh"\n'
    plan = data_folder.plan(data_folder.recipe(f"{table}filter = {{ max_ratio = 1.5 }}")).plan
    audit = plan.sources[0].audit
    assert audit is not None
    assert audit.alignment is not None
    assert audit.alignment.wrong == audit.alignment.rows == 400 > audit.rows
    assert any("the two sides are not in the same order" in line for line in audit_lines(plan))


def test_rows_that_are_dropped_although_long_ones_are_cut(data_folder: DataFolder) -> None:
    data_folder.instructions("a.jsonl", [("Say it.", "", "It."), ("Say. " * 90, "", "So.")])
    table = '[sources.a]\nreader = "alpaca"\npath = "a.jsonl"\nlanguage = "en"\n'
    plan = data_folder.plan(data_folder.recipe(table, length=300)).plan
    [line] = dropped_lines(plan)
    assert "(1 of 2) are left out: their prompt and a token of the answer do not fit into 300 tokens" in line
    [source] = plan.sources
    chats = replace(plan, sources=(replace(source, chats=ChatCounts(conversations=1, answers=1, rows=1)),))
    assert "(1 of 2) are left out: a question and its whole answer do not fit" in dropped_lines(chats)[0]
    held = replace(source, dropped=1, available=150, held_out=HeldOutReport(rows=40, tokens=0, supervised=0, twins=9))
    [line] = dropped_lines(replace(plan, sources=(held,)))
    assert line.startswith("a: 0.5% of the rows (1 of 200) are left out")
    assert dropped_lines(replace(plan, sources=(replace(source, dropped=0),))) == []


LETTERS = st.text(st.characters(categories=("L", "M", "N", "S")), min_size=1, max_size=6).filter(
    lambda text: text == text.casefold() == text.upper().casefold()
)
BESIDES = st.text(
    st.one_of(st.characters(categories=("P", "Z")), st.sampled_from("\t\n\u200b\u200d\ufeff")), max_size=3
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(LETTERS, min_size=1, max_size=4), LETTERS, st.lists(BESIDES, min_size=5, max_size=5))
def test_dedup_leaves_out_what_differs_in_case_spaces_and_punctuation_only(
    words: list[str], other: str, between: list[str]
) -> None:
    """In any script: a vowel sign, a symbol, an emoji make another row."""
    first = "".join(words)
    again = "".join(chain.from_iterable(zip_longest(between, words, fillvalue=""))).upper()
    others = [text for text in ("".join(words[:-1]) + other, first + other) if text != first]
    corpus = Corpus(name="a", path="a.tsv", language="zh", direction=("en", "zh"), columns=())
    for sides in ([(text, "same") for text in (first, again, *others)], [("same", text) for text in (first, again)]):
        rows = [
            Example(id="", language="zh", group="", cluster="", fields={"source": source}, targets=(target,))
            for source, target in sides
        ]
        reasons = filter_rows(Filter(dedup=True), corpus, Examples(rows=tuple(rows), files=()), set())
        assert reasons[:2] == [None, "dedup"]
        assert set(reasons[2:]) <= {None}, others


@pytest.mark.parametrize("seed", range(3))
def test_equal_rows_are_left_out_without_any_filter(seed: int, data_folder: DataFolder) -> None:
    chance = random.Random(seed)
    texts = ["".join(chance.choices("abcDEÉñ中文กีर्אب ", k=chance.randint(1, 9))) + str(place) for place in range(12)]
    rows = [(f"Say {chance.choice(texts)}.", "", chance.choice(texts[:4])) for _ in range(80)]
    data_folder.instructions("a.jsonl", rows)
    table = '[sources.a]\nreader = "alpaca"\npath = "a.jsonl"\nlanguage = "en"\n'
    [source] = data_folder.plan(data_folder.recipe(table, length=300)).plan.sources
    assert (source.available, source.duplicates) == (len(set(rows)), len(rows) - len(set(rows)))
