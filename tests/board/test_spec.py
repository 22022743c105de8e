"""The TOML files: the packaged ones can be read, a mistake is named with its file and key."""

from pathlib import Path

import pytest

from xlingual.board import board_names, find_board
from xlingual.board.spec import BoardOrigin, read_board
from xlingual.errors import DataError, UsageError, XlingualError
from xlingual.metrics import METRIC_NAMES

GOOD = """
name = "mine"
title = "Mine"
description = "Of mine."
tasks = ["xquad/*", "flores101/en-*"]
languages = ["Chinese", "ar"]
baseline = "alpaca"
[metrics]
xquad = "squad_f1"
flores101 = ["chrf++", "bleu"]
[protocol]
shots = 0
thinking = "none"
prompt_language = "English"
[[reported]]
claim = "c"
value = "1"
source = "s"
url = "https://example.org/x"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_specification_is_read(tmp_path: Path) -> None:
    spec = read_board(write(tmp_path, GOOD))
    assert spec.metrics == {"xquad": ("squad_f1",), "flores101": ("chrf++", "bleu")}
    assert (spec.languages, spec.baseline, spec.origin) == (("zh", "ar"), "alpaca", BoardOrigin.REAL)
    assert spec.protocol == {"shots": 0, "thinking": None, "prompt_language": "en"}
    assert spec.reported[0].url == "https://example.org/x"
    assert [spec.position(task) for task in ("flores101/en-zh", "xquad/de", "flores101/zh-en")] == [1, 0, None]


@pytest.mark.parametrize(
    ("old", "new", "what", "hint"),
    [
        ("title", "titel", ":3: unknown key 'titel'", "did you mean title?"),
        ('claim = "c"', 'clam = "c"', ":16: unknown key 'clam'", "did you mean claim?"),
        ('name = "mine"', "", "key 'name' is missing", "it must be a text"),
        (
            'name = "mine"',
            'name = "other"',
            ":2: the name 'other' and the file 'mine' differ",
            "the name must be the file's stem",
        ),
        ('["xquad/*", "flores101/en-*"]', "[]", ":5: 'tasks' must be a text or a list of texts", ""),
        ('["xquad/*", "flores101/en-*"]', "3", ":5: 'tasks' must be a text or a list of texts, got 3", ""),
        ("xquad = ", "xqaud = ", ":9: 'xqaud' is a family of none", "did you mean xquad?"),
        ('"squad_f1"', "1", ":9: 'xquad' must be a text or a list of texts, got 1", ""),
        ('"Chinese"', '"Chinesse"', ":6: no such language: 'Chinesse'", "did you mean chinese"),
        ('baseline = "alpaca"', 'origin = "smple"', ":7: 'origin' is 'smple'", "real, sample"),
        ("https://", "http://", ":19: 'url' must be a plain https address", ""),
        ("https://example.org/x", "https://example.org/)|", ":19: 'url' must be a plain https address", ""),
        ("shots = 0", "shots = -1", ":12: 'shots' must be at least 0, got -1", ""),
        ("shots = 0", "shot = 0", ":12: unknown key 'shot'", "shots"),
        ('thinking = "none"', 'thinking = "maybe"', ":13: 'thinking' is 'maybe'", "on, off, none"),
        ('"English"', '"Englisch"', ":14: no such language: 'Englisch'", "english"),
        ('title = "Mine"', "title = 1", ":3: 'title' must be a text, got 1", ""),
        ('title = "Mine"', "title =", ":3:8: not TOML", ""),
    ],
)
def test_a_mistake_is_named_with_file_and_key(tmp_path: Path, old: str, new: str, what: str, hint: str) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        read_board(path)
    assert str(caught.value).startswith(f"{path}{what if what.startswith(':') else ': ' + what}")
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["all", "paper", "sample"])
def test_the_packaged_leaderboards_can_be_read_and_name_metrics_that_exist(name: str) -> None:
    assert name in board_names()
    spec = find_board(name)
    assert spec.name == name
    assert spec.origin is (BoardOrigin.SAMPLE if name == "sample" else BoardOrigin.REAL)
    assert {metric for metrics in spec.metrics.values() for metric in metrics} <= set(METRIC_NAMES)


def test_the_board_of_the_paper_has_its_six_languages_and_reported_figures() -> None:
    spec = find_board("paper")
    assert spec.languages == ("ar", "el", "hi", "tr", "vi", "zh")
    assert [figure.value for figure in spec.reported] == ["+27.83%", "+42.50%", "+18.89%", "+8.2%"]
    assert spec.position("mlqa/zh-en") is None
    assert spec.protocol == {"shots": 0}, "the paper's code asks without demonstrations"


@pytest.mark.parametrize(
    ("word", "part"), [("papr", "did you mean paper?"), ("../paper", "paper"), ("nowhere.toml", "")]
)
def test_a_name_that_is_none_is_refused_with_what_is_near(word: str, part: str) -> None:
    with pytest.raises(XlingualError) as caught:
        find_board(word)
    assert isinstance(caught.value, UsageError)
    assert part in caught.value.hint


def test_a_file_can_be_named_by_its_path(tmp_path: Path) -> None:
    assert find_board(str(write(tmp_path, GOOD))).title == "Mine"
