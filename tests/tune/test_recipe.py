"""Recipes: what the shipped ones say, what each amount means, and what is said about every kind of mistake."""

from pathlib import Path

import pytest

from xlingual.errors import DataError, UsageError
from xlingual.toml_table import read_toml
from xlingual.tune.recipe import find_recipe, read_recipe, recipe_names
from xlingual.tune.recipe_records import Amount, Budget, Method, Norm, OnLong, Schedule, Tuning, Unit

PAPER = ["alpaca-en", "m-llama", *(f"x-llama-{code}" for code in ("ar", "el", "hi", "tr", "vi", "zh"))]
GOOD = """\
name = "mine"
description = "x"
base = "smollm2"
template = "alpaca"
length = 256

[budget]
rows = 1000

[sources.first]
reader = "alpaca"
path = "first.jsonl"
language = "zh"
use = "12%"

[sources.second]
reader = "parallel"
path = "train.{language}"
direction = "en-zh"
use = "rest^0.3"
max_epochs = 4

[method]
kind = "lora"
rank = 8

[schedule]
epochs = 3
rows_per_step = 128
learning_rate = 2e-5
"""


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_hyper_parameters(name: str) -> None:
    recipe = find_recipe(name)
    assert recipe.name == name
    assert recipe.schedule == Schedule(
        epochs=3.0, rows_per_step=128, tokens_per_step=None, learning_rate=2e-5, warmup=0.03, weight_decay=0.0,
        clip=1.0, norm=Norm.TOKEN,
    )  # fmt: skip
    assert (recipe.length, recipe.template, recipe.on_long) == (512, "alpaca", OnLong.CUT)
    assert recipe.method.kind is Tuning.FULL
    assert all(use.amount.unit is Unit.ALL and use.max_epochs == 1 for use in recipe.sources)
    assert {use.direction[0] for use in recipe.sources if use.direction} <= {"en"}


def test_the_papers_mixes() -> None:
    chinese = [(use.name, use.language, use.direction) for use in find_recipe("x-llama-zh").sources]
    assert chinese == [("alpaca-en", "en", None), ("alpaca-zh", "zh", None), ("translation", "zh", ("en", "zh"))]
    names = [use.name for use in find_recipe("m-llama").sources]
    codes = ("ar", "el", "hi", "tr", "vi", "zh")
    expected = ["alpaca-en", *(f"alpaca-{code}" for code in codes), *(f"translation-en-{code}" for code in codes)]
    assert names == expected


def test_every_recipe_has_a_small_one() -> None:
    names = recipe_names()
    alone = {f"translate-{code}-mini" for code in ("ar", "el", "hi", "tr", "vi", "zh")}
    assert set(names) == {*PAPER, *(f"{name}-mini" for name in PAPER)} | alone
    assert all(find_recipe(f"{name}-mini").base == "smollm2" for name in PAPER)


def _read(tmp_path: Path, text: str, code: str | None = None, name: str = "mine.toml") -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    read_recipe(read_toml(path), code)


