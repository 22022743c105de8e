"""`--set`: a value gives the recipe of a file that holds it; what is wrong is named by the option."""

import dataclasses
import random
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from xlingual.errors import DataError, UsageError
from xlingual.tune.plan import identify
from xlingual.tune.recipe import find_recipe, shipped_recipe, shipped_recipes
from xlingual.tune.recipe_records import Budget, Method, Recipe, Tuning, Unit

from .conftest import DataFolder
from .test_recipe import GOOD


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("override", "old", "new"),
    [
        ("schedule.learning_rate=1e-4", "learning_rate = 2e-5", "learning_rate = 1e-4"),
        ("schedule . learning_rate = 1e-4", "learning_rate = 2e-5", "learning_rate = 1e-4"),
        ('sources.first.use="10k rows"', 'use = "12%"', 'use = "10k rows"'),
        ("sources.first.use=10k rows", 'use = "12%"', 'use = "10k rows"'),  # as a shell passes it on
        ("sources.first.language=[zh, en]", "", ""),
        ('sources.first.language=["zh", "en"]', 'language = "zh"', 'language = ["zh", "en"]'),
        ('sources."first".filter={copies=false}', 'use = "12%"', 'use = "12%"\nfilter = { copies = false }'),
        ("sources.second.filter.max_ratio=4.0", "max_epochs = 4", "max_epochs = 4\nfilter = { max_ratio = 4 }"),
        ("budget={tokens=5_000}", "rows = 1000", "tokens = 5000"),
        ("budget.rows=2000", "rows = 1000", "rows = 2000"),
        ("schedule.warmup=0.1", "learning_rate = 2e-5", "learning_rate = 2e-5\nwarmup = 0.1"),
        ("on_long=drop", "length = 256", 'length = 256\non_long = "drop"'),
        ("method={kind='full'}", 'kind = "lora"\nrank = 8', 'kind = "full"'),
        ("seed=7", "length = 256", "length = 256\nseed = 7"),
    ],
)
def test_a_value_is_as_if_it_were_written_in_the_file(override: str, old: str, new: str, file: Path) -> None:
    if not old:
        with pytest.raises(UsageError, match=r"--set sources.first.language: .* is not TOML"):
            find_recipe(str(file), [override])
        return
    found = find_recipe(str(file), [override])
    assert GOOD.count(old) == 1
    file.write_text(GOOD.replace(old, new), encoding="utf-8")
    assert found == find_recipe(str(file))
    assert found != find_recipe(str(_written(file, GOOD)))


