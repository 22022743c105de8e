"""Exact match after extraction: texts with white space collapsed, numbers in canonical form, any of the golds."""

import pytest

from xlingual.extraction import extract_answer
from xlingual.metrics import METRIC_NAMES, find_metric
from xlingual.records import Example, Response


def measure(text: str, *targets: str, language: str = "en") -> float:
    example = Example(id="1", language=language, group="g", cluster="c", fields={}, targets=targets)
    response = Response(key="k", text=text, failure=None, finish=None, prompt_tokens=None, tokens=None)
    statistics = find_metric("exact_match").measure(example, response)
    assert statistics is not None
    assert statistics[1] == 1.0
    return statistics[0]


@pytest.mark.parametrize(
    ("text", "targets", "score"),
    [
        ("Paris", ("Paris",), 1.0),
        (" Paris\n", ("Paris",), 1.0),
        ("the  Baltic\u00a0Sea", ("the Baltic Sea",), 1.0),
        ("La Paz", ("Sucre", "La Paz"), 1.0),
        ("e\u0301", ("\u00e9",), 1.0),
        ("\u200bParis", ("Paris",), 1.0),
        ("paris", ("Paris",), 0.0),
        ("Paris.", ("Paris",), 0.0),
        ("Paris, France", ("Paris",), 0.0),
        ("", ("Paris",), 0.0),
        ("1234", ("1,234",), 1.0),
        ("1234", ("1234",), 1.0),
        ("1234", ("12", "$1,234.00"), 1.0),
        ("1.5", ("1.50",), 1.0),
        ("1,234", ("1234",), 0.0),
        ("18", ("18 ducks",), 0.0),
        ("", ("1,234",), 0.0),
    ],
)
def test_what_is_exact(text: str, targets: tuple[str, ...], score: float) -> None:
    assert measure(text, *targets) == score


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "… so it is 1,234."),
        ("de", "also 1.234 Euro"),
        ("ar", "الجواب ١٢٣٤"),
        ("hi", "१,२३४"),
        ("fr", "soit 1 234 F"),
    ],
)
def test_a_chain_of_thought_with_a_number(language: str, said: str) -> None:
    found = extract_answer("last_number", language, said)
    assert found is not None
    assert measure(found, "1234", language=language) == 1.0


@pytest.mark.parametrize("targets", [(), ("",), ("\u200b\u00a0",)])
def test_an_example_without_an_answer_is_not_scored(targets: tuple[str, ...]) -> None:
    example = Example(id="1", language="en", group="g", cluster="c", fields={}, targets=targets)
    response = Response(key="k", text="Paris", failure=None, finish=None, prompt_tokens=None, tokens=None)
    assert find_metric("exact_match").measure(example, response) is None


def test_its_place_among_metrics() -> None:
    metric = find_metric("exact_match")
    assert "exact_match" in METRIC_NAMES
    assert metric.higher_is_better
    assert metric.missing("zh") is None
    assert "numbers:canonical|targets:any" in metric.signature("zh")
