"""Recipes: amounts of translation sources change, and not a byte else."""

import random
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlingual.errors import DataError, UsageError, XlingualError
from xlingual.scaling.recipe import allocated_recipe, find_translation_sources, left_alone, read_template
from xlingual.scaling.records import Bounded, Share
from xlingual.tune.recipe import find_recipe, shipped_recipe

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
    sources = find_translation_sources(template, [share.language for share in shares], named or {})
    return allocated_recipe(template, sources, shares, name)


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
    head, tail = SEVERAL.split("[sources.translation]")[0], '\n\n[method]\nkind = "full"\n'
    assert text.startswith(head + "[sources.translation-zh]\n")
    assert text.endswith(tail)
    template = read_template(tmp_path / "m-mini.toml")
    assert left_alone(template, find_translation_sources(template, ["zh", "hi"], {})) == ["translation en-tr"]


def test_a_direction_out_of_the_language_is_taken_where_none_leads_into_it(tmp_path: Path) -> None:
    text = _rewrite(tmp_path, '[sources.back]\ndirection = "hi-en"\nuse = "all"\n', [_share("hi", 7)])
    assert text == '[sources.back]\ndirection = "hi-en"\nuse = "7 rows"\n'


@pytest.mark.parametrize("stem", ["m-llama", "m-llama-mini"])
def test_every_key_of_a_recipe_may_be_in_a_template_and_what_is_written_is_a_recipe(stem: str, tmp_path: Path) -> None:
    path = shipped_recipe(stem)
    assert path is not None
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^(\[sources\.[^]]+\])$", r'\1\nlicense = "cc0-1.0"', f'licence = "mit"\n{text}')
    target = tmp_path / path.name
    target.write_text(text, encoding="utf-8")
    template = read_template(target)
    codes = re.findall(r'"en-(\w+)"', text)
    shares = [_share(code, 10 + place) for place, code in enumerate(codes)]
    target.write_text(allocated_recipe(template, find_translation_sources(template, codes, {}), shares, None))
    amounts = {use.language: use.amount.value for use in find_recipe(str(target)).sources if use.direction is not None}
    assert amounts == {share.language: float(share.rows) for share in shares}


def test_a_share_of_no_row_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no row of hi is in the split") as caught:
        _rewrite(tmp_path, TEMPLATE, [_share("zh", 1234), _share("hi", 0)])
    assert caught.value.hint == "--at-least 1, or take the source wiki.hi out of the template and hi out of the points"


def test_of_drawn_splits_those_with_a_language_without_a_row_are_refused(tmp_path: Path) -> None:
    chance, path = random.Random(20261126), tmp_path / "m-mini.toml"
    for _ in range(100):
        rows = {code: chance.choice([0, 1, chance.randint(1, 10**7)]) for code in ("zh", "hi")}
        shares = [_share(*each) for each in rows.items()]
        if all(rows.values()):
            written = tomllib.loads(_rewrite(tmp_path, TEMPLATE, shares))
            assert {each["use"] for each in written["sources"].values()} >= {f"{each} rows" for each in rows.values()}
            continue
        with pytest.raises(UsageError, match=f"no row of {min((c for c in rows if not rows[c]), key=[*rows].index)} "):
            _rewrite(tmp_path, TEMPLATE, shares)
        assert path.read_text(encoding="utf-8") == TEMPLATE


TWO = '[sources.a]\ndirection = "en-zh"\n[sources.b]\ndirection = "en-zh"\nuse = "all"\n'


def test_a_named_source_settles_it(tmp_path: Path) -> None:
    text = _rewrite(tmp_path, TWO, [_share("zh", 7)], {"zh": "b"})
    assert tomllib.loads(text)["sources"]["b"]["use"] == "7 rows"
    assert "use" not in tomllib.loads(text)["sources"]["a"]


