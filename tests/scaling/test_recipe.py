"""Recipes: amounts of translation sources change, and not a byte else."""

import tomllib
from pathlib import Path

import pytest

from xlingual.errors import DataError, UsageError, XlingualError
from xlingual.scaling.recipe import allocated_recipe, find_slots, left_alone, read_template
from xlingual.scaling.records import Bounded, Share

TEMPLATE = """# m-model: instructions and translations
name = "m-mini"   # as the file
base = "smollm2"

[sources.alpaca]
reader = "alpaca"
language = ["en", "zh"]
use = "all"

# translations follow
[sources.news]  # out of English
reader = "parallel"
path = "news/{pair}.tsv"
use = "10%" # to be set
direction = "en-zh"

[sources."wiki.hi"]
reader = "parallel"
direction = 'en-hi'
max_epochs = 2

[schedule]
use = "not this one"
"""
SEVERAL = """name = "m"
[sources.alpaca]
use = "all"
[sources.translation]
reader = "parallel"
path = "ncwm/{pair}/train.{language}"
direction = ["en-zh", "en-hi", "en-tr"]
use = "rest^0.3"

[method]
kind = "full"
"""


def _share(language: str, rows: int, available: int | None = None) -> Share:
    return Share(
        language=language,
        rows=rows,
        low=None,
        high=None,
        tokens=None,
        available=available,
        score=Bounded(value=0.0, low=None, high=None),
        extrapolated=False,
        limit=None,
    )


def _rewrite(
    tmp_path: Path, text: str, shares: list[Share], named: dict[str, str] | None = None, name: str | None = None
) -> str:
    path = tmp_path / "m-mini.toml"
    path.write_text(text, encoding="utf-8")
    template = read_template(path)
    slots = find_slots(template, [share.language for share in shares], named or {})
    return allocated_recipe(template, slots, shares, name)


def test_only_amounts_change(tmp_path: Path) -> None:
    text = _rewrite(tmp_path, TEMPLATE, [_share("zh", 1234), _share("hi", 500, 200)], name="mine")
    expected = TEMPLATE.replace('name = "m-mini"   #', 'name = "mine"   #')
    expected = expected.replace('use = "10%" # to be set', 'use = "1234 rows" # to be set')
    expected = expected.replace("max_epochs = 2", 'max_epochs = 3\nuse = "500 rows"')
    assert text.split("\n") == expected.split("\n")


def test_a_source_of_several_directions_becomes_several(tmp_path: Path) -> None:
    text = _rewrite(tmp_path, SEVERAL, [_share("zh", 10), _share("hi", 20)])
    found = tomllib.loads(text)
    before = tomllib.loads(SEVERAL)
    kept = {"reader": "parallel", "path": "ncwm/{pair}/train.{language}"}
    assert found["sources"] == {
        "alpaca": {"use": "all"},
        "translation": {**kept, "direction": ["en-tr"], "use": "rest^0.3"},
        "translation-zh": {**kept, "direction": "en-zh", "use": "10 rows"},
        "translation-hi": {**kept, "direction": "en-hi", "use": "20 rows"},
    }
    assert found["method"] == before["method"]
    template = read_template(tmp_path / "m-mini.toml")
    assert left_alone(template, find_slots(template, ["zh", "hi"], {})) == ["translation en-tr"]


def test_a_direction_out_of_the_language_is_taken_where_none_leads_into_it(tmp_path: Path) -> None:
    text = _rewrite(tmp_path, '[sources.back]\ndirection = "hi-en"\nuse = "all"\n', [_share("hi", 7)])
    assert text == '[sources.back]\ndirection = "hi-en"\nuse = "7 rows"\n'


TWO = '[sources.a]\ndirection = "en-zh"\n[sources.b]\ndirection = "en-zh"\nuse = "all"\n'


def test_a_named_source_settles_it(tmp_path: Path) -> None:
    text = _rewrite(tmp_path, TWO, [_share("zh", 7)], {"zh": "b"})
    assert tomllib.loads(text)["sources"]["b"]["use"] == "7 rows"
    assert "use" not in tomllib.loads(text)["sources"]["a"]


@pytest.mark.parametrize(
    ("text", "named", "error", "what"),
    [
        ("name = ", {}, DataError, "is not TOML"),
        ('name = "m"\n', {}, DataError, "has no [sources.NAME] tables"),
        (TWO, {}, UsageError, "2 sources translate zh: a en-zh, b en-zh"),
        (TWO.replace("zh", "tr"), {}, UsageError, "no sources translate zh"),
        (TWO, {"zh": "c"}, UsageError, "--source zh=c: no such source"),
        (TWO, {"tr": "a"}, UsageError, "--source tr=a: nothing is allocated to 'tr'"),
        ('[sources.a]\ndirection = "en-{x}"\n', {}, DataError, "is for one language at a time"),
        ("[sources.a]\ndirection = 3\n", {}, DataError, "must be a text or a list of texts"),
        ('[sources]\na = { direction = "en-zh", use = "all" }\n', {}, DataError, "no line [sources.a]"),
        ('[sources.a]\ndirection = "en-zh"\nuse = """all"""\n', {}, DataError, "cannot be changed safely"),
    ],
)
def test_recipes_that_cannot_be_written(
    text: str, named: dict[str, str], error: type[XlingualError], what: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as caught:
        _rewrite(tmp_path, text, [_share("zh", 7)], named)
    assert what in str(caught.value)
    assert "m-mini.toml" in str(caught.value) or "--source" in str(caught.value)
