"""Where the thinking of a text ends, as the scoring sees it too."""

import importlib
from collections.abc import Sequence

import pytest

from xlingual.thinking import ThinkingMarkers, split_thinking

MARKERS = (ThinkingMarkers(start="<think>", end="</think>"), ThinkingMarkers(start="<thought>", end="</thought>"))


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("a thought", True, (0, True, False)),
        ("a thought</think>b", True, (17, False, False)),
        ("<think>a</think>b", False, (16, False, False)),
        (" \n<think>a", False, (0, True, False)),
        ("a</think>b", False, (10 - 1, False, False)),
        ("</think>b", False, (8, False, False)),
        ("<think>a</think>\n<think>b", False, (16, True, False)),
        ("<think>a</think>\n<thought>b</thought>c", False, (37, False, False)),
        ("see <think>", False, (0, False, False)),
        ("Krakow", False, (0, False, False)),
        ("<thi", False, (0, False, True)),
        (" ", False, (0, False, True)),
        ("<thinner", False, (0, False, False)),
    ],
)
def test_where_the_thinking_ends(text: str, opened: bool, expected: Sequence[object]) -> None:
    thoughts = importlib.import_module("xlingual.plugins.models.hf.tokens.thoughts")
    found = thoughts.read_thoughts(text, MARKERS, opened=opened)
    assert (found.end, found.is_open, found.is_undecided) == tuple(expected)
    split = split_thinking(text, MARKERS, opened=opened)
    if not found.is_open:
        assert text[found.end :].strip() == split.text.strip()