@pytest.mark.parametrize(
    ("text", "named", "error", "what"),
    [
        ("name = ", {}, DataError, "not TOML"),
        ('name = "m"\n', {}, DataError, "key 'sources' is missing"),
        ('name = "m"\nsources = 3\n', {}, DataError, ":2: 'sources' must be a table"),
        ("[sources]\n", {}, DataError, ":1: there are no sources"),
        ('[sources.a]\ndirectoin = "en-zh"\n', {}, DataError, ":2: unknown key 'directoin'"),
        (TWO, {}, UsageError, "2 sources translate zh: a en-zh, b en-zh"),
        (TWO.replace("zh", "tr"), {}, UsageError, "no sources translate zh"),
        (TWO, {"zh": "c"}, UsageError, "--source zh=c: no such source"),
        (TWO, {"tr": "a"}, UsageError, "--source tr=a: nothing is allocated to 'tr'"),
        ('[sources.a]\ndirection = "en-{x}"\n', {}, DataError, ":2: 'direction' is for one language at a time"),
        ("[sources.a]\ndirection = 3\n", {}, DataError, ":2: 'direction' must be a text or a list of texts"),
        ('[sources]\na = { direction = "en-zh", use = "all" }\n', {}, DataError, "'a' is no [sources.a] table"),
        ('sources.a.direction = "en-zh"\n', {}, DataError, "cannot be changed safely"),
        ('[sources.a]\ndirection = [\n"en-zh", # one\n"en-hi"]\n', {}, DataError, "cannot be changed safely"),
        ('[sources.a]\ndirection = ["en-zh", "en-hi"]\n[sources.a-zh]\nuse = "all"\n', {}, DataError, "safely"),
    ],
)
def test_recipes_that_cannot_be_written(
    text: str, named: dict[str, str], error: type[XlingualError], what: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as caught:
        _rewrite(tmp_path, text, [_share("zh", 7)], named)
    assert what in str(caught.value)
    assert "m-mini.toml" in str(caught.value) or "--source" in str(caught.value)


def test_a_direction_of_two_languages_of_the_fit_is_not_shared_in_silence(tmp_path: Path) -> None:
    text = '[sources.a]\ndirection = "hi-zh"\n'
    with pytest.raises(UsageError, match="a hi-zh is the source of zh and of hi"):
        _rewrite(tmp_path, text, [_share("zh", 7), _share("hi", 7)])


def test_values_of_any_form_are_changed(tmp_path: Path) -> None:
    text = '[sources.a]\ndirection = "en-zh"\nuse = """\nall"""\n  max_epochs=1_0 # at most\n'
    new = _rewrite(tmp_path, text, [_share("zh", 7, 2)])
    assert new == '[sources.a]\ndirection = "en-zh"\nuse = "7 rows"\n  max_epochs=4 # at most\n'


@pytest.mark.parametrize(
    ("written", "is_table"),
    [('"t\\u0072"', True), ("\"'tr'\"", True), ('"t\\nr"', True), ("tr = {KEYS}", False)],
)
def test_names_in_quotes_and_inline_sources(tmp_path: Path, written: str, is_table: bool) -> None:
    """Changed, or refused as a fault of the file; a bug it was to not find where the source is."""
    keys = 'direction = "en-zh", use = "all"'
    inline = f"sources = {{ {written.replace('KEYS', keys)} }}\n"
    text = f"[sources.{written}]\n{keys.replace(', ', chr(10))}\n" if is_table else inline
    if is_table:
        assert _rewrite(tmp_path, text, [_share("zh", 7)]) == text.replace("all", "7 rows")
    else:
        with pytest.raises(DataError, match="cannot be changed safely"):
            _rewrite(tmp_path, text, [_share("zh", 7)])


def test_a_list_of_one_direction_keeps_its_name(tmp_path: Path) -> None:
    text = '[sources.tr]\ndirection = ["en-zh"]\nuse = "all"\n'
    assert _rewrite(tmp_path, text, [_share("zh", 7)]) == text.replace("all", "7 rows")


LINES = (
    "",
    "  ",
    "# [sources.zh]",
    '# use = "all"',
    "\t# 中",
    'reader = "parallel" # as it is',
    "columns = [\n  'a',\n]",
)
BLOCKS = st.lists(st.sampled_from(LINES), max_size=5, unique=True)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(before=BLOCKS, within=BLOCKS, behind=BLOCKS, has_use=st.booleans(), end=st.sampled_from(["", "\n"]))
def test_not_a_byte_but_the_amount_changes(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[str],
    within: list[str],
    behind: list[str],
    has_use: bool,
    end: str,
) -> None:
    """Whatever comments, blank lines and other keys stand before, within and behind the source."""
    head = ["[sources.other]", *before, "[sources.zh] # one", 'direction = "en-zh"', *within]
    tail = ["", "# the end", "[schedule]", *(line for line in behind if "=" not in line)]
    old = ['use = "all"  # \u2028', 'path = "p"'] if has_use else ['path = "p"']
    new = ['use = "7 rows"  # \u2028', 'path = "p"'] if has_use else ['path = "p"', 'use = "7 rows"']
    text, expected = ("\n".join([*head, *each, *tail]) + end for each in (old, new))
    assert _rewrite(tmp_path_factory.getbasetemp(), text, [_share("zh", 7)]) == expected
