"""Accuracy of choices against lm-eval's own rules, calculated by hand."""

from dataclasses import replace

import pytest

from xlingual.metrics import find_metric
from xlingual.records import Example, Likelihood, Response, Statistics

CHOICES = ("Rome", "Constantinople", "Αθήνα", "巴黎")


def measure(
    name: str, targets: tuple[str, ...], logarithms: tuple[float, ...] | None, text: str | None = None
) -> Statistics | None:
    example = Example(id="1", language="en", group="g", cluster="c", fields={}, targets=targets, choices=CHOICES)
    response = Response(key="k", text=text, failure=None, finish=None, prompt_tokens=None, tokens=None)
    if logarithms is not None:
        likelihoods = tuple(Likelihood(logarithm=each, is_greedy=False, tokens=1) for each in logarithms)
        response = replace(response, likelihoods=likelihoods)
    return find_metric(name).measure(example, response)


@pytest.mark.parametrize(
    ("logarithms", "accuracy", "norm"),
    [
        # Per character: -1, -0.5, -1.2 and -2.5; the likeliest is Rome, the likeliest for its length Constantinople.
        ((-4.0, -7.0, -6.0, -5.0), "Rome", "Constantinople"),
        # The length is of characters: by bytes (10 and 6) Athens would be at -0.6 and Paris at -0.5.
        ((-9.0, -90.0, -6.0, -3.0), "巴黎", "Αθήνα"),
        # The first of equals.
        ((-4.0, -4.0, -4.0, -4.0), "Rome", "Constantinople"),
        ((-4.0, -14.0, -5.0, -2.0), "巴黎", "Rome"),
    ],
)  # fmt: skip
def test_the_best_choice(logarithms: tuple[float, ...], accuracy: str, norm: str) -> None:
    for name, best in (("accuracy", accuracy), ("accuracy_norm", norm)):
        for choice in CHOICES:
            assert measure(name, (choice,), logarithms) == (float(choice == best), 1.0)
        assert measure(name, (CHOICES[0], best), logarithms) == (1.0, 1.0)


@pytest.mark.parametrize("name", ["accuracy", "accuracy_norm"])
def test_words_and_what_cannot_be_judged(name: str) -> None:
    for text in (" Rome\n", "Rome\u200b", "\ufeffRome", "Rome\u00a0"):
        assert measure(name, ("Rome",), None, text=text) == (1.0, 1.0)
    assert measure(name, ("Αθήνα",), None, text="Αθη\u0301να") == (1.0, 1.0)
    assert measure(name, ("Rome",), None, text="") == (0.0, 1.0)
    assert measure(name, ("Rome",), (-1.0,)) is None
    metric = find_metric(name)
    assert metric.missing("zh") is None
    assert metric.higher_is_better
    assert "per character" in metric.signature("zh") or name == "accuracy"


def test_other_metrics_do_not_judge_choices() -> None:
    for name in ("containment", "truncated", "chrf++", "squad_f1", "off_target"):
        assert measure(name, ("Rome",), (-1.0, -2.0, -3.0, -4.0)) is None