@pytest.mark.parametrize(
    ("old", "new", "place", "what", "hint"),
    [
        ("length = 256", "lenght = 256", ":5", "unknown key 'lenght'", "did you mean length?"),
        ("length = 256", "", "mine.toml", "key 'length' is missing", "a whole number"),
        ("length = 256", 'length = "256"', ":5", "'length' must be a whole number, got '256'", ""),
        ("length = 256", "length = 256\nlength = 2", ":6:11", "not TOML", ""),
        ("length = 256", "length = ", ":5:10", "not TOML", ""),
        ("length = 256", "length = 0", ":5", "'length' must be at least 8", ""),
        ('name = "mine"', 'name = "yours"', ":1", "the name 'yours' and the file 'mine' differ", ""),
        ('template = "alpaca"', 'template = "alpacca"', ":4", "'template' is 'alpacca'", "one of alpaca, chat, raw"),
        ("rows = 1000", "rows = 1000\ntokens = 5", ":7", "a budget is in rows or in tokens", "rows = 100_000"),
        ("rows = 1000", "rows = 1000.5", ":8", "'rows' must be a whole number", ""),
        ('reader = "alpaca"', 'reader = "alpca"', ":11", "no such reader: 'alpca'", "did you mean alpaca?"),
        ('language = "zh"', 'language = "zz"', ":13", "no such language: 'zz'", ""),
        ('language = "zh"', "", ":10", "needs a language or a direction", ""),
        ('direction = "en-zh"', 'direction = "en-en"', ":19", "'en-en' is no direction", "en-zh"),
        ('direction = "en-zh"', 'direction = "zh"', ":19", "'zh' is no direction", "en-zh"),
        ('use = "12%"', 'use = "12 %"\nmax_epoch = 2', ":15", "unknown key 'max_epoch'", "max_epochs"),
        ('use = "12%"', 'use = "100000"', ":14", "'100000' is no amount", '"100k rows"'),
        ('use = "12%"', 'use = "2M token"', ":14", "'2M token' is no amount", ""),
        ('use = "12%"', 'use = "120%"', ":14", "'120%' is no share", "at most 100%"),
        ('use = "12%"', 'use = "0.5 rows"', ":14", "no whole number of rows", ""),
        ("max_epochs = 4", "max_epochs = 0", ":21", "'max_epochs' must be above 0", ""),
        ("rank = 8", "", ":23", "key 'rank' is missing", ""),
        ('kind = "lora"', 'kind = "full"', ":25", "'rank' means nothing in full tuning", "lora"),
        ('kind = "lora"', 'kind = "qlora"', ":24", "'kind' is 'qlora'", "one of full, lora, dora"),
        ("epochs = 3", "epochs = -1", ":28", "'epochs' must be above 0", ""),
        ("rows_per_step = 128", "", ":27", "a step is of rows_per_step or of tokens_per_step", ""),
        *(
            ("learning_rate = 2e-5", f"learning_rate = 2e-5\n{more}", place, what, hint)
            for more, place, what, hint in (
                ('lr_scheduler = "wds"', ":31", "'lr_scheduler' is 'wds'", "one of cosine, linear, constant, wsd"),
                ('lr_scheduler = "wsd"', ":27", "key 'decay_ratio' is missing", "a number"),
                ("decay_ratio = 0.1", ":31", "'decay_ratio' means nothing with cosine", "wsd"),
                ('lr_scheduler = "wsd"\ndecay_ratio = 0', ":32", "'decay_ratio' must be above 0", ""),
                ('lr_scheduler = "wsd"\nwarmup = 0.3\ndecay_ratio = 0.8', ":33", "are 1.1 of the steps", "at most 1"),
                ("min_learning_rate = 3e-5", ":31", "is 3e-05, above the learning rate, 2e-05", ""),
                ("min_learning_rate = -1", ":31", "'min_learning_rate' must be at least 0", ""),
                ('lr_scheduler = "constant"\nmin_learning_rate = 1e-6', ":32", "means nothing with constant", ""),
                ('optimizer = "adam"', ":31", "'optimizer' is 'adam'", "one of adamw, adamw-8bit, paged-adamw-8bit"),
            )
        ),
        ("rank = 8", 'rank = 8\nquantize = "int8"', ":26", "'quantize' is 'int8'", "one of nf4"),
        ('kind = "lora"', 'kind = "dora"\nquantize = "nf4"', ":25", "dora over a quantized base", "lora"),
        ("rank = 8", "rank = 8\nquantize = true", ":26", "'quantize' must be a text, got true", "one of nf4"),
        ('template = "alpaca"', "template = 1", ":4", "'template' must be a text", "one of alpaca, chat, raw"),
        ('kind = "lora"', "kind = []", ":24", "'kind' must be a text", "one of full, lora, dora"),
        ('use = "12%"', "use = 12", ":14", "'use' must be a text, got 12", '"12%"'),
        ('use = "12%"', 'use = "0 rows"', ":14", "no whole number of rows", '"100k rows"'),
        ('use = "12%"', f'use = "{"9" * 40} rows"', ":14", "rows are at most", '"100k rows"'),
        ('use = "12%"', "hold_out = 0.1", ":14", "'hold_out' must be a text, got 0.1", '"200 rows"'),
        ("rows = 1000", f"rows = {'9' * 30}", ":8", "over 64 bits at 'budget.rows'", "2**63"),
        ("rank = 8", f"rank = {'9' * 30}", ":25", "over 64 bits at 'method.rank'", "2**63"),
        ("learning_rate = 2e-5", "learning_rate = 20", ":30", "'learning_rate' must be above 0 and at most 1", ""),
    ],
)
def test_mistakes(old: str, new: str, place: str, what: str, hint: str, tmp_path: Path) -> None:
    assert GOOD.count(old) >= 1
    with pytest.raises(DataError) as caught:
        _read(tmp_path, GOOD.replace(old, new, 1))
    assert caught.value.where.endswith(place)
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_shares_need_a_budget(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'12%' needs a budget"):
        _read(tmp_path, GOOD.replace("[budget]\nrows = 1000\n", ""))


def test_names_of_sources_are_taken_once(tmp_path: Path) -> None:
    text = GOOD.replace('language = "zh"', 'language = ["zh", "en", "zh"]')
    with pytest.raises(DataError, match="two sources are called 'first-zh'"):
        _read(tmp_path, text)


@pytest.mark.parametrize(
    ("word", "amount"),
    [
        ("all", Amount(unit=Unit.ALL, value=None)),
        ("100000 rows", Amount(unit=Unit.ROWS, value=100_000)),
        ("100k rows", Amount(unit=Unit.ROWS, value=100_000)),
        ("1.5k rows", Amount(unit=Unit.ROWS, value=1_500)),
        ("100_000 rows", Amount(unit=Unit.ROWS, value=100_000)),
        ("2M tokens", Amount(unit=Unit.TOKENS, value=2_000_000)),
        ("12.5%", Amount(unit=Unit.SHARE, value=12.5)),
        ("rest", Amount(unit=Unit.REST, value=1.0)),
        ("rest^0.3", Amount(unit=Unit.REST, value=0.3)),
    ],
)
def test_amounts(word: str, amount: Amount, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("12%", word), encoding="utf-8")
    recipe = read_recipe(read_toml(path), None)
    assert recipe.sources[0].amount == amount
    assert recipe.budget == Budget(rows=1000, tokens=None)
    assert recipe.method == Method(kind=Tuning.LORA, rank=8, alpha=16.0, dropout=0.0, targets=("all-linear",))
    assert recipe.sources[1].max_epochs == 4


def test_both_directions_are_two_sources(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace('"en-zh"', '["en-zh", "zh-en"]'), encoding="utf-8")
    uses = read_recipe(read_toml(path), None).sources[1:]
    assert [(use.name, use.language, use.direction) for use in uses] == [
        ("second-en-zh", "zh", ("en", "zh")),
        ("second-zh-en", "en", ("zh", "en")),
    ]


def test_a_file_by_its_path(tmp_path: Path) -> None:
    plain, family = tmp_path / "mine.toml", tmp_path / "ours.toml"
    plain.write_text(GOOD, encoding="utf-8")
    many = GOOD.replace('name = "mine"', 'name = "ours-{x}"\nx = ["zh", "ar"]').replace('"zh"\nuse', '"{x}"\nuse')
    family.write_text(many, encoding="utf-8")
    assert find_recipe(str(plain)).name == "mine"
    arabic = find_recipe(f"{family}:ar")
    assert (arabic.name, arabic.sources[0].language) == ("ours-ar", "ar")
    for word in (str(family), f"{family}:el", f"{plain}:zh"):
        with pytest.raises(UsageError, match="the recipe is not for"):
            find_recipe(word)
    with pytest.raises(UsageError, match="cannot be read"):
        find_recipe(str(tmp_path / "none.toml"))


def test_a_misspelt_name() -> None:
    with pytest.raises(UsageError) as caught:
        find_recipe("x-lama-zh")
    assert "x-llama-zh" in caught.value.hint