def _written(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def test_the_id_is_that_of_a_file_with_the_value(data_folder: DataFolder) -> None:
    data_folder.write("b.en", "One.\nTwo.\n")
    data_folder.write("b.zh", "一。\n二。\n")
    source = '[sources.b]\nreader = "parallel"\npath = "b.{language}"\ndirection = "en-zh"\n'
    plain = data_folder.plan(data_folder.recipe(source))
    path = data_folder.write("mine.toml", (data_folder.path / "mine.toml").read_text(encoding="utf-8"))
    ids = set()
    for words in ([], ["seed=11"], ["schedule.clip=0.5"], ["seed=11", "schedule.clip=0.5"], ["seed=3", "seed=0"]):
        recipe = find_recipe(str(path), words)
        ids.add(identify(recipe, plain.plan.base, plain.rows))
    assert plain.plan.id in ids  # of none, and of the seed that it has
    assert len(ids) == 4


def test_the_later_over_the_earlier_and_several_at_once(file: Path) -> None:
    words = ["schedule.epochs=1", "budget={tokens=10}", "budget={rows=5}", "schedule.epochs=2", "method.rank=4"]
    recipe = find_recipe(str(file), words)
    assert recipe.schedule.epochs == 2.0
    assert recipe.budget == Budget(rows=5, tokens=None)
    assert recipe.method == Method(kind=Tuning.LORA, rank=4, alpha=8.0, dropout=0.0, targets=("all-linear",))


def test_a_whole_source_can_be_added(file: Path) -> None:
    recipe = find_recipe(str(file), ['sources.third={reader="alpaca", path="c.json", language="ar", use="3 rows"}'])
    assert [(use.name, use.amount.unit) for use in recipe.sources][2] == ("third", Unit.ROWS)


def test_a_shipped_recipe_of_a_family() -> None:
    changed = find_recipe("x-llama-zh-mini", ["schedule.learning_rate=1e-4"])
    plain = find_recipe("x-llama-zh-mini")
    schedule = dataclasses.replace(plain.schedule, learning_rate=1e-4)
    assert changed == dataclasses.replace(plain, schedule=schedule)
    placed = find_recipe("x-llama-zh-mini", ["description=of {x}"])
    assert placed.description == "of zh"  # as in the file


WRONG = [
    ("schedule.learning_rte=1e-4", "--set schedule.learning_rte", "unknown key 'learning_rte'", "learning_rate"),
    ("shedule.learning_rate=1e-4", "--set shedule.learning_rate", "unknown key 'shedule'", "did you mean schedule"),
    ("learning_rate=1e-4", "--set learning_rate", "no key 'learning_rate'", "schedule.learning_rate"),
    ("rank=4", "--set rank", "no key 'rank'", "method.rank"),
    ("sources.frist.use=all", "--set sources.frist.use", "no source 'frist'", "did you mean first?"),
    ("sources.first.ues=all", "--set sources.first.ues", "unknown key 'ues'", "use"),
    ("sources.first.use=2024", "--set sources.first.use", "'use' must be a text, got 2024", ""),
    ("sources.first.use=120%", "--set sources.first.use", "'120%' is no share", "at most 100%"),
    ("sources.first.filter.copys=false", "--set sources.first.filter.copys", "unknown key 'copys'", "copies"),
    ("schedule.learning_rate=fast", "--set schedule.learning_rate", "must be a number, got 'fast'", ""),
    ("schedule.learning_rate=20", "--set schedule.learning_rate", "above 0 and at most 1", ""),
    ("schedule.learning_rate=nan", "--set schedule.learning_rate", "above 0 and at most 1", ""),
    ("schedule.learning_rate=1e-4x", "--set schedule.learning_rate", "must be a number", ""),
    ("schedule.epochs=true", "--set schedule.epochs", "must be a number", ""),
    ("schedule.epochs=2024-01-01", "--set schedule.epochs", "must be a number", ""),
    ("length=256.0", "--set length", "must be a whole number", ""),
    ("length=", "--set length", "must be a whole number, got ''", ""),
    ("length.most=3", "--set length.most", "'length' is no table: it is 256", ""),
    ("seed=99999999999999999999", "--set seed", "over 64 bits", ""),
    ("schedule=3", "--set schedule", "must be a table, got 3", ""),
    ("sources=[]", "--set sources", "must be a table", ""),
    ("budget={rows=5, tokens=5}", "--set budget", "in rows or in tokens", "rows = 100_000"),
    ("budget.tokens=5", "--set budget.tokens", "in rows or in tokens", ""),
    ("name=other", "--set name", "the name 'other' and the file 'mine' differ", ""),
    ("x=zh", "--set x", "x and {x} in the name go together", ""),
    ("method.kind=full", "--set method.kind", "'rank' means nothing in full tuning", "lora"),
    ("method.kind=qlora", "--set method.kind", "'kind' is 'qlora'", "one of full, lora, dora"),
    ("base='unclosed", "--set base", "is not TOML", "quote"),
    ("seed=1\nlength=2", "--set seed", "one key with one value", "again"),
    ("seed=" + "[" * 200 + "]" * 200, "--set seed", "levels deep", ""),
    (".".join("abcdefgh" * 3) + "=1", "--set a.b.c", "unknown key 'a'", ""),
    (".".join("abcdefgh" * 3000) + "=1", "--set", "levels deep", ""),
    ("seed", "--set", "'seed' is not KEY=VALUE", "--set schedule.learning_rate=1e-4"),
    ("=3", "--set", "is not KEY=VALUE", ""),
    ("", "--set", "is not KEY=VALUE", ""),
    ("a b=3", "--set", "is not KEY=VALUE", ""),
    ("sources.=3", "--set", "is not KEY=VALUE", ""),
]


@pytest.mark.parametrize(("override", "where", "what", "hint"), WRONG)
def test_what_is_wrong_is_named_by_the_option(override: str, where: str, what: str, hint: str, file: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find_recipe(str(file), ["schedule.epochs=2", override])
    assert caught.value.where.startswith(where) or f", {where}" in caught.value.where
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)


def test_what_the_file_has_wrong_is_the_files(file: Path) -> None:
    file.write_text(GOOD.replace("epochs = 3", "epochs = -3"), encoding="utf-8")
    with pytest.raises(DataError, match=r"mine\.toml:28: 'epochs' must be above 0"):
        find_recipe(str(file), ["seed=3"])
    assert find_recipe(str(file), ["schedule.epochs=3"]).schedule.epochs == 3.0  # and can be mended


def test_ids_of_recipes_without_the_new_keys_stay() -> None:
    """A key whose value says what is so anyway is not in the record, and not in the hash."""
    recipe: Recipe = find_recipe("alpaca-en")
    same = ("schedule.lr_scheduler=cosine", "schedule.optimizer=adamw", "schedule.min_learning_rate=0")
    assert find_recipe("alpaca-en", same) == recipe
    assert find_recipe("alpaca-en", ["schedule.lr_scheduler=linear"]) != recipe


def _leaves(table: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _others(value: object) -> list[object]:
    """Values that may stand in the place of one: of its type and of others, good and bad."""
    drawn = random.Random(repr(value))
    kinds: list[object] = [
        drawn.randint(1, 9),
        round(drawn.random(), 3),
        "all",
        "12 rows",
        "zh",
        ["zh", "vi"],
        True,
        -1,
    ]
    return [value, *drawn.sample(kinds, 5)]


def _outcome(read: Callable[[], Recipe]) -> object:
    try:
        return read()
    except (DataError, UsageError):
        return "refused"


@pytest.mark.parametrize("stem", shipped_recipes())
def test_every_key_of_every_shipped_recipe_is_set_as_if_it_were_in_the_file(stem: str, tmp_path: Path) -> None:
    """Whatever value: the same recipe as of a file that holds it, or refused where that is refused."""
    shipped = shipped_recipe(stem)
    assert shipped is not None
    text = shipped.read_text(encoding="utf-8")
    names = tomllib.loads(text)
    file = tmp_path / shipped.name
    word = f"{file}:{names['x'][0]}" if "x" in names else str(file)
    accepted = 0
    for path, value in _leaves(names):
        if path[0] in ("name", "x"):
            continue
        for other in _others(value):
            document = tomlkit.parse(text)
            table: Any = document
            for key in path[:-1]:
                table = table[key]
            table[path[-1]] = other
            file.write_text(tomlkit.dumps(document), encoding="utf-8")
            expected = _outcome(lambda: find_recipe(word))
            file.write_text(text, encoding="utf-8")
            written = f"{'.'.join(path)}={tomlkit.item(other).as_string()}"
            assert _outcome(lambda written=written: find_recipe(word, [written])) == expected, written  # type: ignore[misc]
            accepted += expected != "refused"
    assert accepted > len(list(_leaves(names))) / 2
